package memory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrReadOnly is returned by calls that would change a store of OpenReadOnly.
var ErrReadOnly = errors.New("metastore was opened to be read")

// OpenReadOnly returns the store that is kept in dir, as it is, and changes no file: what Open would cut off or remove is
// passed over. Others may do the same at the same time, and nobody may Open it: ErrLocked. If there is no store in dir
// the error wraps fs.ErrNotExist.
func OpenReadOnly(ctx context.Context, dir string) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := newStore(Options{})
	if err := s.readJournal(dir); err != nil {
		return nil, fmt.Errorf("read metastore %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) readJournal(dir string) (err error) {
	lock, err := shareDir(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	name, err := newestJournal(dir)
	if err != nil {
		return err
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	r, err := replay(file, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	s.state, s.shared = r.state, lock
	return nil
}

// newestJournal is the file that counts.
func newestJournal(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	newest, found := uint64(0), false
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), filePrefix)
		if n, err := strconv.ParseUint(text, 16, 64); ok && err == nil && fileName(n) == e.Name() {
			newest, found = max(newest, n), true
		}
	}
	if !found {
		return "", fmt.Errorf("it has no journal: %w", os.ErrNotExist)
	}
	return filepath.Join(dir, fileName(newest)), nil
}

// shareDir keeps others from lockDir until the result is closed, or the process ends.
func shareDir(dir string) (*os.File, error) {
	file, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
