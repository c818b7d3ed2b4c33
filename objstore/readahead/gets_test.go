package readahead

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/objstore/memory"
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
				limit, sent := tc.store.run(t, newGets(8, 2), 20*time.Second)
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
		g := newGets(8, 2)
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
	g := newGets(8, 2)
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

// moves sends GETs of 4 MiB one after the other that take so long, so that their speed is known.
func (g *gets) moves(t *testing.T, took time.Duration) {
	t.Helper()
	for range getsWindow {
		if err := g.begin(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		g.end(time.Now(), 4<<20, took)
	}
}

const (
	nearGet = 6 * time.Millisecond  // 4 MiB of a near store
	farGet  = 40 * time.Millisecond // of S3
)

// The first sign of a queue is looked for in strides.
func TestGetsAreSoonAsManyAsAStoreWithLatencyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit, sent := store(func(int) time.Duration { return farGet }).run(t, newGets(16, 2), time.Second*3/4)
		if limit != 16 {
			t.Errorf("limit %.1f after %d GETs", limit, sent)
		}
	})
}

// Who is waited for by somebody takes a turn where GETs only take processors from the tail, and nowhere else.
func TestGetsOfANearStoreAreFewWhileTheTailIsServed(t *testing.T) {
	for _, c := range []struct {
		name       string
		took       time.Duration
		tail       time.Duration // since it was served; 0: it was not
		processors int
		most       int // 0: no limit
	}{
		{"near, tail", nearGet, time.Millisecond, 2, 1},
		{"near, tail, one processor", nearGet, time.Millisecond, 1, 1},
		{"near, tail, four processors", nearGet, time.Millisecond, 4, 2},
		{"near, no tail", nearGet, 0, 2, 0},
		{"near, tail a while ago", nearGet, 2 * courtesyTail, 2, 0},
		{"far, tail", farGet, time.Millisecond, 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGets(16, c.processors)
				g.moves(t, c.took)
				if c.tail > 0 {
					g.hurry(time.Now())
					time.Sleep(c.tail)
				}
				var mu sync.Mutex
				running, most := 0, 0
				count := func(change int) {
					mu.Lock()
					defer mu.Unlock()
					running += change
					most = max(most, running)
				}
				var all sync.WaitGroup
				for range 6 {
					all.Go(func() {
						turned, err := g.urge(t.Context())
						if err != nil || turned != (c.most > 0) {
							t.Errorf("turned %v, %v", turned, err)
						}
						count(1)
						time.Sleep(time.Millisecond)
						count(-1)
						if turned {
							g.end(time.Now(), 4<<20, c.took)
						}
					})
					synctest.Wait()
				}
				all.Wait()
				if want := c.most; most != want && (want > 0 || most != 6) {
					t.Errorf("%d at a time, want %d", most, want)
				}
				if g.now() != 0 || len(g.urgent)+len(g.waiting) > 0 {
					t.Errorf("%d run and %d wait at the end", g.now(), len(g.urgent)+len(g.waiting))
				}
			})
		})
	}
}

// GETs that hang hold up those that somebody waits for, but not for long.
func TestAGetThatHangsHoldsUpOthersForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGets(16, 2)
		g.moves(t, nearGet)
		g.hurry(time.Now())
		if turned, err := g.urge(t.Context()); !turned || err != nil {
			t.Fatal(turned, err)
		}
		began := time.Now()
		if turned, err := g.urge(t.Context()); !turned || err != nil || time.Since(began) != getsPatience {
			t.Errorf("turned %v, %v, after %v", turned, err, time.Since(began))
		}
		if g.now() != 2 {
			t.Errorf("%d run", g.now())
		}
		ctx, cancel := context.WithTimeout(t.Context(), getsPatience/2)
		defer cancel()
		if turned, err := g.urge(ctx); turned || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("turned %v, %v", turned, err)
		}
		if g.now() != 2 || len(g.urgent) > 0 {
			t.Errorf("%d run, %d wait", g.now(), len(g.urgent))
		}
	})
}

