package cache_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
)

func TestPrefetchPlansRequests(t *testing.T) {
	type ranges = []objstore.Range
	for _, tc := range []struct {
		name   string
		zone   bool // another cache owns every second extent of 40 bytes
		ranges ranges
		want   []string // GETs, of an object of 205 bytes that has block 10 to 19
		asks   []string // of the owner
	}{
		{"adjacent ranges in one GET", false, ranges{{Offset: 20, Length: 10}, {Offset: 30, Length: 5}, {Offset: 37, Length: 8}}, []string{"20+30"}, nil},
		{"in any order, and over each other", false, ranges{{Offset: 41, Length: 1}, {Offset: 25, Length: 10}, {Offset: 33, Length: 5}, {Offset: 20, Length: 30}}, []string{"20+30"}, nil},
		{"a gap splits", false, ranges{{Offset: 20, Length: 10}, {Offset: 50, Length: 5}}, []string{"20+10", "50+10"}, nil},
		{"as many GETs as the limit asks for", false, ranges{{Offset: 20, Length: 185}}, []string{"20+40", "60+40", "100+40", "140+40", "180+25"}, nil},
		{"what is here is not loaded", false, ranges{{Offset: 0, Length: 30}}, []string{"0+10", "20+10"}, nil},
		{"nothing outside the object", false, ranges{{Offset: -5, Length: 10}, {Offset: 205, Length: 1}, {Offset: 300, Length: 5}, {Offset: 5, Length: 0}, {Offset: 5, Length: -1}, {Offset: 201, Length: 100}}, []string{"200+5"}, nil},
		{"none", false, nil, nil, nil},
		{"each owner's part in one request", true, ranges{{Offset: 20, Length: 100}, {Offset: 150, Length: 30}}, []string{"20+20", "80+40", "160+20"}, []string{"40+40", "150+10"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := small
				z := &zone{owner: func(extent int64) string { return []string{"", "o"}[extent%2] }}
				if tc.zone {
					opts.Zone = z
				}
				f := newFixture(t, 205, opts)
				z.answer(from(newFixture(t, 205, small).Cache))
				f.read(t, 10, 10)
				f.trace()
				f.Prefetch(t.Context(), "obj", 205, tc.ranges)
				synctest.Wait()
				if got := f.trace(); !slices.Equal(got, tc.want) {
					t.Errorf("GETs %q, want %q", got, tc.want)
				}
				if got := z.trace(); !slices.Equal(got, tc.asks) {
					t.Errorf("asked for %q, want %q", got, tc.asks)
				}
				before := f.Stats()
				for _, r := range tc.ranges {
					if r.Offset >= 0 && r.Offset < 205 && r.Length > 0 {
						if !f.Present("obj", 205, r.Offset, r.Length) {
							t.Errorf("%+v is not present", r)
						}
						f.read(t, r.Offset, r.Length)
					}
				}
				if got := f.trace(); len(got) != 0 {
					t.Errorf("GETs %q after the prefetch", got)
				}
				if s := f.Stats(); before.Hits != 0 || before.Misses != 1 || s.Misses != 1 {
					t.Errorf("counted before %+v, after %+v", before, s) // only what Reads need
				}
			})
		})
	}
}

func TestPrefetchDoesNotWaitAndReadsJoinIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, small)
		f.store.Before(func(ctx context.Context, call fault.Call) error {
			time.Sleep(time.Second)
			return f.record(ctx, call)
		})
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		f.Prefetch(ctx, "obj", 100, []objstore.Range{{Offset: 0, Length: 20}})
		cancel() // the loads go on
		if time.Since(began) != 0 || f.Present("obj", 100, 0, 20) {
			t.Error("Prefetch has waited")
		}
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() { f.read(t, 0, 20) })
		}
		readers.Wait()
		if time.Since(began) != time.Second {
			t.Errorf("took %v", time.Since(began))
		}
		if got := f.trace(); !slices.Equal(got, []string{"0+20"}) {
			t.Errorf("GETs %q", got)
		}
		if s := f.Stats(); s.Joined != 8 || s.Misses != 0 {
			t.Errorf("%+v", s)
		}
		f.Prefetch(ctx, "obj", 100, []objstore.Range{{Offset: 50, Length: 10}})
		synctest.Wait()
		if got := f.trace(); len(got) != 0 {
			t.Errorf("GETs %q for a context that had ended", got)
		}
	})
}

func TestPrefetchHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := small
		opts.PrefetchBytes = 60
		f := newFixture(t, 200, opts)
		release := make(chan struct{})
		f.store.Before(func(ctx context.Context, call fault.Call) error {
			<-release
			return f.record(ctx, call)
		})
		f.Prefetch(t.Context(), "obj", 200, []objstore.Range{{Offset: 0, Length: 45}})
		f.Prefetch(t.Context(), "obj", 200, []objstore.Range{{Offset: 0, Length: 50}, {Offset: 70, Length: 40}})
		if s := f.Stats(); s.Dropped != 1 {
			t.Errorf("%+v", s)
		}
		close(release)
		synctest.Wait()
		if got := f.trace(); !slices.Equal(got, []string{"0+40", "40+10", "70+10"}) {
			t.Errorf("GETs %q", got)
		}
		f.Prefetch(t.Context(), "obj", 200, []objstore.Range{{Offset: 130, Length: 60}}) // room again
		synctest.Wait()
		if got := f.trace(); !slices.Equal(got, []string{"130+40", "170+20"}) {
			t.Errorf("GETs %q", got)
		}
	})
}

func TestCloseEndsPrefetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, small)
		f.store.Before(func(ctx context.Context, _ fault.Call) error {
			<-ctx.Done()
			return ctx.Err()
		})
		f.Prefetch(t.Context(), "obj", 100, []objstore.Range{{Offset: 0, Length: 40}})
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f.Prefetch(t.Context(), "obj", 100, []objstore.Range{{Offset: 0, Length: 40}})
		if s := f.Stats(); s.Gets != 1 || s.Failures != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestPresent(t *testing.T) {
	f := newFixture(t, 205, small)
	f.read(t, 20, 20)
	f.read(t, 200, 5)
	for _, tc := range []struct {
		offset, length int64
		want           bool
	}{{20, 20, true}, {25, 3, true}, {15, 10, false}, {35, 10, false}, {200, 100, true}, {195, 10, false}, {60, 0, true}} {
		if got := f.Present("obj", 205, tc.offset, tc.length); got != tc.want {
			t.Errorf("%d+%d: %v", tc.offset, tc.length, got)
		}
	}
	if f.Present("other", 205, 20, 20) {
		t.Error("another object's bytes are present")
	}
}
