package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// scratch is the directory of a server: a database or a bucket may fill a disk, so that it must not outlive who made it,
// not even one that was killed.
type scratch struct {
	dir  string
	lock *os.File // beside the directory, and locked by the kernel for as long as this process lives
}

const (
	scratchPrefix = "runnel-server-"
	lockSuffix    = ".lock"
)

// newScratch makes an empty directory for a kind of server. First it removes those of processes that are dead.
func newScratch(kind string) (scratch, error) {
	if err := sweep(os.TempDir()); err != nil {
		return scratch{}, err
	}
	dir, err := os.MkdirTemp("", scratchPrefix+kind+"-")
	if err != nil {
		return scratch{}, fmt.Errorf("make a server's directory: %w", err)
	}
	// It is locked before it has the name that others look for.
	made := dir + lockSuffix + ".new"
	lock, err := os.OpenFile(made, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil {
		err = os.Rename(made, dir+lockSuffix)
	}
	if err != nil {
		return scratch{}, errors.Join(fmt.Errorf("lock a server's directory: %w", err), os.RemoveAll(dir))
	}
	return scratch{dir, lock}, nil
}

// remove removes the directory and all that is in it.
func (s scratch) remove() error {
	return errors.Join(os.RemoveAll(s.dir), os.Remove(s.dir+lockSuffix), s.lock.Close())
}

// sweep removes the directories whose owners are dead.
func sweep(temp string) error {
	locks, err := filepath.Glob(filepath.Join(temp, scratchPrefix+"*"+lockSuffix))
	if err != nil {
		return fmt.Errorf("look for directories of dead servers: %w", err)
	}
	for _, name := range locks {
		lock, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // gone meanwhile, or another user's
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			// What a server writes that is about to end as well is left for whoever comes next.
			if os.RemoveAll(strings.TrimSuffix(name, lockSuffix)) == nil {
				_ = os.Remove(name)
			}
		}
		lock.Close()
	}
	return nil
}
