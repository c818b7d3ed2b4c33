// Package sequencer lets one broker append to the commit log on behalf of all.
//
// Brokers that append each on their own meet conflicts, and decide again. So they send their commits (descriptors of
// runs, not data) to the broker that holds the lease of the sequencer, which merges what waits into one append after the
// other, and streams every entry back to all of them.
//
// The role is an optimisation and has no authority. The compare-and-set of the log is the fence, and commits are
// idempotent by the ids of their segments: a commit whose answer does not come, because the sequencer is dead, slow,
// paused or cut off, is appended directly, wherever the first request may be by then. Two brokers that both believe
// they hold the role cost conflicts and nothing else. The rejected alternative, a sequencer that alone may
// append, would make every commit wait for a lease to run out whenever it dies.
package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
)

// LeaseName is the sequencer's among the metastore's leases.
const LeaseName = "sequencer"

// Log is the folded commit log; metastore.Replica is one.
type Log interface {
	// Commit sequences segments and returns when the entry is durable and folded. Any error but
	// metastore.ErrInvalidCommit leaves the outcome open.
	Commit(ctx context.Context, segments []metastore.SegmentCommit) ([]metastore.SegmentResult, error)
	// Transact decides on requests and returns when what came of them is durable and folded. An error leaves the outcome open.
	Transact(ctx context.Context, requests []metastore.TxnRequest) ([]metastore.TxnResult, error)
	// Position is that of the last entry folded.
	Position() metastore.Position
	// Await returns when the entry is folded.
	Await(ctx context.Context, seq metastore.Seq) error
	// CatchUp folds what the log holds.
	CatchUp(ctx context.Context) error
	// Offer folds an entry that is said to be appended, if it is the next; false if it is not.
	Offer(e metastore.Entry) bool
	// Health is why nothing can be committed any more, nil as long as it can.
	Health() error
}

// Members knows the brokers; cluster.Membership does.
type Members interface {
	Self() metastore.Broker
	Live() []metastore.Broker
}

// Leases decide who holds the role; a metastore does.
type Leases interface {
	HoldLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64, length time.Duration) (metastore.Lease, error)
	ReleaseLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64) error
}

// Peers reaches other brokers by the addresses of their peer ports; peer.Client does.
type Peers interface {
	// Commit asks a broker to sequence segments. metastore.ErrInvalidCommit; else an error leaves the outcome open.
	Commit(ctx context.Context, address string, segments []metastore.SegmentCommit) (metastore.Seq, []metastore.SegmentResult, error)
	// Transact asks a broker to decide on requests of transactional producers. metastore.ErrNewerFormat: it does not know how;
	// else an error leaves the outcome open.
	Transact(ctx context.Context, address string, requests []metastore.TxnRequest) (metastore.Seq, []metastore.TxnResult, error)
	// Entries gives what a broker folds after seq to take, until take returns false or the stream ends.
	Entries(ctx context.Context, address string, seq metastore.Seq, take func(metastore.Entry) bool) error
	// Ping tells whether a broker answers.
	Ping(ctx context.Context, address string) error
}

// Options tunes a Sequencer. The zero value is the default.
type Options struct {
	// Lease is how long the role is held after its last renewal: as long as brokers append each on their own after the
	// sequencer died. Default 3 s.
	Lease time.Duration
	// Beat is how often the lease is renewed, or asked for. Default a sixth of the lease.
	Beat time.Duration
	// Patience is how long a commit may take at the sequencer before it is appended directly, counted anew with each entry
	// that the sequencer sends: where the metastore is slow for all, many that append directly only make each other decide
	// again. Default 500 ms: far more than it takes with a healthy metastore, and small beside what a producer waits for.
	Patience time.Duration

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	if o.Lease == 0 {
		o.Lease = 3 * time.Second
	}
	if o.Beat == 0 {
		o.Beat = o.Lease / 6
	}
	if o.Patience == 0 {
		o.Patience = 500 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Sequencer commits this broker's segments, through the broker that holds the role or directly, and those of other
// brokers that ask for it.
type Sequencer struct {
	log     Log
	members Members
	leases  Leases
	peers   Peers // nil: this broker has no peer port, and appends directly
	opts    Options
	metrics *metrics
	queue   *queue
	txns    *txnQueue

	mu      sync.Mutex
	role    role
	heard   time.Time     // when an entry came from the holder
	doubts  int           // how often the holder was suspected since it last answered a commit
	changed chan struct{} // closed and replaced when role changes
}

// role is who sequences, as far as this broker knows.
type role struct {
	lease     metastore.Lease
	held      bool   // by this broker
	address   string // of the holder's peer port; "": nobody to ask
	suspected bool   // the holder did not answer: it is not asked until it answers a ping
}

// New makes a Sequencer; Run makes it work. peers is nil if other brokers cannot be reached.
func New(log Log, members Members, leases Leases, peers Peers, opts Options) *Sequencer {
	s := &Sequencer{
		log: log, members: members, leases: leases, peers: peers, opts: opts.withDefaults(), changed: make(chan struct{}),
	}
	s.metrics = newMetrics(opts.Registerer, s)
	s.queue = newQueue(log, s.metrics)
	s.txns = newTxnQueue(log, s.metrics)
	return s
}

// Run sequences, and follows the holder of the role, until ctx ends. It is called once; after it, everything that is to be
// sequenced gets an error.
func (s *Sequencer) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { s.queue.run(ctx) })
	parts.Go(func() { s.txns.run(ctx) })
	if s.peers != nil {
		parts.Go(func() { s.followHolder(ctx) })
		parts.Go(func() { s.watchSuspect(ctx) })
	}
	parts.Wait()
	return nil
}

