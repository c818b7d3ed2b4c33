package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/cache"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone is one cache's view of the others, in one process.
type zone struct {
	owner func(extent int64) string
	ask   func(ctx context.Context, r cache.Request, dst [][]byte, late func()) error

	mu   sync.Mutex
	asks []string
}

func (z *zone) Owner(_ string, extent int64) string { return z.owner(extent) }

func (z *zone) Ask(ctx context.Context, _ string, r cache.Request, dst [][]byte, late func()) error {
	z.mu.Lock()
	z.asks = append(z.asks, fmt.Sprintf("%d+%d", r.Offset, r.Length))
	ask := z.ask
	z.mu.Unlock()
	return ask(ctx, r, dst, late)
}

func (z *zone) answer(ask func(ctx context.Context, r cache.Request, dst [][]byte, late func()) error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.ask = ask
}

func (z *zone) trace() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	asks := z.asks
	z.asks = nil
	byOffset(asks)
	return asks
}

func byOffset(requests []string) {
	slices.SortFunc(requests, func(a, b string) int {
		var x, y int
		fmt.Sscanf(a, "%d", &x) //nolint:errcheck // made by the tests
		fmt.Sscanf(b, "%d", &y) //nolint:errcheck // made by the tests
		return x - y
	})
}

func always(owner string) func(int64) string { return func(int64) string { return owner } }

// from answers with what another cache has or loads.
func from(owner *cache.Cache) func(context.Context, cache.Request, [][]byte, func()) error {
	return func(ctx context.Context, r cache.Request, dst [][]byte, _ func()) error {
		parts, err := owner.ReadThrough(ctx, r, nil)
		if err != nil {
			return err
		}
		if len(parts) != len(dst) {
			return fmt.Errorf("%d parts for %d blocks", len(parts), len(dst))
		}
		for i := range dst {
			if copy(dst[i], parts[i]) != len(dst[i]) {
				return errors.New("short")
			}
		}
		return nil
	}
}

// zoned is small with a zone in which another cache owns everything.
func zoned(z *zone) cache.Options {
	opts := small
	opts.Zone = z
	return opts
}

func TestBlocksOfAnotherOwnerAreAskedOfItAnExtentAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := newFixture(t, 205, zoned(&zone{owner: always("")}))
		z := &zone{owner: always("o"), ask: from(owner.Cache)}
		f := newFixture(t, 205, zoned(z))
		for range 2 {
			f.read(t, 25, 90)
		}
		if got, want := z.trace(), []string{"20+20", "40+40", "80+40"}; !slices.Equal(got, want) {
			t.Errorf("asked for %q, want %q", got, want)
		}
		if got, want := owner.trace(), []string{"20+20", "40+40", "80+40"}; !slices.Equal(got, want) {
			t.Errorf("the owner's GETs %q, want %q", got, want)
		}
		if got := f.trace(); len(got) != 0 {
			t.Errorf("GETs %q beside the owner's", got)
		}
		synctest.Wait() // bytes are counted beside the reads
		s, o := f.Stats(), owner.Stats()
		if s.FromPeers != 10 || s.Hits != 10 || s.Misses != 10 || s.CopyBytes != s.Bytes || s.Bytes == 0 {
			t.Errorf("%+v", s)
		}
		if o.Hits+o.Misses+o.Joined != 0 || o.CopyBytes != 0 || o.Bytes == 0 {
			t.Errorf("the owner: %+v", o) // its Reads are counted, not those of others
		}
		owner.read(t, 25, 90)
		if got := owner.trace(); len(got) != 0 {
			t.Errorf("GETs of the owner %q for what it has", got)
		}
	})
}

