package objstoretest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/objstore"
)

// tree is in byte order, in which '-' and '.' sort before '/' and '/' before digits and letters: a walk of directories
// in the order of their names gets it wrong.
func tree() []string {
	return []string{
		"a-", "a-b/c", "a.b", "a/-", "a/b-c/x", "a/b.x", "a/b/c", "a/b/c0", "a/b0", "a0", "aA/x", "a_b", "b/B", "b/a", "b/c",
		"c", "t0/00/u1", "t0/00/u2", "t0/01/u1", "t0/ff/u9", "t1/x", "t10/x", "z.z/z",
	}
}

func putTree(t *testing.T, s objstore.Store) []string {
	t.Helper()
	keys := tree()
	for i := range keys { // neither in order nor against it
		key := keys[i*7%len(keys)]
		put(t, s, key, []byte(key))
	}
	return keys
}

func listOrder(t *testing.T, s objstore.Store) {
	keys := putTree(t, s)
	if !slices.IsSorted(keys) {
		t.Fatal("the test's own keys are not in byte order")
	}
	if got := list(t, s, "", ""); !slices.Equal(got, keys) {
		t.Fatalf("listed %q\nwant   %q", got, keys)
	}
}

func listPrefixAndStartAfter(t *testing.T, s objstore.Store) {
	keys := putTree(t, s)
	prefixes := []string{"", "a", "a/", "a/b", "a/b/", "a/b/c", "t", "t0/", "t0/0", "t0/00/", "t1", "nothing", "zz", "a/b/c/"}
	afters := append([]string{"", "a", "a/", "a/b", "a/b/", "a/b/b", "a/b/d", "t0/00", "t0/00/", "t0/00/u", "t0/00/u1x", "zz", "0"}, keys...)
	for _, prefix := range prefixes {
		for _, after := range afters {
			want := []string{}
			for _, key := range keys {
				if key > after && len(key) >= len(prefix) && key[:len(prefix)] == prefix {
					want = append(want, key)
				}
			}
			if got := list(t, s, prefix, after); !slices.Equal(got, want) {
				t.Errorf("List(%q, %q) = %q\nwant %q", prefix, after, got, want)
			}
		}
	}
}

func listTellsSizeAndTime(t *testing.T, s objstore.Store) {
	before := time.Now()
	put(t, s, "sized", make([]byte, 1234))
	if got := list(t, s, "", ""); len(got) != 1 {
		t.Fatalf("listed %q", got)
	}
	for o, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if o.Key != "sized" || o.Size != 1234 {
			t.Fatalf("listed %+v", o)
		}
		// Stores tell whole seconds at times, and keep a clock of their own.
		if o.Modified.Before(before.Add(-time.Minute)) || o.Modified.After(time.Now().Add(time.Minute)) {
			t.Fatalf("modified at %v, put at %v", o.Modified, before)
		}
	}
}

func listStopsWhenAsked(t *testing.T, s objstore.Store) {
	keys := putTree(t, s)
	var got []string
	for o, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, o.Key); len(got) == 5 {
			break
		}
	}
	if !slices.Equal(got, keys[:5]) {
		t.Fatalf("listed %q", got)
	}
}

func listOfNothing(t *testing.T, s objstore.Store) {
	for _, prefix := range []string{"", "none", "none/", "a/b/c"} {
		if got := list(t, s, prefix, ""); len(got) != 0 {
			t.Fatalf("List(%q) of an empty store yielded %q", prefix, got)
		}
	}
}

// listManyPages puts more objects than S3 lists in one answer.
func listManyPages(t *testing.T, s objstore.Store) {
	const n = 1100
	want := make([]string, n)
	var group sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range want {
		want[i] = fmt.Sprintf("many/%04d", i)
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := s.Put(t.Context(), want[i], nil); err != nil {
				t.Errorf("Put: %v", err)
			}
		})
	}
	group.Wait()
	if got := list(t, s, "many/", ""); !slices.Equal(got, want) {
		t.Fatalf("listed %d keys, want %d in order", len(got), len(want))
	}
	if got := list(t, s, "", want[n-2]); !slices.Equal(got, want[n-1:]) {
		t.Fatalf("after the last but one: %q", got)
	}
	// More than S3 deletes in one request.
	if err := s.Delete(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, "", ""); len(got) != 0 {
		t.Fatalf("%d objects left", len(got))
	}
}

func deleteIsIdempotent(t *testing.T, s objstore.Store) {
	put(t, s, "dir/a", []byte("a"))
	for range 2 {
		if err := s.Delete(t.Context(), []string{"dir/a", "never", "dir/never", "dir"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "dir/a", 0, 1); !errors.Is(err, objstore.ErrNotFound) {
			t.Fatalf("Get after Delete: %v", err)
		}
	}
	if err := s.Delete(t.Context(), nil); err != nil {
		t.Fatalf("Delete of nothing: %v", err)
	}
	put(t, s, "dir/b", []byte("b")) // the directory was not taken away under it
	if err := s.Delete(t.Context(), []string{"dir/b", "dir/b"}); err != nil {
		t.Fatalf("Delete of one key named twice: %v", err)
	}
}

func deleteMany(t *testing.T, s objstore.Store) {
	keys := putTree(t, s)
	gone := []string{"a/b/c", "t0/00/u1", "a-"}
	if err := s.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(gone, key) })
	if got := list(t, s, "", ""); !slices.Equal(got, want) {
		t.Fatalf("left %q\nwant %q", got, want)
	}
}