// Commit sequences this broker's segments and returns when the entry is folded here, too: whoever is told of an offset
// can read it here. It may be repeated with the same segments after any error and returns the first result.
func (s *Sequencer) Commit(ctx context.Context, segments []metastore.SegmentCommit) ([]metastore.SegmentResult, error) {
	if asked := s.known(); asked.address != "" && !asked.suspected && batchesOf(segments) <= mostAsked {
		var results []metastore.SegmentResult
		err := s.ask(ctx, asked, func(ctx context.Context) (through metastore.Seq, err error) {
			through, results, err = s.peers.Commit(ctx, asked.address, segments)
			return through, err
		})
		if err == nil {
			s.metrics.commits.WithLabelValues(pathSequencer).Inc()
			return results, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		// A holder of another version may know less of what is valid: what our own check says is what counts.
		if !errors.Is(err, metastore.ErrInvalidCommit) {
			s.suspect(asked, err)
		}
	}
	s.metrics.commits.WithLabelValues(s.ownPath()).Inc()
	_, results, err := s.queue.commit(ctx, segments)
	return results, err
}

// mostAsked is how many batches a commit may have that another broker is asked to make. One that is larger, which takes
// a hostile client, would be refused for its size.
const mostAsked = 10 * groupBatches

func batchesOf(segments []metastore.SegmentCommit) int {
	n := 0
	for i := range segments {
		for j := range segments[i].Runs {
			n += len(segments[i].Runs[j].Batches)
		}
	}
	return n
}

// Sequence commits another broker's segments; see peer.Sequencer. It does not matter whether this broker holds the role:
// who asks believes so.
func (s *Sequencer) Sequence(ctx context.Context, segments []metastore.SegmentCommit) (metastore.Seq, []metastore.SegmentResult, error) {
	s.metrics.commits.WithLabelValues(pathForOthers).Inc()
	return s.queue.commit(ctx, segments)
}

// longestPatience bounds the wait for a sequencer that sends entries, which may all be of others: in patiences.
const longestPatience = 10

// ask lets the holder of the role do something, which returns a position that holds it, and waits until that is folded here.
func (s *Sequencer) ask(ctx context.Context, holder role, call func(context.Context) (metastore.Seq, error)) error {
	bounded, stop := context.WithTimeout(ctx, longestPatience*s.opts.Patience)
	defer stop()
	patient, cancel := context.WithCancelCause(bounded)
	defer cancel(nil)
	go s.losePatience(patient, cancel) // ends with this call
	start := time.Now()
	through, err := call(patient)
	if err != nil {
		return err
	}
	s.set(func(*role) { s.doubts = 0 })
	s.metrics.askSeconds.Observe(time.Since(start).Seconds())
	if s.log.Await(patient, through) == nil {
		return nil
	}
	// The stream of entries lags or is broken, which is not the commit's fault.
	if err := s.log.CatchUp(ctx); err != nil {
		return err
	}
	return s.log.Await(ctx, through)
}

// ownPath says how a commit is made that no other broker makes.
func (s *Sequencer) ownPath() string {
	if s.known().held {
		return pathHolder
	}
	return pathDirect
}

// losePatience cancels when nothing was heard of the holder for the patience, and returns when ctx ends. The cause is what
// the log then tells.
func (s *Sequencer) losePatience(ctx context.Context, cancel context.CancelCauseFunc) {
	for since := time.Now(); ; {
		s.mu.Lock()
		if s.heard.After(since) {
			since = s.heard
		}
		s.mu.Unlock()
		left := s.opts.Patience - time.Since(since)
		if left <= 0 {
			cancel(fmt.Errorf("no sign of it for %v", s.opts.Patience))
			return
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return
		}
	}
}

// known is the role as it is known.
func (s *Sequencer) known() role {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.role
}

// set replaces what is known and wakes those who go by it.
func (s *Sequencer) set(change func(*role)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.role
	change(&s.role)
	if s.role != before {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// suspect stops asking a holder that did not answer.
func (s *Sequencer) suspect(asked role, why error) {
	s.metrics.bypassed.Inc()
	s.set(func(r *role) {
		if r.address == asked.address && r.lease == asked.lease && !r.suspected {
			r.suspected = true
			s.doubts++
			s.opts.Logger.Warn("sequencer does not answer, appending directly", "node_id", int32(asked.lease.Holder), "error", why)
		}
	})
}

func peerAddress(b metastore.Broker) string {
	if b.PeerHost == "" {
		return ""
	}
	return net.JoinHostPort(b.PeerHost, strconv.Itoa(int(b.PeerPort)))
}