func TestAnOwnerThatFailsIsAMiss(t *testing.T) {
	for name, ask := range map[string]func(context.Context, cache.Request, [][]byte, func()) error{
		"refuses":       func(context.Context, cache.Request, [][]byte, func()) error { return errors.New("full") },
		"knows no such": func(context.Context, cache.Request, [][]byte, func()) error { return objstore.ErrNotFound },
		"fails after it was late": func(_ context.Context, _ cache.Request, _ [][]byte, late func()) error {
			late()
			return errors.New("reset")
		},
		"fails half way": func(_ context.Context, _ cache.Request, dst [][]byte, _ func()) error {
			clear(dst[0])
			dst[0][0] = 1
			return errors.New("reset")
		},
		"says nothing": func(ctx context.Context, _ cache.Request, _ [][]byte, late func()) error {
			late()
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 205, zoned(&zone{owner: always("o"), ask: ask}))
				f.read(t, 0, 40)
				f.read(t, 0, 40)
				if got := f.trace(); !slices.Equal(got, []string{"0+40"}) {
					t.Errorf("GETs %q", got)
				}
				synctest.Wait()
				if s := f.Stats(); s.FromPeers != 0 || s.CopyBytes != s.Bytes || s.Bytes == 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestTheFirstAnswerIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var data []byte
		z := &zone{owner: always("o"), ask: func(ctx context.Context, r cache.Request, dst [][]byte, late func()) error {
			late()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
			for i := range dst {
				copy(dst[i], data[r.Offset+int64(i)*10:])
			}
			return nil
		}}
		f := newFixture(t, 205, zoned(z))
		data = f.data
		slow := func(d time.Duration, err error) {
			f.store.Before(func(ctx context.Context, call fault.Call) error {
				time.Sleep(d)
				return errors.Join(err, f.record(ctx, call))
			})
		}
		for _, tc := range []struct {
			name   string
			offset int64
			store  time.Duration
			err    error
			takes  time.Duration
			peers  int64
		}{
			{"the store's", 0, 300 * time.Millisecond, nil, 300 * time.Millisecond, 0},
			{"the owner's", 40, 3 * time.Second, nil, time.Second, 4},
			{"the owner's, where the store fails", 80, 300 * time.Millisecond, errors.New("outage"), time.Second, 4},
		} {
			slow(tc.store, tc.err)
			before, began := f.Stats().FromPeers, time.Now()
			f.read(t, tc.offset, 40)
			if d := time.Since(began); d != tc.takes {
				t.Errorf("%s: took %v", tc.name, d)
			}
			if n := f.Stats().FromPeers - before; n != tc.peers {
				t.Errorf("%s: %d blocks of peers", tc.name, n)
			}
			time.Sleep(time.Minute) // virtual: the GET that lost ends
			f.read(t, tc.offset, 40)
			if got := f.trace(); len(got) != 1 {
				t.Errorf("%s: GETs %q", tc.name, got)
			}
		}
	})
}

// TestCachesThatNameEachOtherDoNotWaitForEachOther has caches that each believe that the next one owns everything, and
// readers of all of them at once, so that all have loads that wait for the next one.
func TestCachesThatNameEachOtherDoNotWaitForEachOther(t *testing.T) {
	for n := 2; n <= 3; n++ {
		synctest.Test(t, func(t *testing.T) {
			fixtures, zones := make([]*fixture, n), make([]*zone, n)
			for i := range fixtures {
				zones[i] = &zone{owner: always("next")}
				fixtures[i] = newFixture(t, 205, zoned(zones[i]))
				fixtures[i].store.Before(func(ctx context.Context, call fault.Call) error {
					time.Sleep(100 * time.Millisecond)
					return fixtures[i].record(ctx, call)
				})
			}
			for i := range zones {
				zones[i].ask = from(fixtures[(i+1)%n].Cache)
			}
			began := time.Now()
			var readers sync.WaitGroup
			for i := range 5 * n {
				readers.Go(func() { fixtures[i%n].read(t, 0, 205) })
			}
			readers.Wait()
			if d := time.Since(began); d != 100*time.Millisecond {
				t.Errorf("%d caches: took %v", n, d)
			}
			for i, f := range fixtures {
				if got := f.trace(); len(got) > 6 || len(slices.Compact(got)) != len(got) {
					t.Errorf("cache %d of %d: GETs %q, want one an extent at most", i, n, got)
				}
			}
		})
	}
}

func TestPeersRequestsJoinLoadsOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, zoned(&zone{owner: always("")}))
		f.store.Before(func(ctx context.Context, call fault.Call) error {
			time.Sleep(time.Second)
			return f.record(ctx, call)
		})
		var readers sync.WaitGroup
		waited := 0
		readers.Go(func() { f.read(t, 0, 40) })
		synctest.Wait()
		for range 3 {
			readers.Go(func() {
				parts, err := f.ReadThrough(t.Context(), cache.Request{Key: "obj", ObjectSize: 100, Length: 40}, nil)
				if err != nil || !bytes.Equal(slices.Concat(parts...), f.data[:40]) {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		if got := f.trace(); !slices.Equal(got, []string{"0+40"}) {
			t.Errorf("GETs %q", got)
		}
		for _, offset := range []int64{0, 40} {
			r := cache.Request{Key: "obj", ObjectSize: 100, Offset: offset, Length: 40}
			if _, err := f.ReadThrough(t.Context(), r, func() { waited++ }); err != nil {
				t.Error(err)
			}
		}
		if waited != 1 {
			t.Errorf("told %d times that it takes a while, for one request of two that did", waited)
		}
	})
}

func TestCopiesHaveAQuarterOfTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 64 << 10
		z := &zone{owner: func(extent int64) string { return []string{"", "o"}[extent%2] }}
		opts := cache.Options{Bytes: bound, BlockBytes: 2 << 10, GetBytes: 4 << 10, Zone: z}
		f := newFixture(t, 1<<20, opts)
		z.answer(func(_ context.Context, r cache.Request, dst [][]byte, _ func()) error {
			for i := range dst {
				copy(dst[i], f.data[r.Offset+int64(i)*2<<10:])
			}
			return nil
		})
		for offset := int64(0); offset < 1<<20; offset += 50_000 {
			f.read(t, offset, 50_000)
		}
		synctest.Wait() // eviction runs beside the reads
		s := f.Stats()
		if s.CopyBytes > bound/4 || s.CopyBytes < bound/8 {
			t.Errorf("copies have %d bytes, the bound is %d", s.CopyBytes, bound/4)
		}
		if own := s.Bytes - s.CopyBytes; own > bound*3/4 || own < bound*3/8 {
			t.Errorf("own blocks have %d bytes, the bound is %d", own, bound*3/4)
		}
	})
}

func TestWhatIsForgottenIsReadFromTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := func(_ context.Context, _ cache.Request, dst [][]byte, _ func()) error {
			for i := range dst {
				dst[i][0] = 'x'
			}
			return nil
		}
		z := &zone{owner: always("o"), ask: wrong}
		f := newFixture(t, 100, zoned(z))
		get := func() bool {
			t.Helper()
			got, err := f.Read(t.Context(), "obj", 100, 0, 40)
			if err != nil {
				t.Fatal(err)
			}
			return bytes.Equal(slices.Concat(got...), f.data[:40])
		}
		for range 2 {
			if get() {
				t.Fatal("the test wants wrong bytes")
			}
		}
		f.Forget("obj")
		for range 2 {
			if !get() {
				t.Fatal("wrong bytes after Forget")
			}
		}
		f.Forget("obj") // the store has what it has
		if !get() || !slices.Equal(f.trace(), []string{"0+40"}) {
			t.Error("read again for a second Forget")
		}
		if s := f.Stats(); s.Forgotten != 1 {
			t.Errorf("%+v", s)
		}
		f.Forget("other")
		time.Sleep(time.Minute) // virtual
		f.Forget("obj")
		time.Sleep(time.Minute)
		if z.trace(); get() || len(z.trace()) != 1 {
			t.Error("the owner is not asked a minute later")
		}
	})
}

