package readahead_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/memory"
	"github.com/runnel-io/runnel/objstore/readahead"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a pool over a store with an object "obj" of so many bytes, and the GETs that it sent.
type fixture struct {
	*readahead.Pool
	store *fault.Store
	data  []byte

	mu    sync.Mutex
	calls []string
}

func newFixture(t testing.TB, size int, opts readahead.Options) *fixture {
	t.Helper()
	inner := memory.New()
	f := &fixture{store: fault.Wrap(inner), data: make([]byte, size)}
	for i := range f.data {
		f.data[i] = byte(i * 7 >> 3)
	}
	if err := inner.Put(t.Context(), "obj", [][]byte{f.data}); err != nil {
		t.Fatal(err)
	}
	f.store.Before(f.record)
	f.Pool = readahead.New(f.store, opts)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) record(_ context.Context, call fault.Call) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf("%d+%d", call.Offset, call.Length))
	return nil
}

// trace returns the GETs since the last call, in the order of their offsets.
func (f *fixture) trace() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	slices.SortFunc(calls, func(a, b string) int {
		var x, y int
		_, _ = fmt.Sscanf(a, "%d+", &x)
		_, _ = fmt.Sscanf(b, "%d+", &y)
		return x - y
	})
	return calls
}

func (f *fixture) read(t testing.TB, h *readahead.Hold, offset, length int64) {
	t.Helper()
	parts, err := h.Read(t.Context(), "obj", objstore.Range{Offset: offset, Length: length})
	if got := bytes.Join(parts, nil); err != nil || !bytes.Equal(got, f.data[offset:offset+length]) {
		t.Fatalf("read %d+%d: %d bytes, %v", offset, length, len(got), err)
	}
}

func ranges(pairs ...int64) (rs []objstore.Range) {
	for i := 0; i < len(pairs); i += 2 {
		rs = append(rs, objstore.Range{Offset: pairs[i], Length: pairs[i+1]})
	}
	return rs
}

func TestLoadsAreJoinedAndCut(t *testing.T) {
	opts := readahead.Options{GetBytes: 100, JoinBytes: 10}
	for _, tc := range []struct {
		name   string
		before []objstore.Range // there already
		load   []objstore.Range
		want   []string
	}{
		{"one", nil, ranges(5, 20), []string{"5+20"}},
		{"side by side", nil, ranges(5, 20, 25, 20), []string{"5+40"}},
		{"in any order", nil, ranges(25, 20, 5, 20), []string{"5+40"}},
		{"near", nil, ranges(0, 20, 30, 20), []string{"0+50"}},
		{"far", nil, ranges(0, 20, 31, 20), []string{"0+20", "31+20"}},
		{"one in the other", nil, ranges(0, 50, 10, 20), []string{"0+50"}},
		{"overlapping", nil, ranges(0, 50, 30, 50), []string{"0+80"}},
		{"large", nil, ranges(0, 250), []string{"0+83", "83+83", "166+84"}},
		{"what is there is not asked for again", ranges(10, 20), ranges(0, 50), []string{"0+10", "30+20"}},
		{"nor read over", ranges(20, 5), ranges(0, 20, 25, 20), []string{"0+20", "25+20"}},
		{"all there", ranges(0, 50), ranges(10, 20, 40, 10), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, 1000, opts)
			h := f.Hold()
			defer h.Release()
			for _, r := range tc.before {
				f.read(t, h, r.Offset, r.Length)
			}
			f.trace()
			h.Load("obj", tc.load, 0)
			for _, r := range tc.load {
				f.read(t, h, r.Offset, r.Length)
			}
			if got := f.trace(); !slices.Equal(got, tc.want) {
				t.Errorf("GETs %q, want %q", got, tc.want)
			}
			f.read(t, h, 0, 400) // whatever is there, whatever is not
		})
	}
}

func TestAheadIsFoundByReads(t *testing.T) {
	f := newFixture(t, 1000, readahead.Options{GetBytes: 100, Bytes: 1000})
	if !f.Ahead("obj", ranges(100, 150), 0) || !f.Has("obj", objstore.Range{Offset: 110, Length: 20}) {
		t.Fatal("refused")
	}
	h := f.Hold()
	defer h.Release()
	f.read(t, h, 100, 150)
	if got := f.trace(); !slices.Equal(got, []string{"100+75", "175+75"}) {
		t.Errorf("GETs %q", got)
	}
}

