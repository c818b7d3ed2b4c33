package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/objstore"
)

// writeBuffer gathers small parts into larger writes; parts beyond it go to the file directly.
const writeBuffer = 256 << 10

// makeRoot makes the store's directory, durably, and tempDir.
func (s *Store) makeRoot() error {
	entries := []string{s.dir} // whose entries in the directories above them may be new
	for above := filepath.Dir(s.dir); isMissing(above); above = filepath.Dir(above) {
		entries = append(entries, above)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, tempDir), s.opts.DirMode); err != nil {
		return err
	}
	for _, dir := range entries {
		// Where we may not read the directory above, we did not make s.dir in it either.
		if err := syncPath(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

func isMissing(path string) bool {
	_, err := os.Lstat(path)
	return isAbsent(err)
}

// lockTemp takes the lock that keeps others from clearing tempDir, clearing it first if nobody else has it open. The
// lock belongs to the open file, so it goes when the process dies.
func (s *Store) lockTemp() error {
	dir, err := os.Open(filepath.Join(s.dir, tempDir))
	if err != nil {
		return err
	}
	err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = clearDir(dir)
	} else if errors.Is(err, syscall.EWOULDBLOCK) {
		err = nil
	}
	if err == nil {
		// Waits at most while another Open clears. It may do so between the two locks: we have no file there yet.
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_SH)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock %s: %w", dir.Name(), err), dir.Close())
	}
	s.lock = dir
	return nil
}

func clearDir(dir *os.File) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir.Name(), name)); err != nil && !isAbsent(err) {
			return err
		}
	}
	return nil
}

// writeTemp writes parts to a new file, makes it durable, and returns its path, which the caller removes. The path is
// empty if there is no file.
func (s *Store) writeTemp(ctx context.Context, parts [][]byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, tempDir, uuid.NewString())
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, s.opts.FileMode)
	if err != nil {
		return "", err
	}
	err = writeParts(ctx, f, parts)
	if err == nil {
		err = f.Sync()
	}
	return path, errors.Join(err, f.Close())
}

func writeParts(ctx context.Context, f *os.File, parts [][]byte) error {
	w := bufio.NewWriterSize(f, int(min(writeBuffer, objstore.Size(parts)+1)))
	for _, part := range parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Flush()
}

// publish gives the file temp the name path, and makes that durable. See Store for the order and its reasons.
func (s *Store) publish(temp, path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, s.opts.DirMode); err != nil {
		return err
	}
	linkErr := os.Link(temp, path)
	if errors.Is(linkErr, fs.ErrExist) {
		linkErr = whyExists(path, linkErr)
	}
	if linkErr != nil && !errors.Is(linkErr, objstore.ErrExists) {
		return linkErr
	}
	if err := s.syncDirs(dir); err != nil {
		return err
	}
	return linkErr
}

// whyExists tells an object from a directory of the same name, which longer keys have made.
func whyExists(path string, linkErr error) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().IsRegular() {
		return objstore.ErrExists // deleted meanwhile, perhaps: it did exist
	}
	return fmt.Errorf("other keys continue this one with a slash: %w", linkErr)
}

// syncDirs makes what was linked into dir durable, and the path to dir.
//
// The path is synced even if another goroutine or process made the directories, unless this process knows that it was
// done: 1. A makes the directory d; 2. B finds d there, links d/b, syncs d, and reports b durable; 3. the machine stops
// before A syncs the directory above d: b is lost with d.
func (s *Store) syncDirs(dir string) error {
	if err := syncPath(dir); err != nil {
		return err
	}
	return s.syncAbove(dir)
}

// syncAbove makes dir's path up to the store's own directory durable, the top first: an entry in synced promises that
// everything above it is durable too.
func (s *Store) syncAbove(dir string) error {
	if dir == s.dir {
		return nil
	}
	if _, done := s.synced.Load(dir); done {
		return nil
	}
	above := filepath.Dir(dir)
	if err := s.syncAbove(above); err != nil {
		return err
	}
	if err := syncPath(above); err != nil {
		return err
	}
	s.synced.Store(dir, struct{}{})
	return nil
}

// syncPath makes the entries of a directory durable.
func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
