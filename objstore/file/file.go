// Package file keeps objects as files below a directory. A key is the path of its file.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/runnel-io/runnel/objstore"
)

// tempDir holds files being written. No key contains a tilde, so it is in nobody's way.
const tempDir = "tmp~"

// Options of a Store. The zero value is the default.
type Options struct {
	// FileMode is the permission of objects, before the umask. Default 0o640.
	FileMode fs.FileMode
	// DirMode is the permission of directories, before the umask. Default 0o750.
	DirMode fs.FileMode
	// ReadOnly makes a store that changes nothing, and for which the directory must exist. Put and Delete are refused.
	ReadOnly bool
}

// errReadOnly refuses what would change a store that is ReadOnly.
var errReadOnly = errors.New("object directory was opened to be read")

func (o Options) withDefaults() Options {
	if o.FileMode == 0 {
		o.FileMode = 0o640
	}
	if o.DirMode == 0 {
		o.DirMode = 0o750
	}
	return o
}

// Store is an objstore.Store in a directory of a local file system that has hard links. Several stores, in several
// processes too, may be open on one directory.
//
// An object comes into being in these steps:
//
//  1. Its bytes are written to a new file in tempDir, and fsynced.
//  2. link(2) gives that file the object's name. It fails if the name is taken, unlike rename(2), which replaces.
//  3. The directory of the name is fsynced, and so is every directory above it that this process has not seen durable.
//
// A crash before 2 leaves a file in tempDir, which a later Open removes; after 2 the whole object, or nothing if the
// directory did not reach the disk. A Put that loses the race at 2 still does 3: the winner may be an earlier attempt of
// the same caller that has not got there, and the caller may take ErrExists for success.
//
// Directories stay when their last object goes: removing one would race with a Put that is about to link into it.
type Store struct {
	dir    string
	opts   Options
	lock   *os.File // tempDir, locked shared; closed by Close; nil if ReadOnly
	synced sync.Map // path of a directory -> struct{}: its entry in the directory above is durable
}

var (
	_ objstore.Store   = (*Store)(nil)
	_ objstore.Checker = (*Store)(nil)
)

// Open returns a store in dir, which it makes if need be. It removes what crashed writers left in tempDir, unless
// another store is open on the directory.
func Open(ctx context.Context, dir string, opts Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	s := &Store{dir: dir, opts: opts.withDefaults()}
	if opts.ReadOnly {
		if _, err := os.ReadDir(dir); err != nil {
			return nil, fmt.Errorf("read object directory: %w", err)
		}
		return s, nil
	}
	if err := s.makeRoot(); err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	if err := s.lockTemp(); err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	return s, nil
}

// Close gives up the store's claim on tempDir. No other method may run or be called after.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// changeable refuses changes of a store that is ReadOnly.
func (s *Store) changeable() error {
	if s.opts.ReadOnly {
		return errReadOnly
	}
	return nil
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, parts [][]byte) error {
	if err := admit(ctx, "put", key); err != nil {
		return err
	}
	if err := s.changeable(); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	temp, err := s.writeTemp(ctx, parts)
	if err == nil {
		err = s.publish(temp, s.path(key))
	}
	if temp != "" {
		os.Remove(temp) //nolint:errcheck // a leftover is removed by a later Open
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return s.read(ctx, key, func(size int64) (int64, int64, error) {
		if offset < 0 || offset >= size || length < 0 {
			return 0, 0, objstore.ErrRange
		}
		return offset, min(length, size-offset), nil
	})
}

// GetSuffix implements objstore.Store.
func (s *Store) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	return s.read(ctx, key, func(size int64) (int64, int64, error) {
		length := min(max(length, 0), size)
		return size - length, length, nil
	})
}

// read returns the range that pick chooses, knowing the object's size.
func (s *Store) read(ctx context.Context, key string, pick func(size int64) (offset, length int64, err error)) ([]byte, error) {
	if err := admit(ctx, "get", key); err != nil {
		return nil, err
	}
	data, err := readFile(s.path(key), pick)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return data, nil
}

func readFile(path string, pick func(int64) (int64, int64, error)) ([]byte, error) {
	f, err := os.Open(path)
	if isAbsent(err) {
		return nil, objstore.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, objstore.ErrNotFound
	}
	offset, length, err := pick(info.Size())
	if err != nil {
		return nil, err
	}
	data := make([]byte, length)
	if _, err := f.ReadAt(data, offset); err != nil {
		if errors.Is(err, io.EOF) { // the file was cut short under us
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return data, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := admit(ctx, "delete", key); err != nil {
			return err
		}
	}
	if err := s.changeable(); err != nil {
		return fmt.Errorf("delete %d objects: %w", len(keys), err)
	}
	changed := make(map[string]struct{})
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
		removed, err := unlink(s.path(key))
		if err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
		if removed {
			changed[filepath.Dir(s.path(key))] = struct{}{}
		}
	}
	for dir := range changed {
		if err := syncPath(dir); err != nil {
			return fmt.Errorf("delete %d objects: %w", len(keys), err)
		}
	}
	return nil
}

// unlink removes a file. os.Remove would take an empty directory too, under a Put that is about to link into it.
func unlink(path string) (removed bool, err error) {
	for {
		err = syscall.Unlink(path)
		if err != syscall.EINTR {
			break
		}
	}
	if err == nil {
		return true, nil
	}
	if info, statErr := os.Lstat(path); isAbsent(err) || statErr == nil && info.IsDir() {
		return false, nil
	}
	return false, &fs.PathError{Op: "unlink", Path: path, Err: err}
}

// Check implements objstore.Checker: it makes a file in tempDir and removes it, unless the store is ReadOnly.
func (s *Store) Check(ctx context.Context) error {
	if s.opts.ReadOnly {
		return ctx.Err()
	}
	temp, err := s.writeTemp(ctx, [][]byte{{0}})
	if temp != "" {
		err = errors.Join(err, os.Remove(temp))
	}
	if err != nil {
		return fmt.Errorf("write to object directory: %w", err)
	}
	return nil
}

func (s *Store) path(key string) string { return filepath.Join(s.dir, filepath.FromSlash(key)) }

// isAbsent tells errors that mean there is no file of that name, also because a file stands where a directory would.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func admit(ctx context.Context, op, key string) error {
	if err := objstore.ValidKey(key); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}
