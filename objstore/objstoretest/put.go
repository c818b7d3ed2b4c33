package objstoretest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/objstore"
)

func putIsReadable(t *testing.T, s objstore.Store) {
	parts := [][]byte{[]byte("ab"), nil, []byte("c"), {}, []byte("def")}
	if err := s.Put(t.Context(), "dir/sub.d/object_1", parts); err != nil {
		t.Fatal(err)
	}
	wantObject(t, s, "dir/sub.d/object_1", []byte("abcdef"))
}

func putCreatesOnly(t *testing.T, s objstore.Store) {
	put(t, s, "a/b", []byte("first"))
	for _, again := range []string{"second", "first", ""} {
		if err := s.Put(t.Context(), "a/b", [][]byte{[]byte(again)}); !errors.Is(err, objstore.ErrExists) {
			t.Fatalf("Put(%q) over an object: %v, want ErrExists", again, err)
		}
	}
	wantObject(t, s, "a/b", []byte("first"))
}

func putRaceHasOneWinner(t *testing.T, s objstore.Store) {
	const writers, rounds = 8, 5
	for round := range rounds {
		key := "race/" + string(rune('a'+round))
		var group sync.WaitGroup
		errs := make([]error, writers)
		start := make(chan struct{})
		for w := range writers {
			group.Go(func() {
				<-start
				errs[w] = s.Put(t.Context(), key, [][]byte{noise(uint64(w), 100_000)})
			})
		}
		close(start)
		group.Wait()
		winner := slices.Index(errs, nil)
		if winner < 0 {
			t.Fatalf("nobody won: %v", errs)
		}
		for w, err := range errs {
			if w != winner && !errors.Is(err, objstore.ErrExists) {
				t.Fatalf("writer %d: %v, want ErrExists; writer %d won", w, err, winner)
			}
		}
		wantObject(t, s, key, noise(uint64(winner), 100_000))
	}
}

func putLeavesPartsAlone(t *testing.T, s objstore.Store) {
	const n = 300_000
	parts := [][]byte{noise(1, n), noise(2, n)}
	if err := s.Put(t.Context(), "parts", parts); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(parts[0], noise(1, n)) || !bytes.Equal(parts[1], noise(2, n)) {
		t.Fatal("Put changed its parts")
	}
	want := bytes.Join(parts, nil)
	clear(parts[0]) // a store that kept a reference now reads zeros, or races
	clear(parts[1])
	parts[0], parts[1] = nil, nil
	wantObject(t, s, "parts", want)
}

func putIsSeenWholeOrNotAtAll(t *testing.T, s objstore.Store) {
	data := noise(3, 2<<20)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Put(t.Context(), "whole", [][]byte{data[:1<<20], data[1<<20:]}); err != nil {
			t.Errorf("Put: %v", err)
		}
	}()
	for putting := true; putting; {
		select {
		case <-done:
			putting = false
		default:
		}
		got, err := s.GetSuffix(t.Context(), "whole", 3<<20)
		if errors.Is(err, objstore.ErrNotFound) && putting {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, data) {
			t.Fatalf("saw %d bytes of an object of %d", len(got), len(data))
		}
	}
}

func putAfterDelete(t *testing.T, s objstore.Store) {
	put(t, s, "again", []byte("first"))
	if err := s.Delete(t.Context(), []string{"again"}); err != nil {
		t.Fatal(err)
	}
	put(t, s, "again", []byte("second"))
	wantObject(t, s, "again", []byte("second"))
}

func emptyObject(t *testing.T, s objstore.Store) {
	for key, parts := range map[string][][]byte{"nil": nil, "none": {}, "empty-part": {{}}} {
		if err := s.Put(t.Context(), key, parts); err != nil {
			t.Fatalf("Put(%q): %v", key, err)
		}
		got, err := s.GetSuffix(t.Context(), key, 10)
		if err != nil || len(got) != 0 {
			t.Fatalf("GetSuffix: %q, %v", got, err)
		}
		if _, err := s.Get(t.Context(), key, 0, 10); !errors.Is(err, objstore.ErrRange) {
			t.Fatalf("Get of an empty object: %v, want ErrRange", err)
		}
	}
	if got := list(t, s, "", ""); len(got) != 3 {
		t.Fatalf("listed %q", got)
	}
}

func largeObject(t *testing.T, s objstore.Store) {
	const size, part = 8 << 20, 4099 // parts that fall on no boundary
	data := noise(4, size)
	parts := slices.Collect(slices.Chunk(data, part))
	if err := s.Put(t.Context(), "large", parts); err != nil {
		t.Fatal(err)
	}
	wantObject(t, s, "large", data)
	got, err := s.Get(t.Context(), "large", 5<<20, 1<<20)
	if err != nil || !bytes.Equal(got, data[5<<20:6<<20]) {
		t.Fatalf("a megabyte in the middle: %d bytes, %v", len(got), err)
	}
}

func longKeys(t *testing.T, s objstore.Store) {
	element := string(bytes.Repeat([]byte("k"), 200))
	key := element + "/" + element + "/" + element[:100]
	put(t, s, key, []byte("long"))
	wantObject(t, s, key, []byte("long"))
	if got := list(t, s, element, ""); !slices.Equal(got, []string{key}) {
		t.Fatalf("listed %q", got)
	}
}

// keysDoNotNest holds stores to an honest answer where the contract lets them refuse: what Put reports is what is there.
func keysDoNotNest(t *testing.T, s objstore.Store) {
	for _, pair := range [][2]string{{"x", "x/y"}, {"v/w", "v"}} {
		put(t, s, pair[0], []byte("first"))
		err := s.Put(t.Context(), pair[1], [][]byte{[]byte("second")})
		if errors.Is(err, objstore.ErrExists) {
			t.Fatalf("Put(%q) beside %q: %v, but there is no such object", pair[1], pair[0], err)
		}
		if err == nil {
			wantObject(t, s, pair[1], []byte("second"))
		} else if _, err := s.GetSuffix(t.Context(), pair[1], 9); !errors.Is(err, objstore.ErrNotFound) {
			t.Fatalf("GetSuffix(%q) beside %q: %v, want ErrNotFound", pair[1], pair[0], err)
		}
		if err := s.Delete(t.Context(), pair[1:]); err != nil {
			t.Fatalf("Delete(%q): %v", pair[1], err)
		}
		wantObject(t, s, pair[0], []byte("first"))
	}
}