// GETs may be larger for those who ask for it, while there is room.
func TestLargeGets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 10_000, readahead.Options{GetBytes: 100, Bytes: 4000})
		for _, tc := range []struct {
			from, length, most int64
			want               []string
		}{
			{0, 900, 900, []string{"0+900"}},
			{900, 900, 0, []string{"900+100", "1000+100", "1100+100", "1200+100", "1300+100", "1400+100", "1500+100", "1600+100", "1700+100"}},
			{2000, 900, 500, []string{"2000+450", "2450+450"}},
			{3000, 200, 900, []string{"3000+200"}},
			{4000, 100, 900, []string{"4000+100"}},
		} {
			if !f.Ahead("obj", ranges(tc.from, tc.length), tc.most) {
				t.Fatalf("%+v: refused", tc)
			}
			synctest.Wait()
			if got := f.trace(); !slices.Equal(got, tc.want) {
				t.Errorf("%+v: GETs %q", tc, got)
			}
		}
		h := f.Hold()
		f.read(t, h, 0, 4000) // little room is left
		f.trace()
		h.Load("obj", ranges(5000, 200), 900)
		f.read(t, h, 5000, 200)
		h.Release()
		if got := f.trace(); !slices.Equal(got, []string{"5000+100", "5100+100"}) {
			t.Errorf("in a full pool: GETs %q", got)
		}
	})
}

// What was read makes room; what was not stays for its reader, until that is late; what is held stays whatever happens.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 10_000, readahead.Options{GetBytes: 100, Bytes: 400, Stale: time.Second})
		ahead := func(from int64, want bool) {
			t.Helper()
			if got := f.Ahead("obj", ranges(from, 100), 0); got != want {
				t.Fatalf("ahead at %d: %v", from, got)
			}
			synctest.Wait()
		}
		for from := range int64(3) {
			ahead(from*100, true)
		}
		ahead(300, false) // a quarter is for what is needed at once
		h := f.Hold()
		for from := range int64(3) {
			f.read(t, h, from*100, 100)
		}
		h.Spent("obj", objstore.Range{Offset: 0, Length: 100})
		ahead(300, true)  // readers came for the others
		ahead(400, false) // but nothing of them can go: all is held
		h.Release()
		ahead(400, true)
		if f.Has("obj", objstore.Range{Offset: 0, Length: 1}) || !f.Has("obj", objstore.Range{Offset: 100, Length: 400}) {
			t.Fatal("another chunk than the one that was read to its end had to go")
		}
		ahead(500, false)
		time.Sleep(1100 * time.Millisecond) // virtual
		ahead(500, true)
		if f.Bytes() > 400 {
			t.Errorf("%d bytes", f.Bytes())
		}

		// A reader that waits goes before what is only loaded ahead, and before the bound.
		needed := f.Hold()
		for from := range int64(6) {
			f.read(t, needed, 1000+100*from, 100)
		}
		if f.Bytes() != 600 {
			t.Errorf("%d bytes for the 600 that are needed", f.Bytes())
		}
		needed.Release()
		ahead(5000, false) // nobody said that they are read to the end
		time.Sleep(1100 * time.Millisecond)
		ahead(5000, true)
		if f.Bytes() > 400 {
			t.Errorf("%d bytes", f.Bytes())
		}
	})
}

func TestMemoryIsUsedAgain(t *testing.T) {
	const get = 1 << 20
	f := newFixture(t, 64*get, readahead.Options{GetBytes: get, Bytes: 4 * get})
	h := f.Hold()
	seen := map[*byte]bool{}
	for i := range int64(64) {
		parts, err := h.Read(t.Context(), "obj", objstore.Range{Offset: i * get, Length: get})
		if err != nil {
			t.Fatal(err)
		}
		seen[&parts[0][0]] = true
		h.Spent("obj", objstore.Range{Offset: i * get, Length: get})
		h.Release()
	}
	if len(seen) > 4 {
		t.Errorf("%d pieces of memory, room is for 4", len(seen))
	}
}

func TestManyReadersShareALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1000, readahead.Options{GetBytes: 1000})
		release := make(chan struct{})
		f.store.Before(func(ctx context.Context, call fault.Call) error {
			<-release
			return f.record(ctx, call)
		})
		var group sync.WaitGroup
		for i := range int64(20) {
			group.Go(func() {
				h := f.Hold()
				defer h.Release()
				f.read(t, h, i, 500)
			})
		}
		synctest.Wait()
		close(release)
		group.Wait()
		total := 0
		for _, call := range f.trace() {
			var at, n int
			_, _ = fmt.Sscanf(call, "%d+%d", &at, &n)
			total += n
		}
		if total > 519 {
			t.Errorf("%d bytes for the 519 that are wanted", total)
		}
	})
}

func TestReadThatEndsEarlyFailsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, readahead.Options{})
		release := make(chan struct{})
		f.store.Before(func(ctx context.Context, call fault.Call) error {
			select {
			case <-release:
				return f.record(ctx, call)
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			h := f.Hold()
			defer h.Release()
			_, err := h.Read(ctx, "obj", objstore.Range{Length: 100})
			first <- err
		}()
		synctest.Wait()
		var group sync.WaitGroup
		group.Go(func() {
			h := f.Hold()
			defer h.Release()
			f.read(t, h, 0, 100)
		})
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		close(release)
		group.Wait()
		if got := f.trace(); len(got) != 1 {
			t.Errorf("GETs %q", got)
		}
	})
}

