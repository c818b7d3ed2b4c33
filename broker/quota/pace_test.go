package quota

import (
	"fmt"
	"testing"
	"time"
)

// taken is what a client took, and when.
type taken struct {
	at     time.Time
	amount float64
}

// greedy plays a client that takes as much as it may for so long, at most perSecond, in requests of a size, and waits as it is told.
func greedy(from time.Time, d time.Duration, perSecond float64, take func(now time.Time) (took float64, wait time.Duration)) (all []taken) {
	for at := from; at.Before(from.Add(d)); {
		took, wait := take(at)
		all = append(all, taken{at, took})
		at = at.Add(max(wait, time.Duration(took/perSecond*float64(time.Second))) + 2*time.Millisecond)
	}
	return all
}

// between sums up what was taken from a moment on, and before another.
func between(all []taken, from, to time.Time) (sum float64) {
	for _, x := range all {
		if !x.at.Before(from) && x.at.Before(to) {
			sum += x.amount
		}
	}
	return sum
}

// TestAGreedyClientHasItsQuotaOverAnyHalfMinute: once what the first window let through is made up for, with the windows that
// are the default, a client that takes all it may gets its quota over any half minute, and not a burst for each window.
func TestAGreedyClientHasItsQuotaOverAnyHalfMinute(t *testing.T) {
	const half, life = 30 * time.Second, 3 * time.Minute
	start := time.Unix(1000, 0)
	for _, kind := range []Kind{Produce, Fetch} {
		for _, size := range []float64{64 << 10, 256 << 10, 1 << 20} {
			for _, speed := range []float64{1.5 * mb, 4 * mb, 100 * mb} {
				t.Run(fmt.Sprintf("kind %d, requests of %g KiB, a client of %g MiB/s", kind, size/1024, speed/mb), func(t *testing.T) {
					l := limiterOf(t, Options{}, Entity{ClientID: Default}, map[Kind]string{Produce: "producer_byte_rate", Fetch: "consumer_byte_rate"}[kind], mb)
					all := greedy(start, life, speed, func(now time.Time) (float64, time.Duration) {
						m := l.Meter(kind, Client{ID: "x"}, now)
						if kind == Produce {
							return size, m.Record(size, now)
						}
						room, wait := m.Room(now)
						if wait > 0 {
							return 0, wait
						}
						took := max(min(size, room), 16<<10)
						m.Reserve(took+100, now)
						return took, m.Record(-100, now)
					})
					least, most := 2.0, 0.0
					for from := start.Add(45 * time.Second); from.Before(start.Add(life - half)); from = from.Add(2500 * time.Millisecond) {
						part := between(all, from, from.Add(half)) / half.Seconds() / mb
						least, most = min(least, part), max(most, part)
					}
					t.Logf("%.3f to %.3f of the quota", least, most)
					if least < 0.97 || most > 1.03 {
						t.Errorf("over 30 s: %.3f to %.3f of the quota", least, most)
					}
					// Never much more than a window's worth ahead, which is what Kafka's own window lets through at first.
					sum := 0.0
					for _, x := range all {
						if elapsed := x.at.Sub(start).Seconds(); sum > (max(11, elapsed)+1.5)*mb+3*size {
							t.Fatalf("after %.1f s: %.1f MiB", elapsed, sum/mb)
						}
						sum += x.amount
					}
				})
			}
		}
	}
}

// TestAClientThatRestedMayBurst: a pace is for who is at the limit. After a window without a throttle, there is a window's
// worth again.
func TestAClientThatRestedMayBurst(t *testing.T) {
	l := limiterOf(t, Options{}, Entity{ClientID: Default}, "producer_byte_rate", mb)
	take := func(now time.Time) (float64, time.Duration) {
		const size = 64 << 10
		return size, l.Meter(Produce, Client{ID: "x"}, now).Record(size, now)
	}
	at := time.Unix(1000, 0)
	for range 3 {
		burst := between(greedy(at, time.Second, 100*mb, take), at, at.Add(time.Second)) / mb
		if burst < 10 || burst > 11.5 {
			t.Errorf("a rested client had %.1f MiB in a second", burst)
		}
		at = at.Add(30 * time.Second)
	}
}

// TestBurstsBelowTheQuotaWaitForNothing: of a client that takes half of its quota, in bursts of half a window, nothing is left of an
// excess some windows later.
func TestBurstsBelowTheQuotaWaitForNothing(t *testing.T) {
	for _, kind := range []Kind{Produce, Fetch} {
		l := limiterOf(t, Options{}, Entity{ClientID: Default}, map[Kind]string{Produce: "producer_byte_rate", Fetch: "consumer_byte_rate"}[kind], mb)
		at := time.Unix(1000, 0)
		take := func(amount float64) (wait time.Duration) {
			m := l.Meter(kind, Client{ID: "x"}, at)
			if kind == Fetch {
				if _, wait = m.Room(at); wait > 0 {
					return wait
				}
			}
			return m.Record(amount, at)
		}
		if take(14 * mb); take(mb) == 0 {
			t.Errorf("kind %d: 14 MiB at once are within a quota of 1 MiB/s", kind)
		}
		for burst := range 20 {
			at = at.Add(10 * time.Second)
			for range 5 {
				if wait := take(mb); wait > 0 && burst > 4 {
					t.Fatalf("kind %d: %v of waiting in burst %d", kind, wait, burst)
				}
			}
		}
	}
}
