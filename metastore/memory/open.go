package memory

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	filePrefix = "journal-"
	tmpSuffix  = ".tmp"
	lockName   = "LOCK"
)

// ErrLocked is returned by Open for a directory that is open already, in this or another process.
var ErrLocked = errors.New("metastore directory is in use by another process")

// Open returns the store that is kept in dir, a new one if there is none. What a crash left at the end of the journal,
// which no call can have returned from, is cut off. ErrLocked, ErrCorrupt.
func Open(ctx context.Context, dir string, opts Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := newStore(opts)
	if err := s.openJournal(dir); err != nil {
		return nil, fmt.Errorf("open metastore %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) openJournal(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	numbers, err := journalFiles(dir)
	if err != nil {
		return err
	}
	s.journal = &journal{dir: dir, checkpoint: s.opts.CheckpointBytes, lock: lock, flushed: make(chan struct{})}
	if len(numbers) == 0 {
		if err := (&clusterID{newClusterID()}).applyTo(&s.state); err != nil {
			return err
		}
		if err := s.journal.startFile(s.state.image()); err != nil {
			return err
		}
		return syncDir(filepath.Dir(dir))
	}
	newest := numbers[0]
	for _, n := range numbers {
		newest = max(newest, n)
	}
	if err := s.resume(newest); err != nil {
		return fmt.Errorf("%s: %w", fileName(newest), err)
	}
	for _, n := range numbers { // superseded, the crash came before their removal
		if n != newest {
			if err := os.Remove(filepath.Join(dir, fileName(n))); err != nil {
				return errors.Join(err, s.journal.file.Close())
			}
		}
	}
	if s.journal.version < fileVersion {
		// A file holds only what its version knows, so that a binary of that version reads all of it or refuses it.
		if _, err := s.writeCheckpoint(); err != nil {
			return errors.Join(err, s.journal.file.Close())
		}
	}
	return nil
}

// resume loads a journal file and goes on behind it.
func (s *Store) resume(number uint64) (err error) {
	j := s.journal
	file, err := os.OpenFile(filepath.Join(j.dir, fileName(number)), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	r, err := replay(file, info.Size())
	if err != nil {
		return err
	}
	if torn := info.Size() - r.end; torn > 0 {
		s.opts.Logger.Warn("metastore journal ends in an incomplete write, cut off", "file", fileName(number), "bytes", torn)
		if err := file.Truncate(r.end); err != nil {
			return err
		}
	}
	// A process that was killed may have left frames that only the page cache holds. We are about to answer from them.
	if err := file.Sync(); err != nil {
		return err
	}
	if err := syncDir(j.dir); err != nil {
		return err
	}
	s.state = r.state
	j.file, j.number, j.salt, j.frame = file, number, r.salt, r.number
	j.image, j.size = r.checkpoint, r.end-r.checkpoint
	j.version = r.version
	return nil
}

// Close implements metastore.Store. Changes of calls that gave up waiting are made durable first.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.closed)
		if s.journal != nil {
			err = s.closeJournal()
		}
		if s.shared != nil {
			err = s.shared.Close()
		}
	})
	return err
}

func (s *Store) closeJournal() error {
	j := s.journal
	err := s.settle(context.Background(), j.add(nil))
	for {
		j.mu.Lock()
		if !j.flushing {
			break
		}
		flushed := j.flushed
		j.mu.Unlock()
		<-flushed
	}
	if j.err == nil {
		j.err = ErrClosed
	}
	j.pending = nil
	j.mu.Unlock()
	return errors.Join(err, j.file.Close(), j.lock.Close())
}

func fileName(number uint64) string { return fmt.Sprintf("%s%016x", filePrefix, number) }

// journalFiles returns the numbers of the journal files in dir, after removing unfinished checkpoints.
func journalFiles(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), filePrefix)
		if !ok {
			continue
		}
		if strings.HasSuffix(text, tmpSuffix) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		n, err := strconv.ParseUint(text, 16, 64)
		if err != nil || fileName(n) != e.Name() {
			return nil, fmt.Errorf("unexpected file %s", e.Name())
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// lockDir keeps others from opening dir until the result is closed, or the process ends.
func lockDir(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
