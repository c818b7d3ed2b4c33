package toolchain

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestInstallFillsOnce(t *testing.T) {
	c := Cache{Dir: t.TempDir(), Log: io.Discard}
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := c.install("thing-1", func(dir string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(dir, "thing"), nil, 0o644)
			})
			if err != nil {
				t.Error(err)
			} else if _, err := os.Stat(filepath.Join(dir, "thing")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("filled %d times", n)
	}
}

func TestInstallStartsAfreshAfterAFailure(t *testing.T) {
	c := Cache{Dir: t.TempDir(), Log: io.Discard}
	broken := errors.New("no network")
	_, err := c.install("thing", func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o644); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("install: %v", err)
	}
	dir, err := c.install("thing", func(dir string) error {
		if _, err := os.Stat(filepath.Join(dir, "half")); err == nil {
			t.Error("what the failed installation left is still there")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(dir) != c.Dir {
		t.Errorf("installed in %s", dir)
	}
}

func TestChangedPinsInstallBeside(t *testing.T) {
	pins := filepath.Join(t.TempDir(), "requirements.txt")
	var names []string
	for _, content := range []string{"a==1", "a==2"} {
		if err := os.WriteFile(pins, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		name, err := named("python", pins)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if names[0] == names[1] {
		t.Errorf("both are %s", names[0])
	}
}
