package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

func TestWaitersShareAQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queries atomic.Int32
		w := newWatch(50*time.Millisecond, func(context.Context) (metastore.Seq, error) {
			if queries.Add(1) == 3 {
				return 8, nil
			}
			return 7, nil
		})
		defer w.close()
		start := time.Now()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := w.wait(t.Context(), 7); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); queries.Load() != 3 || took != 150*time.Millisecond {
			t.Errorf("%d queries in %s, want 3 in 150ms", queries.Load(), took)
		}
	})
}

func TestWaitReturns(t *testing.T) {
	down := errors.New("database is down")
	for name, c := range map[string]struct {
		newest metastore.Seq
		err    error
		after  metastore.Seq
		want   time.Duration
	}{
		"NoNews":     {7, nil, 7, waitRounds * time.Second},
		"News":       {8, nil, 7, time.Second},
		"Regression": {6, nil, 7, time.Second},
		"Failure":    {0, down, 7, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(time.Second, func(context.Context) (metastore.Seq, error) { return c.newest, c.err })
				defer w.close()
				start := time.Now()
				if err := w.wait(t.Context(), c.after); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took != c.want {
					t.Errorf("took %s, want %s", took, c.want)
				}
			})
		})
	}
}

func TestWaitIsWokenByOwnAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(time.Hour, func(context.Context) (metastore.Seq, error) { return 0, nil })
		defer w.close()
		woken := make(chan error, 1)
		go func() { woken <- w.wait(t.Context(), 0) }()
		synctest.Wait()
		start := time.Now()
		w.appended(1)
		if err := <-woken; err != nil || time.Since(start) != 0 {
			t.Errorf("woken after %s (%v)", time.Since(start), err)
		}
	})
}

func TestNobodyWaitingCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queries atomic.Int32
		w := newWatch(time.Second, func(context.Context) (metastore.Seq, error) { return metastore.Seq(queries.Add(1)), nil })
		defer w.close()
		if err := w.wait(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := queries.Load(); n != 1 {
			t.Errorf("%d queries, want 1", n)
		}
	})
}

// Who leads a round does so with its own ctx: another takes its place when that ends.
func TestRoundGoesOnWithoutWhoBeganIt(t *testing.T) {
	for name, after := range map[string]time.Duration{"in the pause": 500 * time.Millisecond, "in the look": 1500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var queries atomic.Int32
				w := newWatch(time.Second, func(ctx context.Context) (metastore.Seq, error) {
					queries.Add(1)
					select {
					case <-time.After(time.Second):
						return 8, nil
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				})
				defer w.close()
				leads, leave := context.WithCancel(t.Context())
				left, told := make(chan error, 1), make(chan error, 1)
				go func() { left <- w.wait(leads, 7) }()
				synctest.Wait()
				go func() { told <- w.wait(t.Context(), 7) }()
				start := time.Now()
				time.Sleep(after)
				leave()
				if err := <-left; !errors.Is(err, context.Canceled) || time.Since(start) != after {
					t.Errorf("who began returned %v after %s, want %v after %s", err, time.Since(start), context.Canceled, after)
				}
				if err := <-told; err != nil || time.Since(start) != after+2*time.Second {
					t.Errorf("the other was told %v after %s, want nothing else than news after %s", err, time.Since(start), after+2*time.Second)
				}
			})
		})
	}
}

func TestWaitEndsWithTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(time.Hour, func(context.Context) (metastore.Seq, error) { return 0, nil })
		ended := make(chan error, 2)
		for range 2 {
			go func() { ended <- w.wait(t.Context(), 0) }()
		}
		synctest.Wait()
		start := time.Now()
		w.close()
		for range 2 {
			if err := <-ended; !errors.Is(err, ErrClosed) || time.Since(start) != 0 {
				t.Errorf("ended with %v after %s, want %v", err, time.Since(start), ErrClosed)
			}
		}
	})
}
