package group

import (
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// consumerMachine is the state machine of one consumer group (KIP-848). Like machine it has no clock, lock or I/O: its
// methods are the events, each takes the time and leaves what must be done in effects. Before an event it is told, by
// observe, what topics there are.
//
// The group's epoch grows with everything that can change the assignment: members, subscriptions, topics. The next heartbeat
// computes the target for that epoch, the assignment epoch, and from then on each member is led there by its own heartbeats:
//
//	stable --target takes partitions away--> unrevoked --member no longer owns them--+
//	  ^  |                                                                           |
//	  |  +--target brings partitions that others still own--> unreleased <-----------+
//	  +--------------------------------------------------------- | all of them free
//
// A partition belongs to one member until that member said that it does not own it, or is gone: owners is the proof. Only then
// another gets it. While unrevoked a member keeps its epoch, since what it commits for those partitions still counts.
//
// Answers that tell of a state are held until that state is durable. The record holds the whole group and is made when the
// writer is ready for it, so whatever happens during one write is covered by the next, however many members there are.
type consumerMachine struct {
	limits consumerLimits
	topics *topicView
	times  ConsumerTimes

	epoch           int32
	assignmentEpoch int32
	assignAfter     time.Time // when the next target may be computed
	assignedBy      string    // the assignor that made the target
	members         map[string]*consumerMember
	order           []*consumerMember // in the order in which they joined
	static          map[string]*consumerMember
	owners          map[metastore.TopicPartition]*consumerMember
	bytes           int // of all members
	dead            bool

	seen       *topicView          // that lookAtTopics has looked at
	metadata   uint64              // digest of the topics that the target was computed from
	regexes    map[regexKey]*regex // of all members
	regexAfter time.Time           // when they may be resolved again
	sighted    bool                // members have been heard of that may not know of all topics
	sightUntil time.Time           // when what they see is to be asked again

	changed    bool // something durable, since the last persist effect
	lastTicket ticket
	durable    ticket
	held       []heldReply // in the order of their tickets
	due        time.Time
	effects    []effect
}

// heldReply waits until the record of its ticket is durable.
type heldReply struct {
	ticket ticket
	reply  reply
}

func newConsumerMachine(l consumerLimits) *consumerMachine {
	return &consumerMachine{
		limits:  l,
		topics:  newTopicView(nil),
		members: make(map[string]*consumerMember),
		static:  make(map[string]*consumerMember),
		owners:  make(map[metastore.TopicPartition]*consumerMember),
		regexes: make(map[regexKey]*regex),
	}
}

// observe is the event that comes before every other: how the world is now.
func (m *consumerMachine) observe(topics *topicView, times ConsumerTimes) {
	m.topics, m.times = topics, times
}

// fail ends the machine: everybody who waits gets err.
func (m *consumerMachine) fail(err error) {
	for _, h := range m.held {
		m.effects = append(m.effects, reply{call: h.reply.call, join: JoinResponse{Generation: NoGeneration}, err: err})
	}
	m.held, m.dead, m.due = nil, true, time.Time{}
}

func (m *consumerMachine) takeEffects() []effect {
	e := m.effects
	m.effects = nil
	return e
}

// idle tells whether forgetting the machine loses nothing that is not persisted.
func (m *consumerMachine) idle() bool {
	return len(m.members) == 0 && m.durable == m.lastTicket && len(m.held) == 0
}

func (m *consumerMachine) deadline() (time.Time, bool) { return m.due, !m.due.IsZero() }

// finish ends an event: what changed is to be persisted, and the answer, if there is one, waits for that. Errors tell nothing
// that has to be durable.
func (m *consumerMachine) finish(answers ...reply) {
	if m.changed {
		m.changed = false
		m.lastTicket++
		m.effects = append(m.effects, persist{ticket: m.lastTicket, whole: true})
	}
	for _, r := range answers {
		if r.err != nil || m.durable == m.lastTicket {
			m.effects = append(m.effects, r)
		} else {
			m.held = append(m.held, heldReply{m.lastTicket, r})
		}
	}
}

// persisted is the event that the record that was asked for under the ticket is durable.
func (m *consumerMachine) persisted(_ time.Time, t ticket) {
	m.durable = max(m.durable, t)
	n := 0
	for n < len(m.held) && m.held[n].ticket <= m.durable {
		m.effects = append(m.effects, m.held[n].reply)
		n++
	}
	m.held = m.held[n:]
}

// insert adds a member to the tables.
func (m *consumerMachine) insert(mb *consumerMember) {
	m.members[mb.id] = mb
	m.order = append(m.order, mb)
	if mb.instance != "" {
		m.static[mb.instance] = mb
	}
	m.bytes += mb.bytes()
	for _, p := range mb.owns() {
		m.owners[p] = mb
	}
	m.changed = true
}

// remove takes a member out; what it owned is free, and the others need another target.
func (m *consumerMachine) remove(mb *consumerMember) {
	delete(m.members, mb.id)
	m.order = slices.DeleteFunc(m.order, func(other *consumerMember) bool { return other == mb })
	if m.static[mb.instance] == mb {
		delete(m.static, mb.instance)
	}
	m.bytes -= mb.bytes()
	m.release(mb, mb.owns())
	m.epoch++
	m.changed = true
}

// rename gives a static member that comes back another member id, and a new life: it knows nothing of its epoch.
func (m *consumerMachine) rename(mb *consumerMember, id string) {
	delete(m.members, mb.id)
	m.bytes += len(id) - len(mb.id)
	mb.id = id
	m.members[id] = mb
	m.release(mb, mb.revoking)
	mb.epoch, mb.previous, mb.state, mb.revoking, mb.kept = JoinEpoch, JoinEpoch, memberStable, nil, nil
	mb.revokeBy = time.Time{}
	m.changed = true
}

// release makes partitions free that the member owned.
func (m *consumerMachine) release(mb *consumerMember, set partitions) {
	for _, p := range set {
		if m.owners[p] == mb {
			delete(m.owners, p)
		}
	}
}

// state is the group's as Kafka names it.
func (m *consumerMachine) state() State {
	switch {
	case m.dead:
		return Dead
	case len(m.order) == 0:
		return Empty
	case m.epoch > m.assignmentEpoch:
		return Assigning
	}
	for _, mb := range m.order {
		if mb.state != memberStable || mb.epoch != MemberEpoch(m.assignmentEpoch) {
			return Reconciling
		}
	}
	return Stable
}

// kill makes the group Dead before it is deleted.
func (m *consumerMachine) kill() error {
	switch {
	case m.dead:
		return ErrGroupNotFound
	case len(m.order) > 0:
		return ErrNonEmptyGroup
	}
	m.fail(ErrCoordinatorUnavailable)
	return nil
}

func (m *consumerMachine) listing() Listing {
	return Listing{ProtocolType: consumerType, Type: ConsumerType, State: m.state()}
}

// describeClassic answers DescribeGroups, which knows classic groups only.
func (m *consumerMachine) describeClassic(string) (Description, error) {
	return Description{}, ErrGroupNotFound
}

// describeConsumer returns the group as ConsumerGroupDescribe shows it.
func (m *consumerMachine) describeConsumer(id string) (ConsumerDescription, error) {
	d := ConsumerDescription{
		GroupID: id, State: m.state(), Epoch: m.epoch, AssignmentEpoch: m.assignmentEpoch, Assignor: m.preferredAssignor(),
	}
	for _, mb := range m.order {
		d.Members = append(d.Members, ConsumerMemberDescription{
			MemberID: mb.id, InstanceID: mb.instance, Rack: mb.rack, ClientID: mb.clientID, ClientHost: mb.clientHost,
			Epoch: mb.epoch, TopicNames: mb.names, TopicRegex: mb.regex, Assignment: mb.owns(), Target: mb.target,
			Classic: mb.classic != nil,
		})
	}
	return d, nil
}
