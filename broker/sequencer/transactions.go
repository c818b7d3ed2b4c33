package sequencer

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/runnel-io/runnel/metastore"
)

const (
	// groupTxns is how many requests of transactional producers are decided on together, at most: one entry holds what
	// comes of them.
	groupTxns = 1000
	// waitingTxns bounds those that wait for that.
	waitingTxns = 10 * groupTxns
)

// Transact decides on requests of this broker's clients, in order, and returns when the entry is folded here, too. After an
// error the outcome is unknown, and it may be asked again with the same requests.
func (s *Sequencer) Transact(ctx context.Context, requests []metastore.TxnRequest) ([]metastore.TxnResult, error) {
	if asked := s.known(); asked.address != "" && !asked.suspected {
		var results []metastore.TxnResult
		err := s.ask(ctx, asked, func(ctx context.Context) (through metastore.Seq, err error) {
			through, results, err = s.peers.Transact(ctx, asked.address, requests)
			return through, err
		})
		if err == nil {
			s.metrics.txns.WithLabelValues(pathSequencer).Inc()
			return results, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if !errors.Is(err, metastore.ErrNewerFormat) { // a holder of an older version, which knows of commits alone
			s.suspect(asked, err)
		}
	}
	s.metrics.txns.WithLabelValues(s.ownPath()).Inc()
	_, results, err := s.txns.transact(ctx, requests)
	return results, err
}

// SequenceTxns decides on requests of another broker's clients; see peer.Sequencer.
func (s *Sequencer) SequenceTxns(ctx context.Context, requests []metastore.TxnRequest) (metastore.Seq, []metastore.TxnResult, error) {
	s.metrics.txns.WithLabelValues(pathForOthers).Inc()
	return s.txns.transact(ctx, requests)
}

// txnQueue merges the requests of transactional producers that wait, of this broker's clients and of others', into one
// append after the other. Commits of segments are appended in between, whoever came first: the log sees to that.
type txnQueue struct {
	log     Log
	metrics *metrics
	kick    chan struct{} // cap 1: something waits

	mu      sync.Mutex
	waiting []*txnCall
	count   int // of the requests that wait
	stopped bool
}

type txnCall struct {
	requests []metastore.TxnRequest
	done     chan struct{} // closed when the rest is set
	through  metastore.Seq
	results  []metastore.TxnResult
	err      error
}

func newTxnQueue(log Log, m *metrics) *txnQueue {
	return &txnQueue{log: log, metrics: m, kick: make(chan struct{}, 1)}
}

// transact waits for the results and a position that holds them. What nobody waits for any more is not begun: whoever gave
// up has asked elsewhere.
func (q *txnQueue) transact(ctx context.Context, requests []metastore.TxnRequest) (metastore.Seq, []metastore.TxnResult, error) {
	c := &txnCall{requests: requests, done: make(chan struct{})}
	if err := q.add(c); err != nil {
		return 0, nil, err
	}
	select {
	case <-c.done:
		return c.through, c.results, c.err
	case <-ctx.Done():
		q.remove(c)
		return 0, nil, ctx.Err()
	}
}

func (q *txnQueue) add(c *txnCall) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return errStopped
	case len(q.waiting) > 0 && q.count+len(c.requests) > waitingTxns:
		return errBusy
	}
	q.waiting = append(q.waiting, c)
	q.count += len(c.requests)
	q.notify()
	return nil
}

func (q *txnQueue) remove(c *txnCall) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, c); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.count -= len(c.requests)
	}
}

func (q *txnQueue) notify() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// run decides until ctx ends; who waits then gets an error.
func (q *txnQueue) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-q.kick:
			if group := q.take(); len(group) > 0 {
				q.append(ctx, group)
			}
		}
	}
	q.mu.Lock()
	rest := q.waiting
	q.waiting, q.count, q.stopped = nil, 0, true
	q.mu.Unlock()
	for _, c := range rest {
		c.err = errStopped
		close(c.done)
	}
}

// take removes the next group from those that wait, in their order.
func (q *txnQueue) take() []*txnCall {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, requests := 0, 0
	for n < len(q.waiting) && (n == 0 || requests+len(q.waiting[n].requests) <= groupTxns) {
		requests += len(q.waiting[n].requests)
		n++
	}
	group := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.count -= requests
	if len(q.waiting) > 0 {
		q.notify()
	}
	return group
}

// append decides on a group and answers everybody in it.
func (q *txnQueue) append(ctx context.Context, group []*txnCall) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	var merged []metastore.TxnRequest
	for _, c := range group {
		merged = append(merged, c.requests...)
	}
	q.metrics.mergedTxns.Observe(float64(len(merged)))
	results, err := q.log.Transact(ctx, merged)
	through := q.log.Position().Seq
	for _, c := range group {
		if c.err = err; err == nil {
			n := len(c.requests)
			c.through, c.results, results = through, results[:n:n], results[n:]
		}
		close(c.done)
	}
}
