package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// waitRounds is how many looks without news end a wait.
const waitRounds = 20

// watch looks at the end of the log on behalf of all that wait for news, in rounds: a round is an interval and then one
// query. There is a round only while somebody waits. One of those who wait leads it, on its own goroutine: a broker waits
// alone and looks twenty times a second, for ever, and to wake another goroutine for a look costs as much as the look.
type watch struct {
	interval time.Duration
	newest   func(context.Context) (metastore.Seq, error)
	closed   context.Context
	close    func() // ends all waits

	mu       sync.Mutex
	known    metastore.Seq // the newest entry that was seen
	advanced chan struct{} // closed and replaced when known moves
	round    *round        // nil: nobody waits
}

type round struct {
	done   chan struct{} // closed at its end
	looked bool          // else who led it went away
	newest metastore.Seq // as the query said
	err    error
}

// worthReading tells whether a read after the entry gives more than nothing: entries, or an error.
func (r *round) worthReading(after metastore.Seq) bool {
	return r.looked && (r.err != nil || r.newest != after)
}

func newWatch(interval time.Duration, newest func(context.Context) (metastore.Seq, error)) *watch {
	closed, end := context.WithCancel(context.Background())
	return &watch{interval: interval, newest: newest, closed: closed, close: end, advanced: make(chan struct{})}
}

// wait returns nil when the log may end elsewhere than at after, when a look failed (whoever reads gets the reason), or
// after waitRounds of looking.
func (w *watch) wait(ctx context.Context, after metastore.Seq) error {
	for range waitRounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		w.mu.Lock()
		if w.closed.Err() != nil {
			w.mu.Unlock()
			return ErrClosed
		}
		if w.known > after {
			w.mu.Unlock()
			return nil
		}
		advanced, r := w.advanced, w.round
		leads := r == nil
		if leads {
			r = &round{done: make(chan struct{})}
			w.round = r
		}
		w.mu.Unlock()
		if leads {
			w.lead(ctx, r, advanced)
			if r.worthReading(after) { // also if the log ends before where it was thought to
				return nil
			}
		}
		select {
		case <-advanced:
		case <-r.done:
			if r.worthReading(after) {
				return nil
			}
		case <-w.closed.Done():
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// lead makes a round, unless who does it has no time or need for one any more: then another of those who wait takes its place.
func (w *watch) lead(ctx context.Context, r *round, advanced <-chan struct{}) {
	pause := time.NewTimer(w.interval)
	defer pause.Stop()
	select {
	case <-pause.C:
		r.newest, r.err = w.newest(ctx)
		r.looked = ctx.Err() == nil
	case <-advanced:
	case <-w.closed.Done():
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.round = nil
	close(r.done)
	w.advance(r.newest)
}

// appended tells that the log reaches seq.
func (w *watch) appended(seq metastore.Seq) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance(seq)
}

func (w *watch) advance(seq metastore.Seq) {
	if seq > w.known {
		w.known = seq
		close(w.advanced)
		w.advanced = make(chan struct{})
	}
}
