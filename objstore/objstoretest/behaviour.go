package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/objstore"
)

func invalidKeys(t *testing.T, s objstore.Store) {
	put(t, s, "valid", []byte("x"))
	for _, key := range []string{"", "/a", "a/", "a//b", "..", "../valid", "a/./b", "a b", "ä", "tmp~/x", strings.Repeat("k", 513)} {
		if err := s.Put(t.Context(), key, nil); !errors.Is(err, objstore.ErrInvalidKey) {
			t.Errorf("Put(%q): %v", key, err)
		}
		if _, err := s.Get(t.Context(), key, 0, 1); !errors.Is(err, objstore.ErrInvalidKey) {
			t.Errorf("Get(%q): %v", key, err)
		}
		if _, err := s.GetSuffix(t.Context(), key, 1); !errors.Is(err, objstore.ErrInvalidKey) {
			t.Errorf("GetSuffix(%q): %v", key, err)
		}
		if err := s.Delete(t.Context(), []string{"valid", key}); !errors.Is(err, objstore.ErrInvalidKey) {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	wantObject(t, s, "valid", []byte("x")) // a refused Delete removes nothing
}

func concurrency(t *testing.T, s objstore.Store) {
	const workers, rounds = 8, 12
	put(t, s, "shared", noise(9, 50_000))
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for r := range rounds {
				key := fmt.Sprintf("dir-%d/%d-%d", r, w, r)
				if err := work(t.Context(), s, key, noise(uint64(w*rounds+r), 10_000)); err != nil {
					t.Errorf("worker %d: %v", w, err)
					return
				}
			}
		})
	}
	group.Wait()
	wantObject(t, s, "shared", noise(9, 50_000))
	if got := list(t, s, "", ""); len(got) != 1 {
		t.Fatalf("left %q", got)
	}
}

// work takes one object of its own through its life, beside others that do the same in the same directories.
func work(ctx context.Context, s objstore.Store, key string, data []byte) error {
	if err := s.Put(ctx, key, [][]byte{data}); err != nil {
		return err
	}
	got, err := s.Get(ctx, key, 1, int64(len(data)))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, data[1:]) {
		return errors.New("read other bytes than were put")
	}
	found := false
	for o, err := range s.List(ctx, key, "") {
		if err != nil {
			return err
		}
		found = found || o.Key == key
	}
	if !found {
		return errors.New("object not listed")
	}
	if _, err := s.Get(ctx, "shared", 100, 1000); err != nil {
		return err
	}
	return s.Delete(ctx, []string{key})
}

func cancelledContext(t *testing.T, s objstore.Store) {
	put(t, s, "here", []byte("x"))
	ctx := cancelled(t)
	if err := s.Put(ctx, "new", [][]byte{[]byte("x")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	if _, err := s.Get(ctx, "here", 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.GetSuffix(ctx, "here", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("GetSuffix: %v", err)
	}
	if err := s.Delete(ctx, []string{"here"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete: %v", err)
	}
	for _, prefix := range []string{"", "none"} {
		var last error
		for _, err := range s.List(ctx, prefix, "") {
			if last != nil {
				t.Error("List went on after an error")
			}
			last = err
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("List(%q): %v", prefix, last)
		}
	}
	if got := list(t, s, "", ""); len(got) != 1 || got[0] != "here" {
		t.Errorf("cancelled calls changed the store: %q", got)
	}
}

func check(t *testing.T, s objstore.Store) {
	checker, ok := s.(objstore.Checker)
	if !ok {
		t.Fatal("the store is no objstore.Checker")
	}
	if err := checker.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, "", ""); len(got) != 0 {
		t.Fatalf("Check left %q", got)
	}
	if err := checker.Check(cancelled(t)); !errors.Is(err, context.Canceled) {
		t.Fatalf("Check with a cancelled context: %v", err)
	}
}
