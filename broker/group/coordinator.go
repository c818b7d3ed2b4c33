package group

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// Coordinator serves the groups that this broker owns. All methods may run concurrently. Requests are refused with
// ErrCoordinatorLoading before Run, and with ErrNotCoordinator after it.
//
// A group is loaded, that is claimed and restored, by the first request that needs it. Its machine is fed under the
// group's lock, which is never held across I/O: what the machine wants persisted goes through a queue per group to Run's
// writers; offsets are written by the requests' own goroutines, those of a group in line (see offsetWrite).
//
// When a write fails its outcome is often unknown, and it may still happen later. The coordinator then gives the claim
// up: it drops the group from memory and tells all who wait to come again. The next use claims the group under a new epoch,
// which fences whatever of the old claim is still under way. (Rejected: keep the group and repeat the write. The first
// attempt could overwrite what follows the second.) Members carry on, as after any take-over.
type Coordinator struct {
	groups metastore.Groups
	opts   Options
	watch  topicWatch
	node   atomic.Int32
	calls  atomic.Uint64 // the last callID
	wake   chan struct{} // cap 1: there is a timer that is due before the others
	work   chan struct{} // cap 1: writable is not empty

	late   context.Context // ends when no write is waited for any more
	giveUp context.CancelFunc

	mu       sync.Mutex // may be taken while a group's lock is held, not the other way round
	closed   error      // why requests are refused; nil while Run runs
	loaded   map[string]*loaded
	timers   timers
	writable []*loaded // with a queue and no writer
}

// New returns a coordinator for the broker node. It does nothing before Run is called.
func New(groups metastore.Groups, node metastore.NodeID, opts Options) *Coordinator {
	c := &Coordinator{
		groups: groups,
		opts:   opts.withDefaults(),
		wake:   make(chan struct{}, 1),
		work:   make(chan struct{}, 1),
		closed: ErrCoordinatorLoading,
		loaded: make(map[string]*loaded),
	}
	c.watch.topics, c.watch.clock = c.opts.Topics, c.opts.Now
	c.late, c.giveUp = context.WithCancel(context.Background())
	c.SetNode(node)
	return c
}

// SetNode sets the node id that claims are made for, once the broker has one.
func (c *Coordinator) SetNode(node metastore.NodeID) { c.node.Store(int32(node)) }

// Run drives the timers and writers of all groups until ctx ends. Then writes that have begun are finished, if that does
// not take longer than DrainTimeout, and everybody who still waits is told to look for another coordinator. It is called
// once.
func (c *Coordinator) Run(ctx context.Context) error {
	c.setClosed(nil)
	var writers sync.WaitGroup
	for range c.opts.Writers {
		writers.Go(func() { c.writeLoop(ctx) })
	}
	writers.Go(func() { c.expireLoop(ctx) })
	c.timerLoop(ctx)
	c.setClosed(ErrNotCoordinator)
	time.AfterFunc(c.opts.DrainTimeout, c.giveUp) // those of requests may outlast Run
	writers.Wait()
	for _, g := range c.snapshot() {
		c.drop(g, ErrNotCoordinator)
	}
	return ctx.Err()
}

func (c *Coordinator) setClosed(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = why
}

func (c *Coordinator) snapshot() []*loaded {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*loaded, 0, len(c.loaded))
	for _, g := range c.loaded {
		all = append(all, g)
	}
	return all
}

// timerLoop calls the machines at their deadlines, and sweeps.
func (c *Coordinator) timerLoop(ctx context.Context) {
	sweep := time.NewTicker(c.opts.SweepInterval)
	defer sweep.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			c.sweep()
			continue
		case <-next.C:
		case <-c.wake:
		}
		if wait, ok := c.fireTimers(); ok {
			next.Reset(wait)
		}
	}
}

// fireTimers ticks the groups that are due and tells how long until the next is.
func (c *Coordinator) fireTimers() (wait time.Duration, ok bool) {
	for {
		now := c.opts.Now()
		g, wait, ok := c.nextTimer(now)
		if g == nil {
			return wait, ok
		}
		// A group that is gone has no timers.
		_ = c.act(g, func(m groupMachine) { m.tick(now) })
	}
}

// nextTimer takes the first group that is due off the heap, or tells how long that takes.
func (c *Coordinator) nextTimer(now time.Time) (g *loaded, wait time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.timers) == 0 {
		return nil, 0, false
	}
	if wait = c.timers[0].at.Sub(now); wait > 0 {
		return nil, wait, true
	}
	t := c.timers.take()
	if t.group.armed.Equal(t.at) {
		t.group.armed = time.Time{}
	}
	return t.group, 0, true
}

