package memory_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestReadOnlyTellsWhatIsThereAndChangesNothing(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "metastore")
	s, err := memory.Open(ctx, dir, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	first := metastore.Position{}.Next([]byte("entry"))
	if err := s.Append(ctx, metastore.Position{}, first); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.OpenReadOnly(ctx, dir); !errors.Is(err, memory.ErrLocked) {
		t.Errorf("opened beside a store: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "journal-*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	torn := append(read(t, names[0]), "a write that was torn"...)
	if err := errors.Join(os.WriteFile(names[0], torn, 0o600), os.WriteFile(names[0]+".tmp", nil, 0o600)); err != nil {
		t.Fatal(err)
	}

	for range 2 { // at the same time
		r, err := memory.OpenReadOnly(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if entries, err := r.Read(ctx, metastore.Position{}, 1<<20); err != nil || len(entries) != 1 || string(entries[0].Payload) != "entry" {
			t.Errorf("%v, %v", entries, err)
		}
		if err := r.Append(ctx, first.Position, first.Next(nil)); !errors.Is(err, memory.ErrReadOnly) {
			t.Errorf("append: %v", err)
		}
		if end, err := r.End(ctx); err != nil || end != 1 {
			t.Errorf("ends at %d, %v", end, err)
		}
		if _, err := memory.Open(ctx, dir, memory.Options{}); !errors.Is(err, memory.ErrLocked) {
			t.Errorf("opened while somebody reads: %v", err)
		}
	}
	if string(read(t, names[0])) != string(torn) {
		t.Error("the journal was changed")
	}
	if _, err := os.Stat(names[0] + ".tmp"); err != nil {
		t.Error(err)
	}
}

func TestReadOnlyNeedsAStore(t *testing.T) {
	empty := t.TempDir()
	for _, dir := range []string{empty, filepath.Join(empty, "none")} {
		if _, err := memory.OpenReadOnly(t.Context(), dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
