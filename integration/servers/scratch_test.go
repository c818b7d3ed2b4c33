package servers

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestDirectoriesOfTheDeadAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead, err := newScratch("thing")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead.dir, "data"), []byte("much"), 0o600); err != nil {
		t.Fatal(err)
	}
	dead.lock.Close() // as the kernel does when a process is killed
	alive, err := newScratch("thing")
	if err != nil {
		t.Fatal(err)
	}
	another, err := newScratch("other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of the dead: %v", err)
	}
	if _, err := os.Stat(alive.dir); err != nil {
		t.Errorf("the directory of the living: %v", err)
	}
	if err := errors.Join(alive.remove(), another.remove()); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