// arm makes sure that g is ticked at the time.
func (c *Coordinator) arm(g *loaded, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !g.armed.IsZero() && !at.Before(g.armed) {
		return
	}
	g.armed = at
	c.timers.add(timer{at, g})
	if c.timers[0].group == g {
		signal(c.wake)
	}
}

// sweep drops groups that this broker no longer owns, and forgets those that are idle.
func (c *Coordinator) sweep() {
	longAgo := c.opts.Now().Add(-c.opts.IdleTimeout)
	for _, g := range c.snapshot() {
		switch {
		case !c.serves(g.id):
			c.drop(g, ErrNotCoordinator)
		case g.idleSince(longAgo):
			c.drop(g, errUnloaded)
		}
	}
}

// serves tells whether requests for the group are for this broker. A group that belongs to another is never loaded, so that
// it is handed on and does not come back; one that is in memory is kept for a while. Who owns it may claim it at any
// time, which fences what is kept here.
func (c *Coordinator) serves(id string) bool {
	owned := c.opts.Owns(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keeps(c.loaded[id], owned)
}

// keeps is serves for a group in memory, nil if it is not. Caller holds mu.
func (c *Coordinator) keeps(g *loaded, owned bool) bool {
	switch {
	case g == nil:
		return owned
	case owned:
		g.lost = time.Time{}
		return true
	case g.lost.IsZero():
		g.lost = c.opts.Now()
	}
	return c.opts.Now().Sub(g.lost) < c.opts.Keep
}

// drop ends g here: everybody who waits gets err, and the next use, if only by one who was told so, loads the group anew.
func (c *Coordinator) drop(g *loaded, err error) {
	c.forgetGroup(g)
	g.end(err)
}

func (c *Coordinator) forgetGroup(g *loaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded[g.id] == g {
		delete(c.loaded, g.id)
	}
}

// act feeds g's machine and sees to the effects. It returns why g is gone, if it is.
func (c *Coordinator) act(g *loaded, event func(groupMachine)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone != nil {
		return g.gone
	}
	g.used = c.opts.Now()
	g.machine.observe(c.watch.now(), c.opts.ConsumerTimes(g.id))
	event(g.machine)
	c.downgrade(g)
	if g.settle() {
		c.enqueue(g)
	}
	g.wait()
	if at, ok := g.machine.deadline(); ok {
		c.arm(g, at)
	}
	return nil
}

// enqueue gives g to a writer.
func (c *Coordinator) enqueue(g *loaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writable = append(c.writable, g)
	signal(c.work)
}

// writeLoop writes records of one group after the other.
func (c *Coordinator) writeLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.work:
		}
		if g := c.nextWritable(); g != nil {
			c.writeQueue(ctx, g)
		}
	}
}

func (c *Coordinator) nextWritable() *loaded {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.writable) == 0 {
		return nil
	}
	g := c.writable[0]
	c.writable = c.writable[1:]
	if len(c.writable) > 0 {
		signal(c.work)
	}
	return g
}

// writeQueue writes all records that g's machine asked for.
func (c *Coordinator) writeQueue(ctx context.Context, g *loaded) {
	for {
		p, r, ok := g.nextWrite()
		if !ok || !g.awaitBegun() {
			return
		}
		r.Coordinator = metastore.NodeID(c.node.Load())
		if c.write(ctx, g, "write group", func(ctx context.Context) error { return c.groups.WriteGroup(ctx, r) }) != nil {
			return
		}
		_ = c.act(g, func(m groupMachine) {
			if m == p.of { // else the group has changed its protocol since
				m.persisted(c.opts.Now(), p.ticket)
			}
		})
	}
}

// lasting is the context of a call to the metastore that does not end with the request that made it.
func (c *Coordinator) lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.WriteTimeout)
	stop := context.AfterFunc(c.late, cancel)
	return ctx, func() { stop(); cancel() }
}

// write makes one write under g's claim. A write that has begun is not given up with the request that caused it: half of
// them would be in doubt then. If it fails the group is dropped.
func (c *Coordinator) write(ctx context.Context, g *loaded, verb string, do func(context.Context) error) error {
	ctx, cancel := c.lasting(ctx)
	defer cancel()
	err := do(ctx)
	if err == nil || planted.Is(planted.LeaseNotFenced) && errors.Is(err, metastore.ErrFenced) {
		return nil
	}
	answer := ErrCoordinatorUnavailable
	if errors.Is(err, metastore.ErrFenced) {
		answer = ErrNotCoordinator
		c.opts.Logger.Info("group was taken over by another coordinator", "group", g.id, "operation", verb)
	} else {
		c.opts.Logger.Warn("metastore write failed, dropping the claim on the group", "group", g.id, "operation", verb, "error", err)
	}
	c.drop(g, answer)
	return answer
}

// signal leaves a token in a channel of capacity 1.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
