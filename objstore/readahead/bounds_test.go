package readahead_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// What readers needed at once, beyond the bound, is given up when they are done, and not used again for ever.
func TestMemoryBeyondTheBoundIsGivenUp(t *testing.T) {
	const get, bound = 1 << 20, 4 << 20
	f := newFixture(t, 32*get, readahead.Options{GetBytes: get, Bytes: bound})
	slow := f.Hold()
	for i := range int64(16) {
		f.read(t, slow, i*get, get)
		slow.Spent("obj", objstore.Range{Offset: i * get, Length: get})
	}
	if f.Bytes() != 16*get {
		t.Fatalf("%d bytes for the %d that are held", f.Bytes(), 16*get)
	}
	slow.Release()
	if f.Bytes() > bound {
		t.Errorf("%d bytes after the release", f.Bytes())
	}
	for i := int64(16); i < 32; i++ {
		h := f.Hold()
		f.read(t, h, i*get, get)
		h.Spent("obj", objstore.Range{Offset: i * get, Length: get})
		h.Release()
	}
	if f.Bytes() > bound {
		t.Errorf("%d bytes after others have read", f.Bytes())
	}
}

// What was to be loaded ahead, and is needed before its turn, does not wait behind what nobody waits for.
func TestWhatIsNeededOvertakesWhatIsLoadedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1000, readahead.Options{GetBytes: 100, JoinBytes: 10, AheadGets: 1})
		let := make(chan struct{})
		f.store.Before(func(_ context.Context, call fault.Call) error {
			if call.Offset < 500 {
				<-let
			}
			return nil
		})
		defer close(let)
		f.Ahead("obj", ranges(0, 100, 200, 100), 0)
		synctest.Wait()
		f.Ahead("obj", ranges(600, 100), 0)
		synctest.Wait()
		h := f.Hold()
		defer h.Release()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := h.Read(ctx, "obj", objstore.Range{Offset: 600, Length: 100}); err != nil {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

// Where it is the store that has wrong bytes, readers come again and again, and others read the rest of the object.
func TestAnObjectIsForgottenOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1000, readahead.Options{GetBytes: 100})
		read := func(times, gets int) {
			t.Helper()
			for range times {
				h := f.Hold()
				f.read(t, h, 0, 100)
				h.Release()
				f.Forget("obj")
			}
			if got := f.trace(); len(got) != gets {
				t.Errorf("%d GETs for %d reads, want %d: %v", len(got), times, gets, got)
			}
		}
		read(100, 2)
		time.Sleep(2 * time.Minute) // virtual
		read(100, 1)
	})
}
