package group

import (
	"slices"
	"time"
)

// limits are the settings that the machine needs.
type limits struct {
	initialDelay time.Duration // group.initial.rebalance.delay.ms
	maxSize      int           // group.max.size
}

// newMemberJoinTimeout bounds how long a member may wait in its very first Join. Its client may have gone without our
// noticing, and unlike known members it has no session that ends it. Kafka's value.
const newMemberJoinTimeout = 5 * time.Minute

// machine is the state machine of one classic group. Its methods are the events; each takes the time, and leaves what
// must be done in effects, in order. It has no clock, lock or I/O, and the same events give the same effects.
//
//	Empty --join--> PreparingRebalance --all joined or time-out--> CompletingRebalance --leader's sync persisted--> Stable
//	  ^                ^    |                                        |                                              |
//	  +--nobody left---|----+                                        |                                              |
//	                   +-------- join, leave, expiry ----------------+----------------------------------------------+
//
// Members wait in Join until the generation is complete and in Sync until the leader's assignment is persisted. Each
// call gets exactly one answer.
type machine struct {
	limits limits

	state, previous State
	generation      Generation
	protocolType    string
	protocol        string    // chosen for the generation
	leader          string    // member id; "" if there are no members
	emptySince      time.Time // when the last member left; zero if nobody knows
	members         map[string]*member
	order           []*member            // members in the order in which they joined
	static          map[string]string    // instance id to member id
	pending         map[string]time.Time // member ids given out by ErrMemberIDRequired, until when they are good
	pendingBytes    int                  // what they take
	supporters      map[string]int       // members that support a protocol, by its name

	joining       int           // members that wait in Join
	joinDeadline  time.Time     // end of PreparingRebalance
	joinRemaining time.Duration // by which an initial rebalance can still be extended
	grew          bool          // somebody joined since the initial delay began or was extended
	owing         int           // members that joined the generation and did not sync yet
	syncDeadline  time.Time     // for those
	assigning     bool          // the leader's assignment for the generation is being persisted

	lastTicket ticket
	writes     map[ticket]write // being persisted

	due     time.Time // no deadline lies before it; zero if there is none
	effects []effect
}

// ticket names a persist effect in the event that tells its outcome.
type ticket uint64

// write is what to do when a record is persisted.
type write struct {
	generation  Generation
	assignments map[string][]byte // of the generation, by member id; nil for other writes
	rejoined    *staticRejoin
	answers     []reply // that wait for it
}

// staticRejoin is the answer that a static member gets once its new member id is persisted.
type staticRejoin struct {
	member *member
	call   callID
	leader string // as the answer names it
	skip   bool   // the client understands SkipAssignment
}

// effect is a reply or a persist.
type effect interface{ isEffect() }

// reply answers a waiting call.
type reply struct {
	call callID
	join JoinResponse
	sync SyncResponse

	consumer ConsumerHeartbeatResponse
	err      error
}

// persist asks for a record to be written; persisted tells the machine when it is durable. Records are written in the
// order in which they were asked for. If one cannot be written the machine is failed and discarded.
type persist struct {
	ticket ticket
	record record
	whole  bool         // no record: that of the whole group, as it is when it is written
	of     groupMachine // filled in by who writes it
}

func (reply) isEffect()   {}
func (persist) isEffect() {}

func newMachine(l limits) *machine {
	return &machine{
		limits:     l,
		members:    make(map[string]*member),
		static:     make(map[string]string),
		pending:    make(map[string]time.Time),
		supporters: make(map[string]int),
		writes:     make(map[ticket]write),
	}
}

// restore continues a group from its record. Sessions begin anew: how much of them was left died with the coordinator.
func (m *machine) restore(now time.Time, r record) {
	m.generation, m.protocolType, m.protocol, m.leader = r.Generation, r.ProtocolType, r.Protocol, r.Leader
	for _, rm := range r.Members {
		mb := &member{
			id: rm.ID, instance: rm.InstanceID, clientID: rm.ClientID, clientHost: rm.ClientHost,
			session: rm.SessionTimeout, rebalance: rm.RebalanceTimeout, protocols: rm.Protocols, assignment: rm.Assignment,
		}
		m.insert(mb)
		m.touch(now, mb)
	}
	if len(m.order) == 0 {
		m.leader, m.emptySince = "", r.writtenAt
		return
	}
	if m.members[m.leader] == nil {
		m.leader = m.order[0].id
	}
	m.transition(Stable)
	if m.protocol == "" || m.limits.maxSize > 0 && len(m.members) > m.limits.maxSize {
		m.prepareRebalance(now)
	}
}

// fail ends the machine: everybody who waits gets err.
func (m *machine) fail(err error) {
	for _, mb := range m.order {
		m.answerJoin(mb, JoinResponse{MemberID: mb.id}, err)
		m.answerSync(mb, SyncResponse{}, err)
	}
	for _, w := range m.writes {
		for _, r := range w.answers {
			m.effects = append(m.effects, reply{call: r.call, err: err})
		}
	}
	m.transition(Dead)
	m.due = time.Time{}
	clear(m.writes)
}

