package readahead

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// store takes as long for a GET as so many at a time do.
type store func(running int) time.Duration

// run sends GETs of 4 MiB by many callers for a time, and returns the limit at its end and how many GETs there were.
func (s store) run(t *testing.T, g *gets, long time.Duration) (limit float64, sent int) {
	t.Helper()
	var mu sync.Mutex
	running := 0
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			for g.begin(ctx, nil) == nil {
				mu.Lock()
				running++
				took := s(running)
				if running > int(g.most) {
					t.Errorf("%d at a time", running)
				}
				mu.Unlock()
				time.Sleep(took) // virtual
				mu.Lock()
				running--
				sent++
				mu.Unlock()
				g.end(time.Now(), 4<<20, took)
			}
		})
	}
	group.Wait()
	if g.running != 0 || len(g.waiting) != 0 {
		t.Errorf("%d run and %d wait at the end", g.running, len(g.waiting))
	}
	return g.limit, sent
}

func TestGetsAreAsManyAsDoNotQueue(t *testing.T) {
	for _, tc := range []struct {
		name        string
		store       store
		least, most float64 // limit
	}{
		{"much latency, much bandwidth", func(int) time.Duration { return 80 * time.Millisecond }, 8, 8},
		{"busy with two", func(running int) time.Duration {
			return time.Duration(math.Max(1, float64(running)/2) * float64(3*time.Millisecond))
		}, 2, 5.5},
		{"busy with five", func(running int) time.Duration {
			return time.Duration(math.Max(1, float64(running)/5) * float64(20*time.Millisecond))
		}, 5, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limit, sent := tc.store.run(t, newGets(8), 20*time.Second)
				t.Logf("limit %.1f after %d GETs", limit, sent)
				if limit < tc.least || limit > tc.most {
					t.Errorf("want %.1f to %.1f", tc.least, tc.most)
				}
			})
		})
	}
}

// A store that was busy for a while is asked for as much as before when it no longer is.
func TestGetsRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGets(8)
		store(func(int) time.Duration { return 50 * time.Millisecond }).run(t, g, 10*time.Second)
		busy, _ := store(func(running int) time.Duration { return time.Duration(running) * 100 * time.Millisecond }).run(t, g, 30*time.Second)
		after, _ := store(func(int) time.Duration { return 50 * time.Millisecond }).run(t, g, 30*time.Second)
		if busy > 3 || after < 8 {
			t.Errorf("limit %.1f while it is busy, %.1f after", busy, after)
		}
	})
}

// A large GET takes longer than a small one without any queue: it is no sign that there are too many.
func TestGetsOfOtherSizesAreNotQueues(t *testing.T) {
	g := newGets(8)
	load := func(count, size int, took time.Duration) float64 {
		for range count {
			if err := g.begin(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			g.end(time.Now(), size, took)
		}
		return g.limit
	}
	if limit := load(200, 4<<20, 60*time.Millisecond); limit != 8 {
		t.Fatalf("limit %.1f after small ones", limit)
	}
	if limit := load(200, 16<<20, 200*time.Millisecond); limit != 8 {
		t.Errorf("limit %.1f after large ones", limit)
	}
	if limit := load(200, 16<<20, 400*time.Millisecond); limit > 5 {
		t.Errorf("limit %.1f after large ones that take twice as long", limit)
	}
}
