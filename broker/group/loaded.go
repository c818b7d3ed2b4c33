package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// loaded is a group in memory: claimed, or about to be.
type loaded struct {
	id     string
	create bool          // the load makes the group if there is none
	ready  chan struct{} // closed when the load has ended; before, only gone may be set
	armed  time.Time     // the earliest timer; guarded by Coordinator.mu
	lost   time.Time     // when the broker was found not to own it any more, else zero; guarded by Coordinator.mu

	mu      sync.Mutex
	gone    error // why the group is no longer here
	epoch   metastore.GroupEpoch
	machine groupMachine
	asking  *call                 // whose event is being fed; nil: none, or one that nobody waits for
	waiting map[callID]chan reply // each of capacity 1 and answered once
	queue   []persist
	line    []*offsetWrite // the first is being written
	current bool           // Options.CatchUp was called; whoever writes the first of the line has it, without the lock
	writing bool           // a writer has the queue, or will
	busy    int            // requests that write under the claim on their own
	used    time.Time

	// begun are those that began since the last record was taken off the queue. It is not written before they end: only what
	// is written gives partitions to others, whose positions must not be changed by what the owner before began.
	begun *sync.WaitGroup
}

// errUnloaded: the group was forgotten; load it again.
var errUnloaded = errors.New("group was unloaded")

// with loads the group if need be and feeds its machine. If create is not set a group that the metastore does not have is
// ErrGroupNotFound; if it is, the group is made.
func (c *Coordinator) with(ctx context.Context, id string, create bool, event func(*loaded)) (*loaded, error) {
	for {
		g, err := c.load(ctx, id, create)
		if err == nil {
			err = c.act(g, func(groupMachine) { event(g) })
		}
		if !errors.Is(err, errUnloaded) {
			return g, err
		}
	}
}

