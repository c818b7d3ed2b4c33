package group

import (
	"time"
)

// join is the event of a JoinGroup request, to be answered under call. newID is the member id for whoever needs one.
func (m *machine) join(now time.Time, call callID, req JoinRequest, newID string) {
	req.Protocols = distinctProtocols(req.Protocols)
	if req.RebalanceTimeout <= 0 {
		req.RebalanceTimeout = req.SessionTimeout
	}
	switch {
	case m.state == Dead:
		m.reply(call, JoinResponse{MemberID: req.MemberID}, ErrCoordinatorUnavailable)
	case !m.hasRoom(req.MemberID), m.bytesBeside(req.MemberID)+req.bytes() > maxGroupBytes:
		m.refuseForSize(now, call, req.MemberID)
	case !m.supportsProtocols(req):
		m.reply(call, JoinResponse{MemberID: req.MemberID}, ErrInconsistentProtocol)
	case req.MemberID == "":
		m.joinNew(now, call, req, newID)
	default:
		m.joinKnown(now, call, req)
	}
}

// hasRoom tells whether the group can take the member. While a rebalance is prepared those count that wait already, so
// that a group above a lowered limit sheds those who come last.
func (m *machine) hasRoom(id string) bool {
	mb := m.members[id]
	switch {
	case m.limits.maxSize <= 0, m.state == Empty:
		return true
	case m.state == PreparingRebalance:
		return mb != nil && mb.joinCall != 0 || m.joining < m.limits.maxSize
	default:
		return mb != nil || len(m.members) < m.limits.maxSize
	}
}

// maxGroupBytes bounds what members say about themselves, in memory for every group and told to its leader at every
// rebalance, with the member ids that were given out. In Kafka a group must fit one record of the offsets topic, 1 MiB,
// but that shows only at the end of a rebalance.
const maxGroupBytes = 32 << 20

// memberBytes is what a member takes beside what it says.
const memberBytes = 200

// bytesBeside is what the members but one take, and those that were given an id.
func (m *machine) bytesBeside(id string) int {
	n := 0
	for _, mb := range m.order {
		if mb.id != id {
			n += memberBytes + 2*len(mb.clientID) + len(mb.instance) + bytesOf(mb.protocols) // its id begins with one of them
		}
	}
	return n + m.pendingBytes
}

// await remembers a member id that was given out.
func (m *machine) await(id string, until time.Time) {
	m.pending[id] = m.wakeBy(until)
	m.pendingBytes += memberBytes + len(id)
}

// awaited forgets a member id that was given out; false if there is no such.
func (m *machine) awaited(id string) bool {
	if _, ok := m.pending[id]; !ok {
		return false
	}
	delete(m.pending, id)
	m.pendingBytes -= memberBytes + len(id)
	return true
}

// bytes is what the member takes that asks.
func (r *JoinRequest) bytes() int {
	return memberBytes + 2*len(r.ClientID) + len(r.InstanceID) + bytesOf(r.Protocols)
}

func bytesOf(protocols []Protocol) int {
	n := 0
	for _, p := range protocols {
		n += len(p.Name) + len(p.Metadata)
	}
	return n
}

func (m *machine) refuseForSize(now time.Time, call callID, id string) {
	m.reply(call, JoinResponse{}, ErrGroupMaxSize)
	m.awaited(id)
	if mb := m.members[id]; mb != nil {
		m.remove(mb)
	}
	m.maybeCompleteJoin(now)
}

// supportsProtocols tells whether the member shares its protocol type and at least one protocol with all members.
func (m *machine) supportsProtocols(req JoinRequest) bool {
	if m.state == Empty {
		return req.ProtocolType != "" && len(req.Protocols) > 0
	}
	if req.ProtocolType != m.protocolType {
		return false
	}
	for _, p := range req.Protocols {
		if m.supporters[p.Name] == len(m.members) {
			return true
		}
	}
	return false
}

// joinNew handles a member that has no member id.
func (m *machine) joinNew(now time.Time, call callID, req JoinRequest, newID string) {
	switch old := m.members[m.static[req.InstanceID]]; {
	case req.InstanceID != "" && old != nil:
		m.replaceStatic(now, call, req, old, newID)
	case req.InstanceID == "" && req.RequireKnownMemberID:
		m.await(newID, now.Add(req.SessionTimeout))
		m.reply(call, JoinResponse{MemberID: newID}, ErrMemberIDRequired)
	default:
		m.add(now, call, req, newID)
	}
}

