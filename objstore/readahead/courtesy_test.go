package readahead

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/objstore/memory"
)

// loadFor loads 4 MiB after 4 MiB for a time, a reader at the tail beside it or not, with timers that are so late, and
// returns the bytes per second of the last second.
func (c *courtesy) loadFor(t *testing.T, long time.Duration, tail bool, late func() time.Duration) (rate float64) {
	t.Helper()
	const size = 4 << 20
	looked, last := time.Now(), int64(0)
	for end := time.Now().Add(long); time.Now().Before(end); {
		if tail {
			c.hurry(time.Now())
		}
		wait, _ := c.begin(time.Now(), size)
		for begin := time.Now().Add(wait + 4*time.Millisecond); time.Now().Before(begin); { // 1,000 MiB/s without a limit
			time.Sleep(min(time.Until(begin), courtesyTimer-time.Since(looked)))
			if time.Since(looked) >= courtesyTimer {
				looked = time.Now()
				c.timer(looked, late())
			}
		}
		if last += size; time.Until(end) > time.Second {
			last = 0
		}
	}
	return float64(last)
}

func TestCatchUpReadsGiveWayToTheTail(t *testing.T) {
	idle := func() time.Duration { return courtesyLate / 3 }
	busy := func() time.Duration { return 3 * courtesyLate }
	const whole = 900 << 20
	synctest.Test(t, func(t *testing.T) {
		var c courtesy
		if got := c.loadFor(t, 5*time.Second, false, busy); got < whole {
			t.Errorf("nobody at the tail: %.0f MiB/s", got/(1<<20))
		}
		if got := c.loadFor(t, 5*time.Second, true, idle); got < whole {
			t.Errorf("processors to spare: %.0f MiB/s", got/(1<<20))
		}
		if got := c.loadFor(t, 10*time.Second, true, busy); got > courtesyLeast*1.2 || got < courtesyLeast*0.8 {
			t.Errorf("busy all the time: %.0f MiB/s", got/(1<<20))
		}
		if got := c.loadFor(t, 5*time.Second, true, idle); got < whole {
			t.Errorf("processors to spare again: %.0f MiB/s", got/(1<<20))
		}
		// Processors that are busy with more than 300 MiB/s.
		part := func() time.Duration {
			if c.rate > 300<<20 || c.rate == 0 {
				return busy()
			}
			return idle()
		}
		if got := c.loadFor(t, 20*time.Second, true, part); got < 220<<20 || got > 340<<20 {
			t.Errorf("busy with more than 300 MiB/s: %.0f MiB/s", got/(1<<20))
		}
		time.Sleep(2 * courtesyTail)
		if got := c.loadFor(t, time.Second, false, busy); got < whole {
			t.Errorf("nobody at the tail any more: %.0f MiB/s", got/(1<<20))
		}
	})
}

func TestTimersAreLookedAtOnlyWhileTheTailIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courtesy
		if _, look := c.begin(time.Now(), 1); look {
			t.Error("with nobody at the tail")
		}
		c.hurry(time.Now())
		if _, look := c.begin(time.Now(), 1); !look {
			t.Error("not beside the tail")
		}
		if _, look := c.begin(time.Now(), 1); look {
			t.Error("twice")
		}
		c.watch(t.Context()) // returns
		c.hurry(time.Now())
		if _, look := c.begin(time.Now(), 1); !look {
			t.Error("not again")
		}
	})
}

func TestOtherWorkOnOldRecordsSharesTheRateOfLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(memory.New(), Options{})
		defer p.Close()
		took := func(ctx context.Context) (time.Duration, error) {
			begun := time.Now()
			err := p.Pace(ctx, courtesyLeast)
			return time.Since(begun), err
		}
		for range 3 {
			if took, err := took(t.Context()); took > 0 || err != nil {
				t.Fatalf("with nobody at the tail it waits for %v: %v", took, err)
			}
		}
		p.Hurry()
		p.manners.rate = courtesyLeast
		if first, err := took(t.Context()); first > 0 || err != nil {
			t.Fatalf("the first waits for %v: %v", first, err)
		}
		limited, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if took, err := took(limited); took != 100*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second ends after %v: %v", took, err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := p.Pace(t.Context(), 1); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}
