// Package cluster knows which brokers live, and which of them a key belongs to.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Options tunes a Membership. The zero value is the default.
type Options struct {
	Logger *slog.Logger // default: discard
	// Lease is how long a broker counts as live after its last sign of life. Default 6 s.
	Lease time.Duration
	// Beat is how often the lease is renewed and the list of brokers read. Default a sixth of the lease.
	Beat time.Duration
	// Registered is told of each registration by the goroutine that calls Join or Run: the node id may have changed. Default:
	// nobody is.
	Registered func(metastore.Broker)
	Now        func() time.Time // default: time.Now, whose monotonic part counts
	// Elapsed is how long it is since some moment, whatever is done to the clock. Default: by time's monotonic clock.
	Elapsed func() time.Duration
}

// Membership is this broker's registration and its view of the others. The view may be stale by a beat; nothing but
// routing depends on it, since writes are fenced in the metastore.
type Membership struct {
	brokers metastore.Brokers
	opts    Options
	anyID   bool // the node id is leased, and may become another
	// handedOver is closed by HandOver.
	handedOver chan struct{}

	mu       sync.RWMutex
	self     metastore.Broker
	cluster  string
	listed   []metastore.Broker // with a lease
	live     []metastore.Broker // of them, those that keys belong to
	others   []metastore.Broker // live without this one
	leaving  bool               // this broker gives its keys away
	deadline time.Time          // of our lease, on our own clock
	theirs   time.Time          // what the metastore's clock said
	at       time.Duration      // when it did, by opts.Elapsed
	ahead    time.Duration      // of the metastore's clock to ours, for people
	compared bool               // theirs was read
	failure  error              // of the last renewal, nil if it succeeded
}

// New makes the membership of a broker whose node id may be metastore.AnyNodeID. Join must succeed before Run.
func New(brokers metastore.Brokers, self metastore.Broker, opts Options) *Membership {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Lease == 0 {
		opts.Lease = 6 * time.Second
	}
	if opts.Beat == 0 {
		opts.Beat = opts.Lease / 6
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Elapsed == nil {
		begun := time.Now()
		opts.Elapsed = func() time.Duration { return time.Since(begun) }
	}
	return &Membership{
		brokers: brokers, self: self, opts: opts, anyID: self.NodeID == metastore.AnyNodeID, handedOver: make(chan struct{}),
	}
}

// Join registers the broker and reads who else lives. It may be repeated after an error.
func (m *Membership) Join(ctx context.Context) error {
	cluster, err := m.brokers.ClusterID(ctx)
	if err != nil {
		return fmt.Errorf("read cluster id: %w", err)
	}
	asked := m.opts.Now()
	self, err := m.register(ctx)
	if err != nil {
		return fmt.Errorf("register broker: %w", err)
	}
	m.mu.Lock()
	m.self, m.cluster, m.deadline = self, cluster, asked.Add(m.opts.Lease)
	m.mu.Unlock()
	if m.opts.Registered != nil {
		m.opts.Registered(self)
	}
	if err := m.compareClocks(ctx); err != nil {
		return err
	}
	return m.refresh(ctx)
}

// register takes the node id that this broker had, if any. One that it did not choose and that another broker took while it
// was out of touch for longer than its lease is given up for a free one: what was written under the old id is fenced by
// epochs, and clients look for brokers by what Metadata says next.
func (m *Membership) register(ctx context.Context) (metastore.Broker, error) {
	self := m.Self()
	registered, err := m.brokers.RegisterBroker(ctx, self, m.opts.Lease)
	if !m.anyID || self.NodeID == metastore.AnyNodeID || !errors.Is(err, metastore.ErrNodeIDInUse) {
		return registered, err
	}
	old := self.NodeID
	self.NodeID = metastore.AnyNodeID
	if registered, err = m.brokers.RegisterBroker(ctx, self, m.opts.Lease); err == nil {
		m.opts.Logger.Warn("another broker took the node id, going on under a new one",
			"node_id", int32(old), "new_node_id", int32(registered.NodeID))
	}
	return registered, err
}

const (
	// slowAnswer is a round trip beyond which the metastore's clock is not compared again: half of it would be the error.
	slowAnswer = time.Second
	// notableSkew is a difference of clocks that somebody should look into.
	notableSkew = 10 * time.Second
)

// compareClocks measures how far the metastore's clock is ahead of ours.
func (m *Membership) compareClocks(ctx context.Context) error {
	asked, begun := m.opts.Now(), m.opts.Elapsed()
	theirs, err := m.brokers.Clock(ctx)
	if err != nil {
		return fmt.Errorf("read metastore's clock: %w", err)
	}
	trip := m.opts.Elapsed() - begun
	m.mu.Lock()
	defer m.mu.Unlock()
	at := begun + trip/2
	if trip > slowAnswer {
		if m.compared {
			return nil
		}
		// As if the answer had been under way for all that time: who is late deletes nothing before its grace is over, and the next
		// look will tell.
		at = begun + trip
	}
	// Round strips the monotonic part: it is the clocks on the wall that are compared.
	ahead := theirs.Sub(asked.Round(0).Add(trip / 2))
	if ahead.Abs() > notableSkew && (m.ahead-ahead).Abs() > notableSkew {
		m.opts.Logger.Warn("clock differs from the metastore's; going by the metastore's", "behind_by", ahead)
	}
	m.theirs, m.at, m.ahead, m.compared = theirs, at, ahead, true
	return nil
}

// Now is the time by the metastore's clock, as far as it is known: the same on all brokers to within a round trip,
// whatever their own clocks say, and whenever they are set: one entry from the future would make everybody's commits too
// old. A machine that slept is late until the next look, and the log's time does not go back for it.
func (m *Membership) Now() time.Time {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.compared {
		return m.opts.Now().Round(0)
	}
	return m.theirs.Add(m.opts.Elapsed() - m.at).Round(0)
}

// Run renews the lease and follows the list of brokers until ctx ends, then leaves at once. It returns early with
// ErrNodeIDInUse if another broker took a node id that was chosen for this one.
func (m *Membership) Run(ctx context.Context) error {
	tick := time.NewTicker(m.opts.Beat)
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			m.unregister()
			return nil
		case <-tick.C:
		}
		err := m.runOnce(ctx)
		if errors.Is(err, metastore.ErrNodeIDInUse) {
			return fmt.Errorf("node id %d: %w", m.Self().NodeID, err)
		}
		if err != nil && !failing && ctx.Err() == nil {
			m.opts.Logger.Warn("renew lease, retrying", "error", err)
		}
		failing = err != nil
		m.mu.Lock()
		m.failure = err
		m.mu.Unlock()
	}
}