// A GET that hangs has the only turn beside the tail. When nobody is at the tail any more there are others, though it still hangs.
func TestAGetThatHangsHoldsUpNoneOnceTheTailIsLeft(t *testing.T) {
	for name, come := range map[string]func(context.Context, *gets) error{
		"one ahead comes": func(ctx context.Context, g *gets) error { return g.begin(ctx, nil) },
		"one that somebody waits for comes": func(ctx context.Context, g *gets) error {
			_, err := g.urge(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGets(16, 2)
				g.moves(t, nearGet)
				g.hurry(time.Now())
				ctx, cancel := context.WithTimeout(t.Context(), 3*courtesyTail)
				defer cancel()
				if err := g.begin(ctx, nil); err != nil { // and hangs
					t.Fatal(err)
				}
				waited := make(chan error, 1)
				go func() { waited <- g.begin(ctx, nil) }()
				time.Sleep(2 * courtesyTail)
				if err := come(ctx, g); err != nil {
					t.Errorf("who came got no turn: %v", err)
				}
				if err := <-waited; err != nil {
					t.Errorf("who waited got no turn: %v", err)
				}
			})
		})
	}
}

// What was learnt of a store by large GETs is forgotten when there are none: the small ones of now tell nothing of it.
func TestANearStoreIsNotNearForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGets(16, 2)
		g.moves(t, nearGet)
		g.hurry(time.Now())
		if !g.sparing(time.Now()) {
			t.Fatal("the store is not near")
		}
		for until := time.Now().Add(getsKnown); !time.Now().After(until); time.Sleep(courtesyTail) {
			g.hurry(time.Now())
			if turned, err := g.urge(t.Context()); err != nil {
				t.Fatal(err)
			} else if turned {
				g.end(time.Now(), getsMeant-1, time.Second)
			}
		}
		g.hurry(time.Now())
		if g.sparing(time.Now()) {
			t.Errorf("the store is near, %v after the last GET that told so", getsKnown)
		}
		g.moves(t, farGet)
		if g.hurry(time.Now()); g.sparing(time.Now()) {
			t.Error("the store is near, by what it was")
		}
		g.moves(t, nearGet)
		if g.hurry(time.Now()); !g.sparing(time.Now()) {
			t.Error("the store is not near, by what it is")
		}
	})
}

func TestGetsThatSomebodyWaitsForGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGets(16, 2)
		g.moves(t, nearGet)
		g.hurry(time.Now())
		if _, err := g.urge(t.Context()); err != nil {
			t.Fatal(err)
		}
		var order []string
		var all sync.WaitGroup
		all.Go(func() {
			if err := g.begin(t.Context(), nil); err != nil {
				t.Error(err)
			}
			order = append(order, "ahead")
			g.end(time.Now(), 0, 0)
		})
		synctest.Wait()
		all.Go(func() {
			if _, err := g.urge(t.Context()); err != nil {
				t.Error(err)
			}
			order = append(order, "needed")
			g.end(time.Now(), 0, 0)
		})
		synctest.Wait()
		g.end(time.Now(), 0, 0)
		all.Wait()
		if len(order) != 2 || order[0] != "needed" {
			t.Errorf("in the order %v", order)
		}
	})
}

// Few GETs are larger ones, where that leaves room for others.
func TestFewGetsAreLarger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for bound, want := range map[int64]int64{128 << 20: 8 << 20, 48 << 20: 6 << 20, 8 << 20: 4 << 20} {
			p := New(memory.New(), Options{Bytes: bound})
			if got := p.getBytes(0); got != 4<<20 {
				t.Errorf("%d MiB with nobody at the tail", got>>20)
			}
			p.gets.moves(t, nearGet)
			p.Hurry()
			if got := p.getBytes(0); got != want {
				t.Errorf("%d MiB beside the tail in a pool of %d", got>>20, bound>>20)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
