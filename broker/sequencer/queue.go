package sequencer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

const (
	// appenders is how many merged commits are under way: one is being appended, the next is being decided on top of it.
	appenders = 2
	// groupBatches ends a merged commit: beyond it a commit's latency is its size, and waiting for the next costs nothing.
	groupBatches = 20_000
	// waitingBatches bounds what waits to be merged. Whoever is refused appends on its own.
	waitingBatches = 10 * groupBatches
	// appendTimeout bounds one merged commit, so that whoever waits for it hears something.
	appendTimeout = 30 * time.Second
)

var (
	errBusy    = errors.New("too many commits wait to be sequenced")
	errStopped = errors.New("sequencer has stopped")
)

// queue merges the commits that wait, of this broker and of others, into one append after the other.
//
// A broker asks for its next commit when it has the answer to the one before, so commits that wait at the same time have no
// order to keep. Those who repeat a commit that still waits are the exception: the repeat goes in a later group,
// where it finds its segments committed.
type queue struct {
	log     Log
	metrics *metrics
	kick    chan struct{} // cap 1: something waits

	mu      sync.Mutex
	waiting []*request
	batches int // of those that wait
	stopped bool
	pace    pace
}

type request struct {
	segments []metastore.SegmentCommit
	batches  int
	done     chan struct{} // closed when the rest is set
	through  metastore.Seq
	results  []metastore.SegmentResult
	err      error
}

func newQueue(log Log, m *metrics) *queue {
	return &queue{log: log, metrics: m, kick: make(chan struct{}, 1)}
}

// commit waits for the results and a position that holds them. After an error other than metastore.ErrInvalidCommit the
// outcome is unknown.
func (q *queue) commit(ctx context.Context, segments []metastore.SegmentCommit) (metastore.Seq, []metastore.SegmentResult, error) {
	if err := metastore.CheckCommit(segments); err != nil {
		return 0, nil, err // alone, and not with all that it would be merged with
	}
	r := &request{segments: segments, batches: batchesOf(segments), done: make(chan struct{})}
	if err := q.add(r); err != nil {
		return 0, nil, err
	}
	select {
	case <-r.done:
		return r.through, r.results, r.err
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

func (q *queue) add(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return errStopped
	case len(q.waiting) > 0 && q.batches+r.batches > waitingBatches:
		return errBusy
	}
	q.waiting = append(q.waiting, r)
	q.batches += r.batches
	q.notify()
	return nil
}

func (q *queue) notify() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// run appends until ctx ends; who waits then gets an error.
func (q *queue) run(ctx context.Context) {
	var working sync.WaitGroup
	for range appenders {
		working.Go(func() { q.work(ctx) })
	}
	working.Wait()
	q.mu.Lock()
	rest := q.waiting
	q.waiting, q.batches, q.stopped = nil, 0, true
	q.mu.Unlock()
	for _, r := range rest {
		r.err = errStopped
		close(r.done)
	}
}

func (q *queue) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.kick:
		}
		q.gather(ctx)
		if group := q.take(); len(group) > 0 {
			q.append(ctx, group)
		}
	}
}

// gather waits, while a group is being appended, until most of its time is over: what comes meanwhile joins the next one,
// which could not be appended any sooner, and the rest is enough to decide it.
func (q *queue) gather(ctx context.Context) {
	q.mu.Lock()
	wait, landed := q.pace.ahead(time.Now())
	q.mu.Unlock()
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-landed:
	case <-ctx.Done():
	}
}

// take removes what makes the next group from those that wait, in their order.
func (q *queue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	var group, rest []*request
	batches := 0
	ids := make(map[metastore.SegmentID]struct{})
	for _, r := range q.waiting {
		if len(group) > 0 && batches+r.batches > groupBatches || r.among(ids) {
			rest = append(rest, r)
			continue
		}
		for i := range r.segments {
			ids[r.segments[i].ID] = struct{}{}
		}
		group = append(group, r)
		batches += r.batches
	}
	q.waiting = rest
	q.batches -= batches
	if len(rest) > 0 {
		q.notify()
	}
	return group
}

// among tells whether one of the segments is there already.
func (r *request) among(ids map[metastore.SegmentID]struct{}) bool {
	for i := range r.segments {
		if _, ok := ids[r.segments[i].ID]; ok {
			return true
		}
	}
	return false
}

// append commits a group and answers everybody in it.
func (q *queue) append(ctx context.Context, group []*request) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	merged := group[0].segments
	if len(group) > 1 {
		merged = nil
		for _, r := range group {
			merged = append(merged, r.segments...)
		}
	}
	q.metrics.merged.Observe(float64(len(group)))
	q.mu.Lock()
	q.pace.begin(time.Now())
	q.mu.Unlock()
	results, err := q.log.Commit(ctx, merged)
	q.mu.Lock()
	q.pace.end(time.Now())
	q.mu.Unlock()
	through := q.log.Position().Seq
	for _, r := range group {
		if r.err = err; err == nil {
			n := len(r.segments)
			r.through, r.results, results = through, results[:n:n], results[n:]
		}
		close(r.done)
	}
}
