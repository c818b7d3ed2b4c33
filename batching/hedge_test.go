package batching_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/objstore"
)

// counted reads a counter without labels.
func counted(t *testing.T, reg *prometheus.Registry, name string) int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// warm makes n PUTs, one after the other.
func (r *rig) warm(n int) {
	r.t.Helper()
	for range n {
		r.offsets(r.append(r.batch(9, 1, 100)))
	}
}

func quickly(_ context.Context, next func() error) error {
	time.Sleep(10 * time.Millisecond)
	return next()
}

func stuck(ctx context.Context, _ func() error) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestLatePutIsOvertakenByASecond(t *testing.T) {
	for name, first := range map[string]func(ctx context.Context, next func() error) error{
		"stuck": stuck,
		"the object arrives, the answer does not": func(ctx context.Context, next func() error) error {
			if err := next(); err != nil {
				return err
			}
			return stuck(ctx, next)
		},
		"fails late": func(_ context.Context, _ func() error) error {
			time.Sleep(55 * time.Millisecond)
			return errBroken
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewRegistry()
				r := start(t, batching.Options{MinLinger: -1, MaxLinger: -1, Registerer: reg})
				r.store.put = func(ctx context.Context, n int, next func() error) error {
					if n == 101 {
						return first(ctx, next)
					}
					return quickly(ctx, next)
				}
				r.warm(100)
				begin := time.Now()
				r.wantOffsets(r.append(r.batch(0, 1, 100)), 0)
				took(t, begin, 60*time.Millisecond) // the shortest wait, and a PUT
				trace := r.store.trace()[100:]
				if len(trace) != 2 || len(slices.Compact(trace)) != 1 {
					t.Errorf("PUTs: %q, want one twice", trace)
				}
				if n := len(r.log.calls()); n != 101 {
					t.Errorf("%d commits", n)
				}
				if n, won := counted(t, reg, "runnel_batching_put_hedges_total"), counted(t, reg, "runnel_batching_put_hedges_won_total"); n != 1 || won != 1 {
					t.Errorf("%d second PUTs counted, of which %d won", n, won)
				}
			})
		})
	}
}

func TestSecondPutThatFailsLeavesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{MinLinger: -1, MaxLinger: -1})
		r.store.put = func(ctx context.Context, n int, next func() error) error {
			switch n {
			case 101:
				time.Sleep(time.Second)
			case 102:
				return errBroken
			}
			return quickly(ctx, next)
		}
		r.warm(100)
		begin := time.Now()
		r.wantOffsets(r.append(r.batch(0, 1, 100)), 0)
		took(t, begin, 1010*time.Millisecond)
	})
}

func TestSecondPutsAreFewWhenAllAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{MinLinger: -1, MaxLinger: -1})
		slow := false
		r.store.put = func(ctx context.Context, n int, next func() error) error {
			if slow {
				time.Sleep(10*time.Second + time.Duration(n%100)*time.Millisecond)
			}
			return quickly(ctx, next)
		}
		r.warm(100)
		slow = true
		r.warm(900)
		extra := len(r.store.trace()) - 1000
		if extra > 50 {
			t.Errorf("%d second PUTs beside 1,000", extra)
		}
		// The estimate has followed: only what is slow beside the others is late.
		before := len(r.store.trace())
		r.warm(100)
		if n := len(r.store.trace()) - before; n > 102 {
			t.Errorf("%d PUTs of 100 objects", n)
		}
	})
}

func TestRunWaitsForThePutThatWasOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{MinLinger: -1, MaxLinger: -1})
		r.store.put = func(ctx context.Context, n int, next func() error) error {
			if n == 101 {
				time.Sleep(time.Minute) // deaf to its context
				return ctx.Err()
			}
			return quickly(ctx, next)
		}
		r.warm(100)
		begin := time.Now()
		r.warm(1)
		took(t, begin, 60*time.Millisecond)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		took(t, begin, time.Minute)
	})
}

// Promise 5: a store that says that an object exists which nobody can read, be it for a moment or because an attempt
// left traces, is not believed.
func TestAnObjectThatIsSaidToExistMustBeThere(t *testing.T) {
	for name, there := range map[string]bool{"a moment later": true, "never": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, batching.Options{MinLinger: -1, MaxLinger: -1, UploadTimeout: 10 * time.Second})
				begin := time.Now()
				published := errBroken
				r.store.put = func(_ context.Context, _ int, next func() error) error {
					if there && time.Since(begin) >= 3*time.Second {
						published = next()
					}
					return objstore.ErrExists
				}
				p := r.append(r.batch(0, 1, 100))
				results, err := p.Wait(t.Context())
				if !there {
					if !errors.Is(err, batching.ErrStorage) {
						t.Errorf("results %+v, error %v; want that the store did not take it", results, err)
					}
					if n := len(r.runs(0)); n != 0 {
						t.Errorf("%d runs are committed whose object does not exist", n)
					}
					return
				}
				if err != nil || results[0].Offset != 0 {
					t.Errorf("results %+v, error %v", results, err)
				}
				if took := time.Since(begin); took < 3*time.Second || published != nil {
					t.Errorf("acknowledged after %v, before the object was there (%v)", took, published)
				}
			})
		})
	}
}
