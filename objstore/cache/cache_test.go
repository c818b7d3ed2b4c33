package cache_test

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

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/cache"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/memory"
)

// small has blocks of 10 bytes and GETs of up to 40.
var small = cache.Options{Bytes: 1 << 20, BlockBytes: 10, GetBytes: 40, LoadTimeout: time.Minute}

// fixture is a cache over a store that holds one object, "obj", and remembers its GETs.
type fixture struct {
	*cache.Cache
	store *fault.Store
	data  []byte

	mu   sync.Mutex
	gets []string
}

func newFixture(t testing.TB, size int, opts cache.Options) *fixture {
	t.Helper()
	inner := memory.New()
	f := &fixture{store: fault.Wrap(inner), data: make([]byte, size)}
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(f.data) //nolint:errcheck // ChaCha8 never fails
	if err := inner.Put(context.Background(), "obj", [][]byte{f.data}); err != nil {
		t.Fatal(err)
	}
	f.store.Before(f.record)
	var err error
	if f.Cache, err = cache.New(f.store, opts); err != nil {
		t.Fatal(err)
	}
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
	f.gets = append(f.gets, fmt.Sprintf("%d+%d", call.Offset, call.Length))
	return nil
}

// trace returns the GETs since the last call, in the order of their offsets: GETs of one Read run side by side.
func (f *fixture) trace() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	gets := f.gets
	f.gets = nil
	slices.SortFunc(gets, func(a, b string) int {
		var x, y int
		fmt.Sscanf(a, "%d", &x) //nolint:errcheck // record wrote it
		fmt.Sscanf(b, "%d", &y) //nolint:errcheck // record wrote it
		return x - y
	})
	return gets
}

func (f *fixture) read(t testing.TB, offset, length int64) [][]byte {
	t.Helper()
	got, err := f.Read(context.Background(), "obj", int64(len(f.data)), offset, length)
	if err != nil {
		t.Fatalf("Read %d+%d: %v", offset, length, err)
	}
	if end := min(offset+length, int64(len(f.data))); !bytes.Equal(slices.Concat(got...), f.data[offset:end]) {
		t.Fatalf("Read %d+%d: wrong bytes", offset, length)
	}
	return got
}

func TestRequestsToTheStore(t *testing.T) {
	for _, tc := range []struct {
		name  string
		reads [][2]int64 // offset, length
		want  []string   // GETs, of an object of 205 bytes
	}{
		{"one byte loads its block", [][2]int64{{33, 1}}, []string{"30+10"}},
		{"a loaded block is not loaded again", [][2]int64{{30, 10}, {35, 2}, {39, 1}}, []string{"30+10"}},
		{"two blocks in one GET", [][2]int64{{39, 2}}, []string{"30+20"}},
		{"as many GETs as the limit asks for", [][2]int64{{0, 90}}, []string{"0+40", "40+40", "80+10"}},
		{"a loaded block splits", [][2]int64{{20, 5}, {0, 50}}, []string{"0+20", "20+10", "30+20"}},
		{"only what is missing", [][2]int64{{0, 30}, {0, 50}}, []string{"0+30", "30+20"}},
		{"the last block is short", [][2]int64{{195, 100}}, []string{"190+15"}},
		{"no bytes, no GET", [][2]int64{{100, 0}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, 205, small)
			for _, r := range tc.reads {
				f.read(t, r[0], r[1])
			}
			if got := f.trace(); !slices.Equal(got, tc.want) {
				t.Fatalf("GETs %q, want %q", got, tc.want)
			}
		})
	}
}

func TestReadsTheObjectsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 300).Draw(t, "size")
		block := rapid.IntRange(1, 40).Draw(t, "block")
		inner := memory.New()
		data := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "data")
		if err := inner.Put(context.Background(), "obj", [][]byte{data}); err != nil {
			t.Fatal(err)
		}
		c, err := cache.New(inner, cache.Options{Bytes: 2000, BlockBytes: block, GetBytes: block * rapid.IntRange(1, 5).Draw(t, "blocks a GET")})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			offset := rapid.Int64Range(0, int64(size)-1).Draw(t, "offset")
			length := rapid.Int64Range(0, 400).Draw(t, "length")
			got, err := c.Read(context.Background(), "obj", int64(size), offset, length)
			if want := data[offset:min(offset+length, int64(size))]; err != nil || !bytes.Equal(slices.Concat(got...), want) {
				t.Fatalf("Read %d+%d: %v, %v; want %v", offset, length, got, err, want)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestResultsShareTheCachedMemory(t *testing.T) {
	f := newFixture(t, 100, small)
	first, second := f.read(t, 5, 20), f.read(t, 5, 20)
	if len(first) != 3 {
		t.Fatalf("%d slices, want one a block", len(first))
	}
	for i := range first {
		if &first[i][0] != &second[i][0] {
			t.Fatalf("slice %d was copied", i)
		}
	}
}

func TestBlocksOfOneGetDoNotShareAnArray(t *testing.T) {
	f := newFixture(t, 100, small)
	for i, block := range f.read(t, 0, 40) {
		if cap(block) != 10 { // else a block that stays keeps those that were evicted alive
			t.Errorf("block %d has the capacity %d", i, cap(block))
		}
	}
}

func TestConcurrentReadsLoadABlockOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, small)
		release := make(chan struct{})
		f.store.Before(func(ctx context.Context, call fault.Call) error {
			<-release
			return f.record(ctx, call)
		})
		var group sync.WaitGroup
		for i := range 16 {
			group.Go(func() { f.read(t, int64(i%10), 10) })
		}
		synctest.Wait()
		if s := f.Stats(); s.Misses+s.Joined != 16+14 || s.Misses != 2 {
			t.Fatalf("%+v", s) // every offset but 0 needs two blocks
		}
		close(release)
		group.Wait()
		if got := f.trace(); len(got) > 2 {
			t.Fatalf("GETs %q", got)
		}
		f.read(t, 0, 20)
		if s := f.Stats(); s.Hits != 2 || s.Gets > 2 || s.GetBytes != 20 || s.Failures != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestCancelledReadFailsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, small)
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
			_, err := f.Read(ctx, "obj", 100, 0, 10)
			first <- err
		}()
		synctest.Wait()
		var group sync.WaitGroup
		group.Go(func() { f.read(t, 0, 10) })
		synctest.Wait()
		cancel() // of the Read that began the load
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled Read: %v", err)
		}
		close(release)
		group.Wait()
		if got := f.trace(); !slices.Equal(got, []string{"0+10"}) {
			t.Fatalf("GETs %q", got)
		}
	})
}

func TestLoadHasItsOwnBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, small)
		f.store.Before(func(ctx context.Context, _ fault.Call) error {
			<-ctx.Done()
			return ctx.Err()
		})
		began := time.Now()
		_, err := f.Read(t.Context(), "obj", 100, 0, 10)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
	})
}

func TestCloseEndsLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, small)
		f.read(t, 50, 10)
		f.store.Before(func(ctx context.Context, _ fault.Call) error {
			<-ctx.Done()
			return ctx.Err()
		})
		failed := make(chan error, 1)
		go func() {
			_, err := f.Read(t.Context(), "obj", 100, 0, 10)
			failed <- err
		}()
		synctest.Wait()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, cache.ErrClosed) {
			t.Fatalf("Read during Close: %v", err)
		}
		if _, err := f.Read(t.Context(), "obj", 100, 20, 10); !errors.Is(err, cache.ErrClosed) {
			t.Fatalf("Read after Close: %v", err)
		}
		f.read(t, 50, 10)
	})
}

func TestErrorsAreNotKept(t *testing.T) {
	f := newFixture(t, 100, small)
	outage := errors.New("outage")
	f.store.Before(func(context.Context, fault.Call) error { return outage })
	if _, err := f.Read(t.Context(), "obj", 100, 0, 30); !errors.Is(err, outage) {
		t.Fatalf("Read during the outage: %v", err)
	}
	f.store.Before(f.record)
	f.read(t, 0, 30)
	if s := f.Stats(); s.Failures != 1 || s.Gets != 2 {
		t.Fatalf("%+v", s)
	}
	for range 2 {
		if _, err := f.Read(t.Context(), "gone", 100, 0, 30); !errors.Is(err, objstore.ErrNotFound) {
			t.Fatalf("Read of no object: %v", err)
		}
	}
	if s := f.Stats(); s.Gets != 4 {
		t.Fatalf("%+v", s)
	}
}

func TestMetadataThatDisagreesIsAnError(t *testing.T) {
	f := newFixture(t, 100, small)
	if _, err := f.Read(t.Context(), "obj", 105, 90, 15); err == nil {
		t.Fatal("read past the end of the object")
	}
	f.read(t, 90, 10) // by one who knows better
	if got, err := f.Read(t.Context(), "obj", 95, 90, 10); err != nil || len(slices.Concat(got...)) != 5 {
		t.Fatalf("an object believed shorter: %v, %v", got, err)
	}
	if _, err := f.Read(t.Context(), "obj", 95, 80, 15); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(t.Context(), "obj", 33, 30, 3); err != nil || f.Present("obj", 100, 30, 10) {
		t.Fatalf("an object believed shorter: %v", err)
	}
	f.read(t, 30, 10) // which loads the whole block
	for _, r := range [][2]int64{{-1, 5}, {100, 1}, {101, 0}, {0, -1}} {
		if _, err := f.Read(t.Context(), "obj", 100, r[0], r[1]); !errors.Is(err, objstore.ErrRange) {
			t.Errorf("Read %d+%d: %v, want ErrRange", r[0], r[1], err)
		}
	}
}

func TestBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 64 << 10
		f := newFixture(t, 1<<20, cache.Options{Bytes: bound, BlockBytes: 4 << 10})
		for offset := int64(0); offset < 1<<20; offset += 50_000 {
			f.read(t, offset, 50_000)
		}
		synctest.Wait() // eviction runs beside the reads
		if s := f.Stats(); s.Bytes > bound || s.Bytes < bound/2 {
			t.Fatalf("holds %d bytes, the bound is %d", s.Bytes, bound)
		}
	})
}

func TestBadOptions(t *testing.T) {
	for name, opts := range map[string]cache.Options{
		"no room for a block":       {Bytes: 1 << 20},
		"negative block":            {BlockBytes: -1},
		"GETs smaller than a block": {BlockBytes: 1 << 20, GetBytes: 1 << 19},
		"negative timeout":          {LoadTimeout: -1},
	} {
		if _, err := cache.New(memory.New(), opts); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func BenchmarkReadHit(b *testing.B) {
	f := newFixture(b, 16<<20, cache.Options{})
	for _, length := range []int64{64 << 10, 4 << 20} {
		b.Run(fmt.Sprintf("%dKiB", length>>10), func(b *testing.B) {
			f.read(b, 0, 16<<20)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := int64(0); pb.Next(); i++ {
					if _, err := f.Read(context.Background(), "obj", 16<<20, i%12<<20, length); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
