// Package memory is the metastore that lives in one process: the embedded default, and what tests and simulations run
// on. Open keeps it in a journal, so that it survives restarts and crashes; New does not. Brokers that share a
// cluster share one *Store.
package memory

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/metastore"
)

// ErrClosed is returned by calls after Close, and ends those that wait in Close's time.
var ErrClosed = errors.New("metastore is closed")

// Options configure a Store. The zero value holds the defaults.
type Options struct {
	Now          func() time.Time // the clock of the leases; time.Now
	PollInterval time.Duration    // the longest that Wait blocks; 1 s

	// For Open.

	// CheckpointBytes is how far the journal grows past its checkpoint, at least, before it writes another; 64 MiB.
	CheckpointBytes int64
	Logger          *slog.Logger // discards
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.PollInterval = cmp.Or(o.PollInterval, time.Second)
	o.CheckpointBytes = cmp.Or(o.CheckpointBytes, 64<<20)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o
}

// Store implements metastore.Store.
//
// # Changes and durability
//
// A call decides and changes the state under mu, and puts what it changed into the journal's buffer, still under mu: the
// order of the journal is the order of the state. No file is touched under mu. A call then settles: it waits until
// everything that was buffered when it held mu is durable. One waiter writes and syncs on behalf of all, so that
// concurrent calls share an fsync.
//
// Reads, and refusals (ErrConflict, ErrFenced, ...), settle too. Without that: (1) A appends entry 7 and waits for its
// fsync; (2) B reads entry 7, folds it and answers a fetch with it; (3) the machine dies before the fsync; (4) entry 7
// never was, although a consumer has seen it. Hiding changes from readers until they are durable would do as well, but
// takes two versions of the state; waiting costs a reader at most two fsyncs, and only when there is a write in flight.
//
// When a write or an fsync fails, what the disk holds is unknown (a second fsync may report success for pages that the
// kernel dropped). So the store is poisoned: every later call fails, and what is in memory but not on disk was never
// answered to anybody. A call whose context ends while it settles leaves its change to be made durable by the next.
type Store struct {
	opts    Options
	journal *journal      // nil for New and OpenReadOnly
	shared  io.Closer     // of OpenReadOnly: its lock; nil else
	closed  chan struct{} // closed by Close
	closing sync.Once

	mu    sync.Mutex
	state state
	news  chan struct{} // closed and replaced when entries were appended

	// The leases of brokers, by node id, and of roles, by name, are not durable: a restart of the process ends them all.
	leases map[metastore.NodeID]lease
	roles  map[string]role
}

type lease struct {
	metastore.Broker
	until time.Time
}

type role struct {
	metastore.Lease
	until time.Time
}

var _ metastore.Store = (*Store)(nil)

// New returns an empty store with a cluster id of its own, which is gone when the process ends.
func New(opts Options) *Store {
	s := newStore(opts)
	s.state.cluster = newClusterID()
	return s
}

func newStore(opts Options) *Store {
	return &Store{
		opts:   opts.withDefaults(),
		closed: make(chan struct{}),
		news:   make(chan struct{}),
		state:  newState(),
		leases: make(map[metastore.NodeID]lease),
		roles:  make(map[string]role),
	}
}

// newClusterID makes an id as Kafka does: a random UUID that does not begin with a dash, which command lines would take
// for a flag.
func newClusterID() string {
	for {
		id := uuid.New()
		if text := base64.RawURLEncoding.EncodeToString(id[:]); text[0] != '-' {
			return text
		}
	}
}

// update runs decide, makes the change it returns, if any, and settles.
func (s *Store) update(ctx context.Context, decide func(now time.Time) (change, error)) error {
	return s.updateAll(ctx, func(now time.Time) ([]change, error) {
		c, err := decide(now)
		if c == nil {
			return nil, err
		}
		return []change{c}, err
	})
}

// updateAll is update for several changes, none of which may fail: they are durable together, since they go into one frame
// of the journal.
func (s *Store) updateAll(ctx context.Context, decide func(now time.Time) ([]change, error)) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	changes, err := decide(s.opts.Now())
	if len(changes) > 0 && s.shared != nil {
		changes, err = nil, ErrReadOnly
	}
	for _, c := range changes {
		if err = c.applyTo(&s.state); err != nil {
			changes = nil
			break
		}
	}
	mark := s.journal.add(changes)
	s.mu.Unlock()
	if err := s.settle(ctx, mark); err != nil {
		return err
	}
	return err
}

// view runs look, which must change nothing durable.
func (s *Store) view(ctx context.Context, look func(now time.Time) error) error {
	return s.update(ctx, func(now time.Time) (change, error) { return nil, look(now) })
}

func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closed:
		return ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.journal.failure()
}

// wake lets the calls to Wait look again.
func (s *Store) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.news)
	s.news = make(chan struct{})
}
