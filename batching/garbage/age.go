package garbage

import (
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// watch counts how long garbage has been so by what this process saw pass, so that a clock that jumps ahead ends no grace.
//
// Garbage is dated by the metastore's clock, and any broker that goes by that clock alone deletes at once what was let go a minute ago
// when the clock is set ahead by an hour. So each broker notes, with its own monotonic clock, how far the numbers of the garbage had
// got. What came since its first look has been there for the time that has passed since a look that saw it. What was there before
// is as old at the first look as the slower of two clocks says, the metastore's and this machine's, and ages from there as
// this process does. Both clocks would have to be ahead when a broker starts.
type watch struct {
	began  time.Time // monotonic; zero: nothing was seen yet
	asOf   time.Time // the time at began, by the clock that was behind
	sights []sight   // in order; the first is the one at began
}

// sight is a look at the garbage.
type sight struct {
	at  time.Time // monotonic
	end int64     // the number after those that were there
}

// mostSights bounds how many are kept: what lies in between counts from the later one, so a grace is longer by a part of so many at most.
const mostSights = 64

// look notes which numbers there are, those below end.
func (w *watch) look(end int64, now, theirs, ours time.Time, grace time.Duration) {
	if n := len(w.sights); n > 0 && end < w.sights[n-1].end {
		*w = watch{} // another log: numbers begin anew
	}
	if w.began.IsZero() {
		w.began, w.asOf = now, earlier(theirs, ours)
		w.sights = append(w.sights, sight{now, end})
		return
	}
	n := len(w.sights)
	if end == w.sights[n-1].end || n > 1 && now.Sub(w.sights[n-1].at) < grace/mostSights {
		return
	}
	w.sights = append(w.sights, sight{now, end})
	// Of those past the grace one is enough: it says the same of all before it.
	for len(w.sights) > 2 && now.Sub(w.sights[2].at) >= grace {
		w.sights = append(w.sights[:1], w.sights[2:]...)
	}
}

// age is how long garbage has been so for certain, as of now.
func (w *watch) age(g metastore.Garbage, now time.Time) time.Duration {
	for i, s := range w.sights {
		switch {
		case g.Number >= s.end:
		case i > 0:
			return now.Sub(s.at)
		default:
			return max(w.asOf.Sub(g.Since), 0) + now.Sub(w.began)
		}
	}
	return 0
}

// ripe returns those of the oldest garbage that have had their grace, by the metastore's clock and by the watch.
func (c *Collector) ripe(oldest []metastore.Garbage) []metastore.Garbage {
	if planted.Is(planted.GarbageUngraced) {
		return oldest
	}
	now, theirs := time.Now(), c.opts.Now()
	for i, g := range oldest {
		age := theirs.Sub(g.Since)
		if !planted.Is(planted.GraceByOneClock) {
			age = min(age, c.watch.age(g, now))
		}
		if age < c.opts.Grace {
			return oldest[:i]
		}
	}
	return oldest
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
