package patient

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/memory"
)

var errFlaky = errors.New("try again")

// flaky is a store whose requests fail before they are answered; a listing, after some objects.
type flaky struct {
	objstore.Store
	fail   int   // so many requests more
	err    error // with this
	behind int   // of a listing: so many objects
	calls  int
}

func (f *flaky) failure() error {
	f.calls++
	if f.fail == 0 {
		return nil
	}
	f.fail--
	return f.err
}

func (f *flaky) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := f.failure(); err != nil {
		return nil, err
	}
	return f.Store.Get(ctx, key, offset, length)
}

func (f *flaky) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	if err := f.failure(); err != nil {
		return nil, err
	}
	return f.Store.GetSuffix(ctx, key, length)
}

func (f *flaky) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		failed, n := f.failure(), 0
		for o, err := range f.Store.List(ctx, prefix, startAfter) {
			if n == f.behind && failed != nil {
				break
			}
			if n++; !yield(o, err) {
				return
			}
		}
		if failed != nil {
			yield(objstore.Object{}, failed)
		}
	}
}

func filled(t *testing.T, fail int, err error, behind int) *flaky {
	t.Helper()
	s := memory.New()
	for i := range 5 {
		if err := s.Put(t.Context(), fmt.Sprintf("k/%d", i), [][]byte{[]byte("content")}); err != nil {
			t.Fatal(err)
		}
	}
	return &flaky{Store: s, fail: fail, err: err, behind: behind}
}

// reads are the two ways to read an object.
var reads = map[string]func(context.Context, Reader, string) ([]byte, error){
	"get":    func(ctx context.Context, r Reader, key string) ([]byte, error) { return r.Get(ctx, key, 0, 100) },
	"suffix": func(ctx context.Context, r Reader, key string) ([]byte, error) { return r.GetSuffix(ctx, key, 100) },
}

func TestReadsAreMadeAgain(t *testing.T) {
	for name, read := range reads {
		synctest.Test(t, func(t *testing.T) {
			s, began := filled(t, 2, errFlaky, 0), time.Now()
			if b, err := read(t.Context(), New(s, 3), "k/1"); string(b) != "content" || err != nil {
				t.Errorf("%s: %q, %v", name, b, err)
			}
			if waited := time.Since(began); waited != 600*time.Millisecond {
				t.Errorf("%s: waited %v", name, waited)
			}
		})
	}
}

func TestReadsAreGivenUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		calls int
	}{
		{"after some attempts", errFlaky, 3},
		{"at once where there is no object", objstore.ErrNotFound, 1},
		{"at once where the object ends before", objstore.ErrRange, 1},
	} {
		for name, read := range reads {
			synctest.Test(t, func(t *testing.T) {
				s := filled(t, 10, c.err, 0)
				if _, err := read(t.Context(), New(s, 3), "k/1"); !errors.Is(err, c.err) || s.calls != c.calls {
					t.Errorf("%s, %s: %d calls, %v", c.name, name, s.calls, err)
				}
			})
		}
	}
}

func TestWhoGivesUpIsToldWhyTheReadFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		s := filled(t, 10, errFlaky, 0)
		if _, err := New(s, 10).Get(ctx, "k/1", 0, 1); !errors.Is(err, errFlaky) || s.calls != 2 {
			t.Errorf("%d calls, %v", s.calls, err)
		}
	})
}

func list(ctx context.Context, from Source, attempts int, startAfter string) (keys []string, err error) {
	for o, err := range New(from, attempts).List(ctx, "k/", startAfter) {
		if err != nil {
			return keys, err
		}
		keys = append(keys, o.Key)
	}
	return keys, nil
}

func TestListingGoesOnBehindTheLastObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Each of them gives one object more, so that no two in a row are in vain.
		s := filled(t, 4, errFlaky, 1)
		keys, err := list(t.Context(), s, 2, "k/0")
		if want := []string{"k/1", "k/2", "k/3", "k/4"}; err != nil || !slices.Equal(keys, want) {
			t.Errorf("%v, %v", keys, err)
		}
	})
}

func TestListingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := filled(t, 10, errFlaky, 0)
		if keys, err := list(t.Context(), s, 3, ""); !errors.Is(err, errFlaky) || len(keys) != 0 || s.calls != 3 {
			t.Errorf("%v, %d calls, %v", keys, s.calls, err)
		}
	})
}

// backwards lists objects in the wrong order.
type backwards struct{ objstore.Store }

func (backwards) List(context.Context, string, string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		_ = yield(objstore.Object{Key: "k/2"}, nil) && yield(objstore.Object{Key: "k/1"}, nil)
	}
}

func TestListingOutOfOrderIsRefused(t *testing.T) {
	keys, err := list(t.Context(), backwards{}, 3, "")
	if err == nil || !strings.Contains(err.Error(), `lists "k/1" after "k/2"`) || !slices.Equal(keys, []string{"k/2"}) {
		t.Errorf("%v, %v", keys, err)
	}
}
