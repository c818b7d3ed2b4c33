package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/file"
	"github.com/runnel-io/runnel/objstore/objstoretest"
)

func open(t testing.TB, dir string) *file.Store {
	t.Helper()
	s, err := file.Open(context.Background(), dir, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Store { return open(t, t.TempDir()) })
}

func TestOpenMakesTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet", "there")
	s := open(t, dir)
	if err := s.Put(t.Context(), "a/b/c", [][]byte{[]byte("x")}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a", "b", "c")); err != nil || string(got) != "x" {
		t.Fatalf("the object's file holds %q, %v", got, err)
	}
}

func TestObjectsOutliveTheStore(t *testing.T) {
	dir := t.TempDir()
	first, err := file.Open(t.Context(), dir, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Put(t.Context(), "a/b", [][]byte{[]byte("kept")}); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir)
	if got, err := second.Get(t.Context(), "a/b", 0, 9); err != nil || string(got) != "kept" {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := second.Put(t.Context(), "a/b", nil); !errors.Is(err, objstore.ErrExists) {
		t.Fatalf("Put over an object of an earlier store: %v", err)
	}
}

func TestOpenRemovesStaleTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "tmp~", "left-by-a-crash")
	writeStale := func() {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(stale), 0o750), os.WriteFile(stale, []byte("half"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	writeStale()
	s := open(t, dir)
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("stale file after Open: %v", err)
	}

	// While a store is open its files are being written, however old they look.
	writeStale()
	open(t, dir)
	if _, err := os.Stat(stale); err != nil {
		t.Fatalf("a second Open removed a file of the first: %v", err)
	}
	for o, err := range s.List(t.Context(), "", "") {
		t.Fatalf("List yields a temporary file: %v, %v", o, err)
	}
}

func TestPutLeavesNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put := func(ctx context.Context, key string) error {
		return s.Put(ctx, key, [][]byte{[]byte("x"), []byte("y")})
	}
	if err := put(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), "a"); !errors.Is(err, objstore.ErrExists) {
		t.Fatal(err)
	}
	if err := put(t.Context(), "a/b"); err == nil {
		t.Fatal("made a directory of an object")
	}
	if err := put(&dyingContext{Context: t.Context(), left: 3}, "c"); !errors.Is(err, context.Canceled) {
		t.Fatalf("Put whose context ends between the parts: %v", err)
	}
	names, err := os.ReadDir(filepath.Join(dir, "tmp~"))
	if err != nil || len(names) != 0 {
		t.Fatalf("left %v, %v", names, err)
	}
	if _, err := s.Get(t.Context(), "c", 0, 1); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("the interrupted object: %v", err)
	}
}

// dyingContext is cancelled once its state has been asked for a number of times.
type dyingContext struct {
	context.Context
	left int
}

func (c *dyingContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestForeignFilesAreIgnored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "real", nil); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "read me"), nil, 0o600),
		os.Mkdir(filepath.Join(dir, "lost+found"), 0o700),
		os.WriteFile(filepath.Join(dir, "lost+found", "x"), nil, 0o600),
		os.Symlink("real", filepath.Join(dir, "link")),
	)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for o, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	if !slices.Equal(keys, []string{"real"}) {
		t.Fatalf("listed %q", keys)
	}
}

func TestCheckSaysWhyNot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "tmp~")); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Check without a place to write: %v", err)
	}
	if err := s.Put(t.Context(), "a", nil); err == nil || errors.Is(err, objstore.ErrExists) {
		t.Fatalf("Put without a place to write: %v", err)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20, 8 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := open(b, b.TempDir())
			parts := slices.Collect(slices.Chunk(bytes.Repeat([]byte("r"), size), 16<<10))
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				if err := s.Put(b.Context(), fmt.Sprintf("t0/%02x/%d", i%16, i), parts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestReadOnlyStoreChangesNothing(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir)
	if err := s.Put(ctx, "a/b", [][]byte{[]byte("object")}); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, "tmp~", "left by a writer that was killed")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := file.Open(ctx, dir, file.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := r.Get(ctx, "a/b", 0, 100); err != nil || string(b) != "object" {
		t.Errorf("%q, %v", b, err)
	}
	if err := r.Put(ctx, "c", nil); err == nil {
		t.Error("put an object")
	}
	if err := r.Delete(ctx, []string{"a/b"}); err == nil {
		t.Error("deleted an object")
	}
	if err := errors.Join(r.Check(ctx), r.Close()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{left, filepath.Join(dir, "a", "b")} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := file.Open(ctx, filepath.Join(dir, "none"), file.Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opened what is not there: %v", err)
	}
}
