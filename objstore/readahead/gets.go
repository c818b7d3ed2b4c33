package readahead

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// gets decides how many GETs of what nobody waits for run at the same time, by how long they take: where more at a time
// only take longer, they queue somewhere, in the store, on the network or for this machine's processors, and the tail's
// requests queue behind them. So the limit is moved to where GETs take about half as long again as they do at best: a
// store with much latency and much bandwidth, such as S3, is asked for as many as are allowed, and one that is busy with
// three for no more. (The idea is that of TCP Vegas, Brakmo and Peterson 1995.)
type gets struct {
	most float64

	mu      sync.Mutex
	limit   float64
	running int
	waiting []chan struct{} // closed when it is their turn, first come first served

	sizes [4]getTimes // of GETs up to 4 MiB, 8, 16, and more: large ones take longer without any queue
}

// getTimes are how long GETs of about the same size take.
type getTimes struct {
	sum   time.Duration // of the GETs since the limit was looked at
	count int
	best  time.Duration // average of a fast window
	since time.Time     // when best was set, or forgotten a little
}

const (
	leastGets   = 2.0
	getsWindow  = 16      // GETs between two looks at the limit
	getsMeant   = 2 << 20 // bytes of those that count: the time of smaller ones is mostly latency
	getsStep    = 4 << 20 // bytes up to which they count as one size
	getsSlack   = 1.5     // times the best that is no queue
	getsForget  = time.Second
	getsForgets = 1.01 // how much the best is raised each time: stores become slower, too
)

func newGets(most int) *gets {
	return &gets{most: float64(most), limit: min(leastGets, float64(most))} // the best is known by few at a time
}

// errNeeded: there was no turn yet, but none is needed any more.
var errNeeded = errors.New("needed at once")

// begin waits for a turn, or until needed is closed. After an error there is nothing to end.
func (g *gets) begin(ctx context.Context, needed <-chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.running < int(g.limit) && len(g.waiting) == 0 {
		g.running++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.mu.Unlock()
	why := errNeeded
	select {
	case <-turn:
		return nil
	case <-needed:
	case <-ctx.Done():
		why = ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := slices.Index(g.waiting, turn); at >= 0 {
		g.waiting = slices.Delete(g.waiting, at, at+1)
	} else {
		g.next(-1) // the turn came at the same time
	}
	return why
}

// end gives the turn to the next, having learnt from a GET of so many bytes; 0 for one that failed.
func (g *gets) end(now time.Time, size int, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if size >= getsMeant {
		t := &g.sizes[min(bits.Len64(uint64(size-1)/getsStep), len(g.sizes)-1)]
		t.sum += took
		if t.count++; t.count == getsWindow {
			g.look(now, t, t.sum/getsWindow)
			t.sum, t.count = 0, 0
		}
	}
	g.next(-1)
}

// next changes the number of those that run, and lets others run as far as the limit goes. Caller holds mu.
func (g *gets) next(change int) {
	g.running += change
	for g.running < int(g.limit) && len(g.waiting) > 0 {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.running++
	}
}

// look moves the limit by one at most, or down by a quarter. Caller holds mu.
func (g *gets) look(now time.Time, t *getTimes, average time.Duration) {
	if t.best > 0 && now.Sub(t.since) >= getsForget {
		t.best = time.Duration(float64(t.best) * getsForgets)
		t.since = now
	}
	if t.best == 0 || average < t.best {
		t.best, t.since = average, now
	}
	gradient := min(getsSlack*float64(t.best)/float64(average), 1)
	g.limit = min(max(g.limit*gradient+1, g.limit*3/4, leastGets), g.limit+1, g.most)
}
