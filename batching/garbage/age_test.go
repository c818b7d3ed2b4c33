package garbage_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/segment"
)

// TestAClockThatJumpsAheadEndsNoGrace: by the metastore's clock hours pass at once. What waits for its grace waits on.
func TestAClockThatJumpsAheadEndsNoGrace(t *testing.T) {
	for name, jump := range map[string]func(r *rig, clock *clock, open func() *garbage.Collector) *garbage.Collector{
		"while its broker collects": func(r *rig, clock *clock, open func() *garbage.Collector) *garbage.Collector {
			c := open()
			r.must(run(r.t.Context(), c, 10*time.Minute))
			clock.ahead = 5 * time.Hour
			return c
		},
		"while its broker looks on": func(r *rig, clock *clock, open func() *garbage.Collector) *garbage.Collector {
			c := open()
			c.Look()
			time.Sleep(10 * time.Minute)
			c.Look()
			clock.ahead = 5 * time.Hour
			return c
		},
		"before its broker starts": func(r *rig, clock *clock, open func() *garbage.Collector) *garbage.Collector {
			time.Sleep(10 * time.Minute)
			clock.ahead = 5 * time.Hour
			return open()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				clock := &clock{}
				early := []string{r.write(0)}
				r.forget(0)
				c := jump(r, clock, func() *garbage.Collector {
					return r.collector(r.replica, garbage.Options{SweepEvery: -1, Now: clock.now})
				})
				r.must(run(t.Context(), c, time.Minute))
				late := []string{r.write(1)} // let go after the jump
				r.forget(1)
				r.must(run(t.Context(), c, 48*time.Minute))
				r.expect("when the first is 59 minutes old", early, late)
				r.must(run(t.Context(), c, 3*time.Minute))
				r.expect("when it is 62 minutes old", late)
				r.must(run(t.Context(), c, 10*time.Minute))
				r.expect("when the second is an hour old")
			})
		})
	}
}

// TestAClockThatIsPutRightEndsNoGrace: the metastore's clock was behind when the object was let go, and is not any more. This
// machine's clock does not tell, for it says the same as the metastore's does now.
func TestAClockThatIsPutRightEndsNoGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		clock := &clock{}
		c := r.collector(r.replica, garbage.Options{SweepEvery: -1, Now: clock.now, Wall: clock.ours})
		r.must(run(t.Context(), c, time.Minute))
		kept := []string{r.write(0)}
		r.forget(0)
		clock.ahead, clock.wall = 2*time.Hour, 2*time.Hour
		r.must(run(t.Context(), c, 59*time.Minute))
		r.expect("when it is 59 minutes old", kept)
		r.must(run(t.Context(), c, 3*time.Minute))
		r.expect("when it is 62 minutes old")
	})
}

// TestGraceIsNotForEver: a broker whose own clock is behind by a day, and that starts again and again, still collects.
func TestGraceIsNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		clock := &clock{wall: -24 * time.Hour}
		r.write(0)
		r.forget(0)
		for range 3 {
			time.Sleep(5 * time.Hour)
			c := r.collector(r.replica, garbage.Options{SweepEvery: -1, Wall: clock.ours})
			r.must(run(t.Context(), c, 59*time.Minute))
		}
		if n := len(r.keys()); n != 1 {
			t.Fatalf("%d objects are there", n)
		}
		c := r.collector(r.replica, garbage.Options{SweepEvery: -1, Wall: clock.ours})
		r.must(run(t.Context(), c, 61*time.Minute))
		r.expect("after an hour and a minute of one broker")
	})
}

// TestLooksAreFewAndGraceHardlyLonger: much garbage comes bit by bit, and each bit goes within a minute of its grace.
func TestLooksAreFewAndGraceHardlyLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		c := r.collector(r.replica, garbage.Options{SweepEvery: -1})
		born := map[string]time.Time{}
		for range 240 {
			key := r.write(0)
			r.forget(0)
			born[key] = time.Now()
			r.must(run(t.Context(), c, 40*time.Second))
			there := map[string]bool{}
			for _, k := range r.keys() {
				there[k] = true
			}
			for k, at := range born {
				if age := time.Since(at); there[k] && age > time.Hour+2*time.Minute || !there[k] && age < time.Hour {
					t.Fatalf("%s is there: %v, after %v", k, there[k], age)
				}
				if !there[k] {
					delete(born, k)
				}
			}
		}
		if n := garbage.Sights(c); n > 70 {
			t.Errorf("%d looks are remembered", n)
		}
		r.expectSegments(len(born))
	})
}

func (r *rig) expectSegments(n int) {
	r.t.Helper()
	segments := 0
	for _, k := range r.keys() {
		if _, err := segment.ParseKey(k); err == nil {
			segments++
		}
	}
	if segments != n {
		r.t.Errorf("%d segments are there, want %d", segments, n)
	}
}

// clock is a metastore's and a machine's that may be set.
type clock struct{ ahead, wall time.Duration }

func (c *clock) now() time.Time  { return time.Now().Add(c.ahead) }
func (c *clock) ours() time.Time { return time.Now().Add(c.wall) }