// joinKnown handles a member that names its member id.
func (m *machine) joinKnown(now time.Time, call callID, req JoinRequest) {
	if _, ok := m.pending[req.MemberID]; ok && req.InstanceID == "" {
		m.add(now, call, req, req.MemberID)
		return
	}
	if err := m.validateMember(req.MemberID, req.InstanceID); err != nil {
		m.reply(call, JoinResponse{MemberID: req.MemberID}, err)
		return
	}
	mb := m.members[req.MemberID]
	unchanged := sameProtocols(mb.protocols, req.Protocols)
	switch {
	case m.state == CompletingRebalance && unchanged,
		// The leader joins again to have changes taken up that its metadata does not show, such as new partitions.
		m.state == Stable && unchanged && m.leader != mb.id:
		// The member may have missed the answer to its Join. It is told again.
		m.touch(now, mb)
		m.supersede(mb)
		m.reply(call, m.joinResponse(mb), nil)
	default:
		m.update(mb, call, req)
		m.rebalance(now)
	}
}

// add takes in a member that joins for the first time.
func (m *machine) add(now time.Time, call callID, req JoinRequest, id string) {
	if m.state == Empty {
		m.protocolType = req.ProtocolType
	}
	m.awaited(id)
	mb := &member{
		id: id, instance: req.InstanceID, clientID: req.ClientID, clientHost: req.ClientHost,
		session: req.SessionTimeout, rebalance: req.RebalanceTimeout, protocols: req.Protocols, fresh: true, joinCall: call,
	}
	m.joining++
	m.insert(mb)
	m.grew = true
	mb.deadline = m.wakeBy(now.Add(newMemberJoinTimeout))
	m.rebalance(now)
}

// update takes over what the member now says about itself, and lets it wait under call.
func (m *machine) update(mb *member, call callID, req JoinRequest) {
	m.countProtocols(mb, -1)
	mb.protocols, mb.session, mb.rebalance = req.Protocols, req.SessionTimeout, req.RebalanceTimeout
	mb.clientID, mb.clientHost = req.ClientID, req.ClientHost
	m.countProtocols(mb, 1)
	m.supersede(mb)
	mb.joinCall = call
	m.joining++
}

// supersede answers calls of the member that still wait though its client, by calling again, shows that it gave them up.
func (m *machine) supersede(mb *member) {
	m.answerJoin(mb, JoinResponse{MemberID: mb.id}, ErrRebalanceInProgress)
	m.answerSync(mb, SyncResponse{}, ErrRebalanceInProgress)
}

// replaceStatic gives a static member that comes back without its member id a new one (KIP-345). Whoever still uses the
// old id is fenced.
func (m *machine) replaceStatic(now time.Time, call callID, req JoinRequest, mb *member, newID string) {
	oldID, oldLeader := mb.id, m.leader
	m.answerJoin(mb, JoinResponse{MemberID: oldID}, ErrFencedInstance)
	m.answerSync(mb, SyncResponse{}, ErrFencedInstance)
	delete(m.members, oldID)
	mb.id = newID
	m.members[newID] = mb
	m.static[mb.instance] = newID
	if m.leader == oldID {
		m.leader = newID
	}
	m.touch(now, mb)
	m.update(mb, call, req)

	// Only a change of the chosen protocol makes the assignment invalid. Metadata is not compared: with some
	// assignors it differs after every restart.
	if m.state != Stable || m.selectProtocol() != m.protocol {
		m.rebalance(now)
		return
	}
	// Old clients cannot be told to skip the assignment. They are named another leader, so as not to compute one.
	then := &staticRejoin{member: mb, call: call, leader: oldLeader, skip: req.CanSkipAssignment}
	if then.skip {
		then.leader = m.leader
	}
	m.persist(m.record(nil), write{rejoined: then})
}

// rejoined answers a static member whose new id is durable. If a rebalance began meanwhile it waits for that like
// everybody.
func (m *machine) rejoined(now time.Time, then *staticRejoin) {
	mb := then.member
	if m.state != Stable || m.members[mb.id] != mb || mb.joinCall != then.call {
		return
	}
	resp := m.joinResponse(mb)
	resp.LeaderID = then.leader
	resp.SkipAssignment = then.skip && m.leader == mb.id
	if !resp.SkipAssignment {
		resp.Members = nil
	}
	m.touch(now, mb)
	m.answerJoin(mb, resp, nil)
}

// joinResponse tells the member the present generation.
func (m *machine) joinResponse(mb *member) JoinResponse {
	resp := JoinResponse{
		MemberID: mb.id, Generation: m.generation, ProtocolType: m.protocolType, Protocol: m.protocol, LeaderID: m.leader,
	}
	if mb.id != m.leader {
		return resp
	}
	for _, other := range m.order {
		resp.Members = append(resp.Members, JoinMember{other.id, other.instance, other.metadata(m.protocol)})
	}
	return resp
}
