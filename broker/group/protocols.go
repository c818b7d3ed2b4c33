package group

import (
	"slices"
	"time"
)

// groupMachine is the state machine of a loaded group: *machine for the classic protocol, *consumerMachine for that of KIP-848.
type groupMachine interface {
	classicRequests
	// observe comes before every event.
	observe(topics *topicView, times ConsumerTimes)
	tick(now time.Time)
	deadline() (time.Time, bool)
	persisted(now time.Time, t ticket)
	takeEffects() []effect
	fail(err error)
	idle() bool
	machineView
}

// classicRequests are the requests that groups of both kinds answer.
type classicRequests interface {
	join(now time.Time, call callID, req JoinRequest, newID string)
	sync(now time.Time, call callID, req SyncRequest)
	heartbeat(now time.Time, req HeartbeatRequest) error
	leave(now time.Time, members []LeaveMember) []error
	commit(now time.Time, req CommitRequest) error
	commitInTransaction(req CommitRequest) error
	checkFetch(memberID *string, epoch MemberEpoch) error
}

// machineView is what administrators see and do.
type machineView interface {
	listing() Listing
	describeClassic(groupID string) (Description, error)
	describeConsumer(groupID string) (ConsumerDescription, error)
	subscription() (func(topic string) bool, error)
	expiry(now time.Time, retention time.Duration) (expiry, bool)
	kill() error
}

// observe implements groupMachine: classic groups do not look at topics.
func (m *machine) observe(*topicView, ConsumerTimes) {}

// checkFetch implements classicRequests: everybody may know the offsets of a classic group.
func (m *machine) checkFetch(*string, MemberEpoch) error { return nil }

func (m *machine) listing() Listing { return Listing{ProtocolType: m.protocolType, State: m.state} }

func (m *machine) describeClassic(id string) (Description, error) { return m.describe(id), nil }

func (m *machine) describeConsumer(string) (ConsumerDescription, error) {
	return ConsumerDescription{}, ErrGroupNotFound
}

// upgraded makes a consumer group of a classic one, which is left as it is. Members go on as they are: their generation becomes
// their epoch, and what the leader assigned to them is both what they own and their target.
//
// ErrGroupNotFound if the group cannot be upgraded, as in Kafka: it is no consumer group, and will not become one.
func upgraded(now time.Time, c *machine, l consumerLimits, topics *topicView, times ConsumerTimes) (*consumerMachine, error) {
	m := newConsumerMachine(l)
	m.observe(topics, times)
	m.epoch = max(int32(c.generation), 1) // as in Kafka; and epochs never go back to what the group had before
	m.assignmentEpoch = m.epoch
	if len(c.order) == 0 {
		return m, nil
	}
	if !l.migration.upgrades() || c.protocolType != consumerType || l.maxSize > 0 && len(c.order) > l.maxSize {
		return nil, ErrGroupNotFound
	}
	for _, old := range c.order {
		mb, err := m.upgradedMember(old, c.protocol)
		if err != nil {
			return nil, ErrGroupNotFound
		}
		m.insert(mb)
		if mb.deadline = old.deadline; mb.deadline.IsZero() {
			mb.deadline = now.Add(mb.classic.session)
		}
		m.wakeBy(mb.deadline)
	}
	m.changed = false // nothing is to be written unless somebody joins
	return m, nil
}

func (m *consumerMachine) upgradedMember(old *member, protocol string) (*consumerMember, error) {
	metadata := old.metadata(protocol)
	if metadata == nil {
		metadata = old.protocols[0].Metadata
	}
	subscription, err := decodeSubscription(metadata)
	if err != nil {
		return nil, err
	}
	// Between JoinGroup and SyncGroup only the member itself knows what it owns.
	owned := subscription.owned
	if len(old.assignment) > 0 {
		if owned, err = decodeAssignment(old.assignment); err != nil {
			return nil, err
		}
	}
	mb := &consumerMember{
		id: old.id, instance: old.instance, rack: subscription.rack, clientID: old.clientID, clientHost: old.clientHost,
		rebalance: old.rebalance, epoch: MemberEpoch(m.epoch), previous: MemberEpoch(m.epoch),
		classic: &classicSide{session: old.session, protocols: old.protocols, version: subscription.version},
	}
	m.subscribe(mb, subscription.topics)
	for _, p := range m.topics.resolve(owned) {
		if m.owners[p] == nil { // a leader may have given it to two
			mb.assigned = append(mb.assigned, p)
		}
	}
	mb.target = mb.assigned
	return mb, nil
}