// load returns the group, loaded. One request loads and the others wait for it.
func (c *Coordinator) load(ctx context.Context, id string, create bool) (*loaded, error) {
	g, first, err := c.enter(id, create)
	if err != nil {
		return nil, err
	}
	if first {
		c.restore(ctx, g)
	}
	if err := g.awaitReady(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if create && !g.create && errors.Is(g.gone, ErrGroupNotFound) {
		return nil, errUnloaded // somebody only looked for it: try again, and make it
	}
	return g, g.gone
}

// awaitReady returns when the load has ended, which takes no longer than Options.WriteTimeout.
func (g *loaded) awaitReady(ctx context.Context) error {
	select {
	case <-g.ready: // as nearly always: heartbeats should not pay for more
		return nil
	default:
	}
	select {
	case <-g.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter finds the group in memory, or puts it there for the caller to restore.
func (c *Coordinator) enter(id string, create bool) (g *loaded, first bool, err error) {
	owned := c.opts.Owns(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed != nil {
		return nil, false, c.closed
	}
	g = c.loaded[id]
	switch {
	case !c.keeps(g, owned):
		return nil, false, ErrNotCoordinator
	case g != nil:
		return g, false, nil
	}
	g = &loaded{id: id, create: create, ready: make(chan struct{}), waiting: make(map[callID]chan reply), begun: new(sync.WaitGroup)}
	c.loaded[id] = g
	return g, true, nil
}

// restore claims the group and continues it from its record. Like a write it is not given up with the request: others
// wait for it too.
func (c *Coordinator) restore(ctx context.Context, g *loaded) {
	defer close(g.ready)
	ctx, cancel := c.lasting(ctx)
	defer cancel()
	epoch, m, err := c.claim(ctx, g)
	if err != nil {
		c.drop(g, err)
		return
	}
	g.mu.Lock()
	g.epoch, g.machine = epoch, m
	g.mu.Unlock()
	l := m.listing()
	c.opts.Logger.Info("group loaded", "group", g.id, "epoch", epoch, "type", l.Type, "state", l.State)
	// If Run has ended meanwhile the group is gone, and whoever waits for it is told so.
	_ = c.act(g, func(groupMachine) {})
}

// claim takes the group from whoever coordinated it, and reads it.
func (c *Coordinator) claim(ctx context.Context, g *loaded) (metastore.GroupEpoch, groupMachine, error) {
	if full := g.create && c.full(); full || !g.create {
		if _, err := c.groups.ReadGroup(ctx, g.id); errors.Is(err, metastore.ErrGroupNotFound) {
			if full {
				return 0, nil, ErrTooManyGroups
			}
			return 0, nil, ErrGroupNotFound
		} else if err != nil {
			return 0, nil, c.unavailable("read group", g.id, err)
		}
	}
	stored, err := c.groups.ClaimGroup(ctx, g.id, metastore.NodeID(c.node.Load()))
	if err != nil {
		return 0, nil, c.unavailable("claim group", g.id, err)
	}
	if planted.Is(planted.GroupForgotten) {
		stored.State = nil
	}
	m, err := c.machineOf(stored)
	if err != nil {
		return 0, nil, c.unavailable("read group", g.id, err)
	}
	return stored.Epoch, m, nil
}

// full tells whether there are as many groups in memory as there may be, beside the one that is being loaded.
func (c *Coordinator) full() bool {
	most := c.opts.MaxGroups()
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.loaded)-1 >= most
}

// unavailable logs a failure of the metastore and returns what clients are told.
func (c *Coordinator) unavailable(operation, id string, err error) error {
	c.opts.Logger.Warn("metastore failed", "group", id, "operation", operation, "error", err)
	return ErrCoordinatorUnavailable
}

// machineOf continues a group from what is stored; a group that was never written is empty and classic.
func (c *Coordinator) machineOf(stored metastore.GroupRecord) (groupMachine, error) {
	now := c.opts.Now()
	if isConsumerRecord(stored.State) {
		r, err := decodeConsumerRecord(stored.State)
		if err != nil {
			return nil, fmt.Errorf("decode group %q: %w", stored.GroupID, err)
		}
		m := newConsumerMachine(c.opts.consumerLimits())
		m.observe(c.watch.now(), c.opts.ConsumerTimes(stored.GroupID))
		m.restore(now, r)
		return m, nil
	}
	r := record{ProtocolType: stored.ProtocolType}
	if stored.State != nil {
		var err error
		if r, err = decodeRecord(stored.State); err != nil {
			return nil, fmt.Errorf("decode group %q: %w", stored.GroupID, err)
		}
		r.writtenAt = c.opts.own(stored.WrittenAt)
	}
	m := newMachine(c.opts.limits())
	m.restore(now, r)
	return m, nil
}

// settle delivers the machine's answers and queues its records. It tells whether g now needs a writer.
func (g *loaded) settle() (needsWriter bool) {
	for _, e := range g.machine.takeEffects() {
		switch e := e.(type) {
		case reply:
			g.answer(e)
		case persist:
			if n := len(g.queue); n > 0 && e.whole && g.queue[n-1].whole {
				g.queue[n-1].ticket = e.ticket // the record is made when it is written, and covers both
			} else {
				e.of = g.machine
				g.queue = append(g.queue, e)
			}
		}
	}
	needsWriter = len(g.queue) > 0 && !g.writing
	g.writing = g.writing || needsWriter
	return needsWriter
}

// begin notes that a request writes under the claim on its own, until it calls end. The lock is held.
func (g *loaded) begin() (end func()) {
	g.busy++
	begun := g.begun
	begun.Add(1)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.busy--
		begun.Done()
	}
}

// awaitBegun waits for the requests that have begun so far, which takes no longer than their time-outs. False if the group
// is gone then.
func (g *loaded) awaitBegun() bool {
	g.mu.Lock()
	begun := g.begun
	g.begun = new(sync.WaitGroup)
	g.mu.Unlock()
	begun.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone == nil
}

// nextWrite takes the next record to be written off the queue; false if there is none, and the writer is done with g.
func (g *loaded) nextWrite() (persist, metastore.GroupRecord, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone != nil || len(g.queue) == 0 {
		g.writing = false
		return persist{}, metastore.GroupRecord{}, false
	}
	p := g.queue[0]
	g.queue = g.queue[1:]
	r := metastore.GroupRecord{GroupID: g.id, Epoch: g.epoch}
	if m, ok := p.of.(*consumerMachine); ok {
		whole := m.record()
		r.ProtocolType, r.StateName, r.State = consumerType, storedName(ConsumerType, m.state()), whole.encode()
	} else {
		r.ProtocolType, r.StateName, r.State = p.record.ProtocolType, storedName(ClassicType, p.record.state()), p.record.encode()
	}
	return p, r, true
}

// end answers everybody who waits with err and makes g unusable.
func (g *loaded) end(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone != nil {
		return
	}
	g.gone = err
	g.queue = nil
	if g.machine != nil {
		g.machine.fail(err)
		g.settle()
		g.machine = nil // a timer may keep g for long
	}
}

// idleSince tells whether the group can be forgotten without loss, and was not used since the time.
func (g *loaded) idleSince(t time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone == nil && g.machine != nil && g.machine.idle() && g.busy == 0 && g.used.Before(t)
}

// call is a request that is answered when its group's machine says so: nearly always at once, and else later.
type call struct {
	id       callID
	answered bool
	reply    reply
	later    chan reply // if it is not answered
}

// answer delivers a reply. The lock is held.
func (g *loaded) answer(r reply) {
	if a := g.asking; a != nil && a.id == r.call {
		a.answered, a.reply = true, r
		return
	}
	if answer, ok := g.waiting[r.call]; ok {
		delete(g.waiting, r.call)
		answer <- r
	}
}

// wait has the call whose event was fed answered later, if it is not by now. The lock is held.
func (g *loaded) wait() {
	a := g.asking
	g.asking = nil
	if a != nil && !a.answered {
		a.later = make(chan reply, 1)
		g.waiting[a.id] = a.later
	}
}

// forget ends the wait of a request that went away.
func (g *loaded) forget(call callID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, call)
}