func TestErrorsAreNotKept(t *testing.T) {
	f := newFixture(t, 100, readahead.Options{})
	outage := errors.New("outage")
	f.store.Before(func(context.Context, fault.Call) error { return outage })
	h := f.Hold()
	if _, err := h.Read(t.Context(), "obj", objstore.Range{Length: 50}); !errors.Is(err, outage) {
		t.Fatal(err)
	}
	f.store.Before(f.record)
	f.read(t, h, 0, 50)
	for range 2 {
		if _, err := h.Read(t.Context(), "gone", objstore.Range{Length: 50}); !errors.Is(err, objstore.ErrNotFound) {
			t.Fatal(err)
		}
		if _, err := h.Read(t.Context(), "obj", objstore.Range{Offset: 90, Length: 50}); err == nil {
			t.Fatal("read past the end")
		}
	}
	h.Release()
	if f.Bytes() > 50 {
		t.Errorf("%d bytes, of which 50 were read", f.Bytes())
	}
}

func TestForgottenRangesAreReadAgain(t *testing.T) {
	f := newFixture(t, 1000, readahead.Options{})
	h := f.Hold()
	f.read(t, h, 0, 100)
	other := f.Hold()
	f.read(t, other, 200, 100)
	other.Release()
	f.trace()
	f.Forget("obj")
	f.read(t, h, 0, 100)
	f.read(t, h, 200, 100)
	h.Release()
	if got := f.trace(); !slices.Equal(got, []string{"0+100", "200+100"}) {
		t.Errorf("GETs %q", got)
	}
	if f.Bytes() != 200 {
		t.Errorf("%d bytes", f.Bytes())
	}
}

func TestCloseEndsLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1000, readahead.Options{AheadGets: 1, GetBytes: 100})
		f.store.Before(func(ctx context.Context, _ fault.Call) error {
			<-ctx.Done()
			return ctx.Err()
		})
		f.Ahead("obj", ranges(500, 300), 0) // some wait for their turn
		failed := make(chan error, 1)
		go func() {
			h := f.Hold()
			defer h.Release()
			_, err := h.Read(t.Context(), "obj", objstore.Range{Length: 100})
			failed <- err
		}()
		synctest.Wait()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, readahead.ErrClosed) {
			t.Errorf("during Close: %v", err)
		}
		h := f.Hold()
		defer h.Release()
		if _, err := h.Read(t.Context(), "obj", objstore.Range{Length: 100}); !errors.Is(err, readahead.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// Whatever is loaded, ahead or not, held, spent and released, by several at a time: the bytes are right while they are
// held, and the memory is accounted for.
func TestRandomUse(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const size = 512 << 10
	f := newFixture(t, size, readahead.Options{GetBytes: 40_000, JoinBytes: 1000, Bytes: 128 << 10, Stale: time.Millisecond, ForgetPause: time.Nanosecond})
	fail := errors.New("now and then")
	var calls int
	var mu sync.Mutex
	f.store.Before(func(context.Context, fault.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls%17 == 0 {
			return fail
		}
		return nil
	})
	var group sync.WaitGroup
	for i := range uint64(6) {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(seed, i))
			any := func() objstore.Range {
				r := objstore.Range{Offset: rng.Int64N(size), Length: 1 + rng.Int64N(50_000)}
				r.Length = min(r.Length, size-r.Offset)
				return r
			}
			for range 100 {
				f.Ahead("obj", []objstore.Range{any(), any()}, int64(rng.IntN(3))*20_000)
				h := f.Hold()
				h.Load("obj", []objstore.Range{any(), any()}, int64(rng.IntN(3))*20_000)
				held := map[objstore.Range][][]byte{}
				for range 3 {
					r := any()
					ctx, cancel := context.WithCancel(t.Context())
					if rng.IntN(8) == 0 {
						cancel()
					}
					parts, err := h.Read(ctx, "obj", r)
					cancel()
					if err == nil {
						held[r] = parts
					} else if !errors.Is(err, fail) && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}
				if rng.IntN(8) == 0 {
					f.Forget("obj")
				}
				for r, parts := range held {
					if !bytes.Equal(bytes.Join(parts, nil), f.data[r.Offset:r.End()]) {
						t.Errorf("wrong bytes at %+v", r)
					}
					h.Spent("obj", r)
				}
				h.Release()
			}
		})
	}
	group.Wait()
	if f.Ahead("obj", ranges(0, 1), 0); f.Bytes() > 128<<10+50_000 {
		t.Errorf("%d bytes at the end", f.Bytes())
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if f.Spare() != 128<<10 {
		t.Errorf("%d bytes are held at the end", 128<<10-f.Spare())
	}
	if err := f.Audit(); err != nil {
		t.Error(err)
	}
}