// downgradable tells whether all members use the classic protocol, and the group may too.
func (m *consumerMachine) downgradable() bool {
	return !m.dead && len(m.order) > 0 && m.limits.migration.downgrades() &&
		!slices.ContainsFunc(m.order, func(mb *consumerMember) bool { return mb.classic == nil })
}

// downgraded makes a classic group of a consumer group whose members all use the classic protocol, or that has none. They
// assign among themselves from now on, beginning with a rebalance. Answers that wait for the record wait for that of the new
// group; m is not used any more.
func (m *consumerMachine) downgraded(now time.Time, l limits) *machine {
	c := newMachine(l)
	r := record{Generation: Generation(m.epoch), ProtocolType: consumerType} // no protocol: it has to be voted on
	if len(m.order) > 0 {
		r.Generation = 0 // the greatest that a member knows; the epoch grew when the last of the others left
	}
	for _, mb := range m.order {
		r.Generation = max(r.Generation, Generation(mb.epoch))
		r.Members = append(r.Members, recordMember{
			ID: mb.id, InstanceID: mb.instance, ClientID: mb.clientID, ClientHost: mb.clientHost,
			SessionTimeout: mb.classic.session, RebalanceTimeout: mb.rebalance, Protocols: mb.classic.protocols,
			Assignment: encodeAssignment(mb.classic.version, m.topics.byTopic(mb.assigned)),
		})
	}
	c.restore(now, r)
	var waiting []reply
	for _, h := range m.held {
		waiting = append(waiting, h.reply)
	}
	for _, e := range m.takeEffects() {
		if _, ok := e.(persist); !ok {
			c.effects = append(c.effects, e)
		}
	}
	c.persist(c.record(nil), write{answers: waiting})
	return c
}

// change puts another machine in place of g's. What the old one wanted written is covered by what the new one does. The lock is
// held.
func (g *loaded) change(to groupMachine) {
	g.machine = to
	g.queue = nil
}

// downgrade makes the group classic again when the last member has left that uses the consumer protocol.
func (c *Coordinator) downgrade(g *loaded) {
	if m, ok := g.machine.(*consumerMachine); ok && m.downgradable() {
		c.opts.Logger.Info("group is classic again", "group", g.id, "members", len(m.order))
		g.change(m.downgraded(c.opts.Now(), c.opts.limits()))
	}
}

// classicIfEmpty makes a group without members classic, for one that joins.
func (c *Coordinator) classicIfEmpty(g *loaded) {
	if m, ok := g.machine.(*consumerMachine); ok && m.state() == Empty {
		g.change(m.downgraded(c.opts.Now(), c.opts.limits()))
	}
}

// consumerHeartbeatOn feeds a ConsumerGroupHeartbeat. A classic group becomes a consumer group by it if it is a join that is not
// refused.
func (c *Coordinator) consumerHeartbeatOn(g *loaded, call callID, req ConsumerHeartbeatRequest, newID string) error {
	now := c.opts.Now()
	old, classic := g.machine.(*machine)
	if !classic {
		g.machine.(*consumerMachine).consumerHeartbeat(now, call, req, newID)
		return nil
	}
	switch {
	case old.state == Dead:
		return ErrCoordinatorUnavailable
	case req.Epoch != JoinEpoch:
		return ErrGroupNotFound
	}
	m, err := upgraded(now, old, c.opts.consumerLimits(), c.watch.now(), c.opts.ConsumerTimes(g.id))
	if err != nil {
		return err
	}
	if m.consumerHeartbeat(now, call, req, newID) {
		old.effects = append(old.effects, m.takeEffects()...) // but for the answer, the group stays as it is
		return nil
	}
	if len(old.order) > 0 {
		c.opts.Logger.Info("group is a consumer group now", "group", g.id, "members", len(m.order))
	}
	old.fail(ErrRebalanceInProgress)
	m.effects = append(old.takeEffects(), m.effects...)
	g.change(m)
	return nil
}