// Health is nil while the lease is renewed, or not yet in danger.
func (m *Membership) Health() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.opts.Now().Before(m.deadline.Add(-m.opts.Lease / 2)) {
		return nil
	}
	if m.failure != nil {
		return m.failure
	}
	return errors.New("lease not renewed in time")
}

func (m *Membership) runOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Lease)
	defer cancel()
	self, asked := m.Self(), m.opts.Now()
	err := m.brokers.RenewBroker(ctx, self.NodeID, self.Epoch, m.opts.Lease)
	if errors.Is(err, metastore.ErrFenced) && !m.isLeaving() { // who leaves does not come back
		return m.Join(ctx)
	}
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	m.mu.Lock()
	m.deadline = asked.Add(m.opts.Lease)
	m.mu.Unlock()
	if err := m.compareClocks(ctx); err != nil {
		return err
	}
	return m.refresh(ctx)
}

func (m *Membership) refresh(ctx context.Context) error {
	listed, err := m.brokers.LiveBrokers(ctx)
	if err != nil {
		return fmt.Errorf("list brokers: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listed = listed
	m.choose()
	return nil
}

// choose picks those of the listed brokers that keys belong to: the ones that stay, or all if none does. Caller holds mu.
func (m *Membership) choose() {
	goes := func(b metastore.Broker) bool { return b.Leaving || m.leaving && b.NodeID == m.self.NodeID }
	m.live = slices.DeleteFunc(slices.Clone(m.listed), goes)
	if len(m.live) == 0 {
		m.live = m.listed
	}
	m.others = slices.DeleteFunc(slices.Clone(m.live), func(b metastore.Broker) bool { return b.NodeID == m.self.NodeID })
}

// unregister ends the lease, so that the others need not wait for it to run out.
func (m *Membership) unregister() {
	ctx, cancel := context.WithTimeout(context.Background(), m.opts.Lease/2)
	defer cancel()
	self := m.Self()
	if err := m.brokers.UnregisterBroker(ctx, self.NodeID, self.Epoch); err != nil {
		m.opts.Logger.Warn("leave cluster; the lease will run out", "error", err)
	}
}

// Self is this broker as registered.
func (m *Membership) Self() metastore.Broker {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.self
}

// ClusterID is that of the metastore, "" before Join.
func (m *Membership) ClusterID() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.cluster
}

// Live returns the live brokers by node id, without those that are about to leave, unless all are; the last list known
// while the metastore does not answer. Once our own lease may have run out we are not among them, if there are others, as
// the others have it: clients that we send on are served by brokers that may have been luckier. Do not modify it.
func (m *Membership) Live() []metastore.Broker {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.live) < 2 || m.opts.Now().Before(m.deadline) {
		return m.live
	}
	return m.others
}

// LeaseRemaining is how long our own lease is certainly still ours, negative if it may have run out.
func (m *Membership) LeaseRemaining() time.Duration {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.deadline.Sub(m.opts.Now())
}

// Listed is Live and those that are about to leave: they still answer.
func (m *Membership) Listed() []metastore.Broker {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.listed
}

// Held tells whether our own lease is certainly still ours.
func (m *Membership) Held() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.opts.Now().Before(m.deadline)
}

// Owns tells whether the key belongs to this broker, as far as it knows; never after its lease may have run out, since
// another may own the key then.
func (m *Membership) Owns(key string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.opts.Now().Before(m.deadline) {
		return false
	}
	owner, ok := Owner(key, m.live)
	return ok && owner.NodeID == m.self.NodeID
}
