// Package memory is the metastore that lives in one process: the embedded default, and what tests and simulations run
// on. It is gone when the process ends. Brokers that share a
// cluster share one *Store.
package memory

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
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
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.PollInterval = cmp.Or(o.PollInterval, time.Second)
	return o
}

// Store implements metastore.Store.
type Store struct {
	opts    Options
	closed  chan struct{} // closed by Close
	closing sync.Once

	mu    sync.Mutex
	state state
	news  chan struct{} // closed and replaced when entries were appended

	// leases of brokers, by node id: not durable, a restart of the process ends them all.
	leases map[metastore.NodeID]lease
}

type lease struct {
	metastore.Broker
	until time.Time
}

var _ metastore.Store = (*Store)(nil)

// New returns an empty store with a cluster id of its own, which is gone when the process ends.
func New(opts Options) *Store {
	s := newStore(opts)
	s.state.apply(&clusterID{newClusterID()})
	return s
}

func newStore(opts Options) *Store {
	return &Store{
		opts:   opts.withDefaults(),
		closed: make(chan struct{}),
		news:   make(chan struct{}),
		state:  newState(),
		leases: make(map[metastore.NodeID]lease),
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

// update runs decide, makes the change it returns, if any, and returns its error.
func (s *Store) update(ctx context.Context, decide func(now time.Time) (change, error)) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	c, err := decide(s.opts.Now())
	if c != nil {
		s.state.apply(c)
	}
	s.mu.Unlock()
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
		return ctx.Err()
	}
}

// wake lets the calls to Wait look again.
func (s *Store) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.news)
	s.news = make(chan struct{})
}

// Close implements metastore.Store.
func (s *Store) Close() error {
	s.closing.Do(func() { close(s.closed) })
	return nil
}
