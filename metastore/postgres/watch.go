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
// query. There is a round only while somebody waits.
type watch struct {
	interval time.Duration
	newest   func(context.Context) (metastore.Seq, error)
	closed   context.Context
	close    func() // ends all waits, and the round

	mu       sync.Mutex
	known    metastore.Seq // the newest entry that was seen
	advanced chan struct{} // closed and replaced when known moves
	round    *round        // nil: nobody waits
	rounds   sync.WaitGroup
}

type round struct {
	done   chan struct{} // closed at its end
	newest metastore.Seq // as the query said
	err    error
}

// worthReading tells whether a read after the entry gives more than nothing: entries, or an error.
func (r *round) worthReading(after metastore.Seq) bool { return r.err != nil || r.newest != after }

func newWatch(interval time.Duration, newest func(context.Context) (metastore.Seq, error)) *watch {
	closed, end := context.WithCancel(context.Background())
	w := &watch{interval: interval, newest: newest, closed: closed, advanced: make(chan struct{})}
	w.close = func() {
		w.mu.Lock() // so that no round starts after
		end()
		w.mu.Unlock()
		w.rounds.Wait()
	}
	return w
}

// wait returns nil when the log may end elsewhere than at after, when a look failed (whoever reads gets the reason), or
// after waitRounds of looking.
func (w *watch) wait(ctx context.Context, after metastore.Seq) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for range waitRounds {
		w.mu.Lock()
		if w.closed.Err() != nil {
			w.mu.Unlock()
			return ErrClosed
		}
		if w.known > after {
			w.mu.Unlock()
			return nil
		}
		advanced, r := w.advanced, w.joinRound()
		w.mu.Unlock()
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

// joinRound returns the present round, started if need be. The caller holds mu.
func (w *watch) joinRound() *round {
	if w.round == nil {
		w.round = &round{done: make(chan struct{})}
		w.rounds.Go(func() { w.run(w.round) })
	}
	return w.round
}

func (w *watch) run(r *round) {
	pause := time.NewTimer(w.interval)
	defer pause.Stop()
	select {
	case <-pause.C:
		r.newest, r.err = w.newest(w.closed)
	case <-w.closed.Done():
		r.err = ErrClosed
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