// takeEffects returns what is to be done since it was last called.
func (m *machine) takeEffects() []effect {
	e := m.effects
	m.effects = nil
	return e
}

// idle tells whether forgetting the machine loses nothing that is not persisted.
func (m *machine) idle() bool { return m.state == Empty && len(m.pending) == 0 && len(m.writes) == 0 }

func (m *machine) transition(to State) { m.previous, m.state = m.state, to }

// insert adds a member to the tables.
func (m *machine) insert(mb *member) {
	m.members[mb.id] = mb
	m.order = append(m.order, mb)
	if mb.instance != "" {
		m.static[mb.instance] = mb.id
	}
	m.countProtocols(mb, 1)
	if m.leader == "" {
		m.leader = mb.id
	}
}

// remove takes a member out, answers the calls in which it waits, and passes the lead on.
func (m *machine) remove(mb *member) {
	m.answerJoin(mb, JoinResponse{}, ErrUnknownMember)
	m.answerSync(mb, SyncResponse{}, ErrUnknownMember)
	delete(m.members, mb.id)
	m.order = slices.DeleteFunc(m.order, func(other *member) bool { return other == mb })
	if mb.instance != "" {
		delete(m.static, mb.instance)
	}
	m.countProtocols(mb, -1)
	m.paySync(mb)
	if m.leader == mb.id {
		m.leader = ""
		if len(m.order) > 0 {
			m.leader = m.order[0].id
		}
	}
}

func (m *machine) countProtocols(mb *member, by int) {
	for _, p := range mb.protocols {
		if m.supporters[p.Name] += by; m.supporters[p.Name] == 0 {
			delete(m.supporters, p.Name)
		}
	}
}

// validateMember checks who sent a request.
func (m *machine) validateMember(id, instance string) error {
	if instance != "" {
		holder, ok := m.static[instance]
		if !ok {
			return ErrUnknownMember
		}
		if holder != id {
			return ErrFencedInstance
		}
	}
	if m.members[id] == nil {
		return ErrUnknownMember
	}
	return nil
}

// rebalanceTimeout is the longest that any member needs to join again.
func (m *machine) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, mb := range m.order {
		longest = max(longest, mb.rebalance)
	}
	return longest
}

// answerJoin ends the member's wait in Join, if it waits.
func (m *machine) answerJoin(mb *member, resp JoinResponse, err error) {
	if mb.joinCall == 0 {
		return
	}
	m.reply(mb.joinCall, resp, err)
	mb.joinCall = 0
	m.joining--
}

// answerSync ends the member's wait in Sync, if it waits.
func (m *machine) answerSync(mb *member, resp SyncResponse, err error) {
	if mb.syncCall == 0 {
		return
	}
	m.effects = append(m.effects, reply{call: mb.syncCall, sync: resp, err: err})
	mb.syncCall = 0
}

func (m *machine) reply(call callID, resp JoinResponse, err error) {
	if err != nil {
		resp.Generation = NoGeneration
	}
	m.effects = append(m.effects, reply{call: call, join: resp, err: err})
}

// persist asks for r to be written, and remembers what to do then.
func (m *machine) persist(r record, then write) {
	m.lastTicket++
	then.generation = m.generation
	m.writes[m.lastTicket] = then
	m.effects = append(m.effects, persist{ticket: m.lastTicket, record: r})
}

// persisted is the event that the record of a persist effect is durable.
func (m *machine) persisted(now time.Time, t ticket) {
	w, ok := m.writes[t]
	if !ok {
		return
	}
	delete(m.writes, t)
	for _, r := range w.answers {
		m.effects = append(m.effects, r)
	}
	if w.assignments != nil {
		m.assigned(now, w)
	}
	if w.rejoined != nil {
		m.rejoined(now, w.rejoined)
	}
}

// record returns the group as it is persisted, with the assignments given in place of the members' own if not nil.
func (m *machine) record(assignments map[string][]byte) record {
	r := record{ProtocolType: m.protocolType, Generation: m.generation, Protocol: m.protocol, Leader: m.leader}
	for _, mb := range m.order {
		rm := recordMember{
			ID: mb.id, InstanceID: mb.instance, ClientID: mb.clientID, ClientHost: mb.clientHost,
			SessionTimeout: mb.session, RebalanceTimeout: mb.rebalance, Protocols: mb.protocols, Assignment: mb.assignment,
		}
		if assignments != nil {
			rm.Assignment = assignments[mb.id]
		}
		r.Members = append(r.Members, rm)
	}
	return r
}

// describe returns the group as DescribeGroups shows it.
func (m *machine) describe(id string) Description {
	d := Description{GroupID: id, ProtocolType: m.protocolType, State: m.state}
	if m.state == Stable {
		d.Protocol = m.protocol
	}
	for _, mb := range m.order {
		md := MemberDescription{
			MemberID: mb.id, InstanceID: mb.instance, ClientID: mb.clientID, ClientHost: mb.clientHost, Assignment: mb.assignment,
		}
		if m.state == Stable {
			md.Metadata = mb.metadata(m.protocol)
		}
		d.Members = append(d.Members, md)
	}
	return d
}