func TestBytesOfAPeerThatComeDuringForgetAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		z := &zone{owner: always("o"), ask: func(context.Context, cache.Request, [][]byte, func()) error {
			<-release
			return nil // zeros
		}}
		f := newFixture(t, 100, zoned(z))
		var reader sync.WaitGroup
		reader.Go(func() {
			if _, err := f.Read(t.Context(), "obj", 100, 0, 40); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		f.Forget("obj")
		close(release)
		reader.Wait()
		f.read(t, 0, 40)
	})
}

func TestCloseEndsRequestsToPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{owner: always("o"), ask: func(ctx context.Context, _ cache.Request, _ [][]byte, _ func()) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		f := newFixture(t, 100, zoned(z))
		failed := make(chan error, 1)
		go func() {
			_, err := f.Read(t.Context(), "obj", 100, 0, 40)
			failed <- err
		}()
		synctest.Wait()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, cache.ErrClosed) {
			t.Errorf("Read during Close: %v", err)
		}
	})
}

// TestReadsOfAZoneAreRight has three caches whose views of who owns what are random and change, and owners that fail,
// are late, or both, as they like.
func TestReadsOfAZoneAreRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inner := memory.New()
		data := rapid.SliceOfN(rapid.Byte(), 200, 200).Draw(t, "data")
		if err := inner.Put(context.Background(), "obj", [][]byte{data}); err != nil {
			t.Fatal(err)
		}
		owners := rapid.SliceOfN(rapid.SampledFrom([]string{"", "0", "1", "2"}), 7, 7)
		faults := rapid.SliceOfN(rapid.IntRange(0, 3), 5, 5)
		caches, zones := make([]*cache.Cache, 3), make([]*zoneOfThree, 3)
		for i := range caches {
			zones[i] = &zoneOfThree{caches: caches, owners: owners.Draw(t, "owners"), faults: faults.Draw(t, "faults")}
			var err error
			caches[i], err = cache.New(inner, cache.Options{Bytes: 4000, BlockBytes: 10, GetBytes: 30, Zone: zones[i]})
			if err != nil {
				t.Fatal(err)
			}
			defer caches[i].Close() //nolint:errcheck // never fails
		}
		for range 15 {
			var group sync.WaitGroup
			for _, c := range caches {
				offset := rapid.Int64Range(0, 199).Draw(t, "offset")
				length := rapid.Int64Range(0, 100).Draw(t, "length")
				group.Go(func() {
					c.Prefetch(context.Background(), "obj", 200, []objstore.Range{{Offset: offset / 2, Length: 20}})
					got, err := c.Read(context.Background(), "obj", 200, offset, length)
					if want := data[offset:min(offset+length, 200)]; err != nil || !bytes.Equal(slices.Concat(got...), want) {
						t.Errorf("Read %d+%d: %v, %v; want %v", offset, length, got, err, want)
					}
				})
			}
			group.Wait()
		}
	})
}

// zoneOfThree names owners of extents, "0" to "2", by a list, and fails in turn.
type zoneOfThree struct {
	caches []*cache.Cache
	owners []string

	mu     sync.Mutex
	faults []int
	asked  int
}

func (z *zoneOfThree) Owner(_ string, extent int64) string { return z.owners[extent] }

func (z *zoneOfThree) Ask(ctx context.Context, owner string, r cache.Request, dst [][]byte, late func()) error {
	z.mu.Lock()
	f := z.faults[z.asked%len(z.faults)]
	z.asked++
	z.mu.Unlock()
	if f&1 != 0 {
		late()
	}
	if f&2 != 0 {
		clear(dst[0])
		return errors.New("fault")
	}
	return from(z.caches[owner[0]-'0'])(ctx, r, dst, late)
}
