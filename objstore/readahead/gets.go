package readahead

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// gets decides how many GETs run at the same time, by how long they take: where more at a time only take longer, they queue
// somewhere, in the store, on the network or for this machine's processors, and the tail's requests queue behind them. So the
// limit is moved to where GETs take about half as long again as they do at best: a store with much latency and much bandwidth,
// such as S3, is asked for as many as are allowed, and one that is busy with three for no more. (The idea is that of TCP Vegas,
// Brakmo and Peterson 1995.) Until there is a first sign of a queue the limit is doubled.
//
// GETs that somebody waits for are not limited, but at a near store while the tail is served: one of which a single GET has as
// much as a processor moves. There is no latency there that others would hide; they take processors, and so there are half as many
// as those. Who is waited for goes first then, and waits no longer than getsPatience: no GET that hangs holds up the others.
type gets struct {
	most       float64
	processors int

	mu      sync.Mutex
	limit   float64
	settled bool // there was a sign of a queue
	running int
	urgent  []chan struct{} // of those that somebody waits for; closed when it is their turn, first come first served
	waiting []chan struct{} // of the others
	tail    time.Time       // when the tail was last served
	speed   float64         // bytes per second of one GET, in a fast window
	looked  time.Time       // when speed was last compared

	sizes [4]getTimes // of GETs up to 4 MiB, 8, 16, and more: large ones take longer without any queue
}

// getTimes are how long GETs of about the same size take.
type getTimes struct {
	sum   time.Duration // of the GETs since the limit was looked at
	bytes int64         // of them
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
	getsForgets = 1.01            // how much the best is raised each time: stores become slower, too
	getsKnown   = 5 * time.Minute // how long a speed counts that no GETs have told since
)

// near is the speed of a GET from which on a store is near. S3 gives one about 100 MB/s, a server on the same machine six
// times as much.
const near = 160 << 20

// getsPatience is how long a GET that somebody waits for waits for its turn.
const getsPatience = 50 * time.Millisecond

func newGets(most, processors int) *gets {
	return &gets{most: float64(most), processors: processors, limit: min(leastGets, float64(most))} // the best is known by few at a time
}

// hurry says that the tail is being served.
func (g *gets) hurry(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tail = now
}

// sparing tells whether GETs are as few as the tail needs it.
func (g *gets) sparing(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.spares(now)
}

// spares is sparing. Caller holds mu.
func (g *gets) spares(now time.Time) bool {
	return g.speed >= near && now.Sub(g.tail) <= courtesyTail && now.Sub(g.looked) <= getsKnown
}

// room is how many more may run. Caller holds mu.
func (g *gets) room(now time.Time) int {
	most := int(g.limit)
	if g.spares(now) {
		most = min(most, max(g.processors/2, 1))
	}
	return most - g.running
}

// errNeeded: there was no turn yet, but none is needed any more.
var errNeeded = errors.New("needed at once")

// begin waits for a turn, or until needed is closed. After an error there is nothing to end.
func (g *gets) begin(ctx context.Context, needed <-chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	now := time.Now()
	if g.room(now) > 0 && len(g.urgent)+len(g.waiting) == 0 {
		g.running++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.next(now, 0) // there may be room since the tail was left, and those that run may hang
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
		g.next(time.Now(), -1) // the turn came at the same time
	}
	return why
}

// urge waits for the turn of a GET that somebody waits for, if it needs one: then there is an end to it.
func (g *gets) urge(ctx context.Context) (turned bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	g.mu.Lock()
	now := time.Now()
	if !g.spares(now) {
		g.next(now, 0) // as in begin
		g.mu.Unlock()
		return false, nil
	}
	if g.room(now) > 0 && len(g.urgent) == 0 {
		g.running++
		g.mu.Unlock()
		return true, nil
	}
	turn := make(chan struct{})
	g.urgent = append(g.urgent, turn)
	g.mu.Unlock()
	patience := time.NewTimer(getsPatience)
	defer patience.Stop()
	select {
	case <-turn:
		return true, nil
	case <-patience.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.urgent, turn)
	if at >= 0 {
		g.urgent = slices.Delete(g.urgent, at, at+1)
		if err == nil {
			g.running++ // beyond the limit
		}
	} else if err != nil {
		g.next(time.Now(), -1) // the turn came at the same time
	}
	return err == nil, err
}

// end gives the turn to the next, having learnt from a GET of so many bytes; 0 for one that failed.
func (g *gets) end(now time.Time, size int, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if size >= getsMeant {
		t := &g.sizes[min(bits.Len64(uint64(size-1)/getsStep), len(g.sizes)-1)]
		t.sum += took
		t.bytes += int64(size)
		if t.count++; t.count == getsWindow {
			g.look(now, t, max(t.sum/getsWindow, 1))
			t.sum, t.bytes, t.count = 0, 0, 0
		}
	}
	g.next(now, -1)
}

// next changes the number of those that run, and lets others run as far as the limit goes. Caller holds mu.
func (g *gets) next(now time.Time, change int) {
	g.running += change
	for ; g.room(now) > 0 && len(g.urgent)+len(g.waiting) > 0; g.running++ {
		line := &g.waiting
		if len(g.urgent) > 0 {
			line = &g.urgent
		}
		close((*line)[0])
		*line = (*line)[1:]
	}
}

// look moves the limit by one at most, or down by a quarter; at first, doubles it. Caller holds mu.
func (g *gets) look(now time.Time, t *getTimes, average time.Duration) {
	if t.best > 0 && now.Sub(t.since) >= getsForget {
		t.best = time.Duration(float64(t.best) * getsForgets)
		t.since = now
		g.speed /= getsForgets
	}
	if t.best == 0 || average < t.best {
		t.best, t.since = average, now
	}
	if now.Sub(g.looked) > getsKnown {
		g.speed = 0
	}
	g.speed, g.looked = max(g.speed, float64(t.bytes)/t.sum.Seconds()), now
	gradient := min(getsSlack*float64(t.best)/float64(average), 1)
	if g.settled = g.settled || gradient < 1; !g.settled {
		g.limit = min(2*g.limit, g.most)
		return
	}
	g.limit = min(max(g.limit*gradient+1, g.limit*3/4, leastGets), g.limit+1, g.most)
}
