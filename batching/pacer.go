package batching

import (
	"math"
	"time"
)

// rateMemory is the time constant of the pacer's rate.
const rateMemory = time.Second

// pacer decides when the open segment is sealed although it is not full. It is told the time.
//
// Waiting makes PUTs fewer and every record later. What a wait brings is the bytes that come meanwhile, so the window
// from one seal to the next grows with their rate: the longest where it makes a large object, and the shortest, which
// the budget of PUTs allows, on a broker with little to do. A batch that comes after a longer silence than the window is
// sealed at once, so an idle broker answers in the time of a PUT and a commit.
//
// Producers that send no more before we answer are an exception: waiting for them brings nothing and costs them their
// throughput. A segment that holds enough from such sources is sealed whatever the window, see habits. These PUTs are
// not in the budget: they pay for themselves.
type pacer struct {
	minLinger, maxLinger time.Duration
	shortest             time.Duration // window: the inverse of the budget of PUTs
	target               int64         // bytes per maxLinger from which the window is maxLinger
	worth                int64         // bytes of stalled sources that are worth a PUT

	rate     float64 // bytes per second, decaying
	counted  time.Time
	lastSeal time.Time
}

// arrived counts bytes that come now.
func (p *pacer) arrived(now time.Time, bytes int64) {
	p.rate = p.rateAt(now) + float64(bytes)/rateMemory.Seconds()
	p.counted = now
}

func (p *pacer) rateAt(now time.Time) float64 {
	return p.rate * math.Exp(-float64(now.Sub(p.counted))/float64(rateMemory))
}

func (p *pacer) sealed(now time.Time) { p.lastSeal = now }

// window is the least time between seals of segments that are not full: maxLinger if that brings target bytes, and
// shorter in proportion to what it brings, but not so short that early PUTs exceed their rate.
func (p *pacer) window(now time.Time) time.Duration {
	brings := p.rateAt(now) * p.maxLinger.Seconds() / float64(p.target)
	return min(max(time.Duration(float64(p.maxLinger)*min(brings, 1)), p.shortest), p.maxLinger)
}

// due is when to seal a segment that is not full. Eager is when its first batch came that may cause a PUT before its own
// deadline, zero if it has none; latest is the earliest deadline of its batches; stalled are bytes of sources that wait
// for us.
func (p *pacer) due(now, eager, latest time.Time, stalled int64) time.Time {
	if stalled >= p.worth {
		return now
	}
	if eager.IsZero() {
		return latest
	}
	due := eager.Add(p.minLinger)
	if next := p.lastSeal.Add(p.window(now)); next.After(due) {
		due = next
	}
	if latest.Before(due) {
		return latest
	}
	return due
}
