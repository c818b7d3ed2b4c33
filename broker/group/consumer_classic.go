package group

import (
	"cmp"
	"time"
)

// A consumer group may have members that use the classic protocol, while clients are upgraded one by one. JoinGroup, SyncGroup,
// Heartbeat and LeaveGroup are answered from the same state: joining is what a heartbeat with a full request is, the generation
// is the member's epoch, and REBALANCE_IN_PROGRESS calls a member to come and get what is new. The broker assigns; nobody
// leads.

// join is the event of a JoinGroup request.
func (m *consumerMachine) join(now time.Time, call callID, req JoinRequest, newID string) {
	resp, err := m.joinClassic(now, req, newID)
	if err != nil {
		resp.Generation = NoGeneration
	}
	m.finish(reply{call: call, join: resp, err: err})
}

func (m *consumerMachine) joinClassic(now time.Time, req JoinRequest, newID string) (JoinResponse, error) {
	req.Protocols = distinctProtocols(req.Protocols)
	if req.RebalanceTimeout <= 0 {
		req.RebalanceTimeout = req.SessionTimeout
	}
	refused := JoinResponse{MemberID: req.MemberID}
	if m.dead {
		return refused, ErrCoordinatorUnavailable
	}
	if n := m.bytesWithClassic(req, newID); m.full(req.MemberID) || n > m.bytes && n > maxGroupBytes {
		return refused, ErrGroupMaxSize
	}
	if !m.supportsProtocols(req) {
		return refused, ErrInconsistentProtocol
	}
	subscription, err := decodeSubscription(req.Protocols[0].Metadata) // assignors differ in user data only
	if err != nil {
		return refused, ErrUnreadableSubscription
	}
	if req.MemberID == "" && req.InstanceID == "" && req.RequireKnownMemberID {
		return JoinResponse{MemberID: newID}, ErrMemberIDRequired
	}
	mb, joined, err := m.classicSender(req, newID)
	if err != nil {
		return refused, err
	}
	owned := m.topics.resolve(subscription.owned)
	resubscribed := m.updateClassic(mb, req, subscription) || joined
	if m.lookAtTopics(now, resubscribed) || resubscribed {
		m.epoch++
	}
	m.assignAfter = time.Time{} // a classic member would join again and again until there is a target
	m.assign(now)
	m.reconcile(now, mb, &owned)
	mb.revokeBy, mb.joinBy = time.Time{}, time.Time{} // it has until it must have synced, and then joined again
	mb.syncBy = m.wakeBy(now.Add(mb.rebalance))
	m.touchClassic(now, mb)
	return JoinResponse{
		MemberID: mb.id, Generation: Generation(mb.epoch), ProtocolType: consumerType, Protocol: mb.classic.protocols[0].Name,
	}, nil
}

// bytesWithClassic is what the group would take with the member that joins.
func (m *consumerMachine) bytesWithClassic(req JoinRequest, newID string) int {
	n := m.bytes + consumerMemberBytes + len(newID) + len(req.InstanceID) + len(req.ClientID) + bytesOf(req.Protocols)
	if mb := cmp.Or(m.members[req.MemberID], m.static[req.InstanceID]); mb != nil {
		n -= mb.bytes()
	}
	return n
}

// supportsProtocols tells whether the member speaks the consumers' protocol, and shares an assignor with all others that use
// the classic one: they will need it when the group is theirs again.
func (m *consumerMachine) supportsProtocols(req JoinRequest) bool {
	if req.ProtocolType != consumerType || len(req.Protocols) == 0 {
		return false
	}
	for _, p := range req.Protocols {
		shared := true
		for _, mb := range m.order {
			if mb.classic != nil && mb.id != req.MemberID && !mb.classic.supports(p.Name) {
				shared = false
				break
			}
		}
		if shared {
			return true
		}
	}
	return false
}

func (c *classicSide) supports(protocol string) bool {
	for _, p := range c.protocols {
		if p.Name == protocol {
			return true
		}
	}
	return false
}

// classicSender finds or makes the member that joins.
func (m *consumerMachine) classicSender(req JoinRequest, newID string) (mb *consumerMember, joined bool, err error) {
	if req.InstanceID != "" {
		holder := m.static[req.InstanceID]
		switch {
		case holder != nil && req.MemberID != "" && holder.id != req.MemberID:
			return nil, false, ErrFencedInstance
		case holder != nil && req.MemberID != "":
			return holder, false, nil
		case holder != nil:
			m.rename(holder, newID)
			return holder, false, nil
		case req.MemberID != "":
			return nil, false, ErrUnknownMember
		}
	}
	if mb = m.members[req.MemberID]; mb != nil {
		return mb, false, nil
	}
	// A member id that was given out by ErrMemberIDRequired is not remembered, as in Kafka: any is taken.
	mb = &consumerMember{id: req.MemberID, instance: req.InstanceID}
	if mb.id == "" {
		mb.id = newID
	}
	m.insert(mb)
	return mb, true, nil
}

func (m *consumerMachine) updateClassic(mb *consumerMember, req JoinRequest, s consumerSubscription) (resubscribed bool) {
	m.bytes -= mb.bytes()
	setIf(m, &mb.clientID, &req.ClientID)
	setIf(m, &mb.clientHost, &req.ClientHost)
	setIf(m, &mb.rack, &s.rack)
	setIf(m, &mb.assignor, new(string))
	setIf(m, &mb.rebalance, &req.RebalanceTimeout)
	resubscribed = setIf(m, &mb.regex, new(string))
	resubscribed = m.subscribe(mb, s.topics) || resubscribed
	side := &classicSide{session: req.SessionTimeout, protocols: req.Protocols, version: s.version}
	if old := mb.classic; old == nil || old.session != side.session || !sameProtocols(old.protocols, side.protocols) {
		mb.classic, m.changed = side, true
	}
	m.bytes += mb.bytes()
	return resubscribed
}

// sync is the event of a SyncGroup request.
func (m *consumerMachine) sync(now time.Time, call callID, req SyncRequest) {
	resp, err := m.syncClassic(now, req)
	m.finish(reply{call: call, sync: resp, err: err})
}

func (m *consumerMachine) syncClassic(now time.Time, req SyncRequest) (SyncResponse, error) {
	mb, err := m.validateClassic(req.MemberID, req.InstanceID, req.Generation)
	if err != nil {
		return SyncResponse{}, err
	}
	protocol := mb.classic.protocols[0].Name
	switch {
	case req.ProtocolType != "" && req.ProtocolType != consumerType, req.Protocol != "" && req.Protocol != protocol:
		return SyncResponse{}, ErrInconsistentProtocol
	case m.epoch > int32(mb.epoch) && mb.state != memberUnrevoked:
		m.callToJoin(now, mb)
		return SyncResponse{}, ErrRebalanceInProgress
	}
	mb.syncBy = time.Time{}
	m.touchClassic(now, mb)
	if mb.state == memberUnrevoked {
		m.callToJoin(now, mb) // it is to come back without what it revoked
	}
	return SyncResponse{
		ProtocolType: consumerType, Protocol: protocol,
		Assignment: encodeAssignment(mb.classic.version, m.topics.byTopic(mb.assigned)),
	}, nil
}

// heartbeat is the event of a Heartbeat request.
func (m *consumerMachine) heartbeat(now time.Time, req HeartbeatRequest) error {
	mb, err := m.validateClassic(req.MemberID, req.InstanceID, req.Generation)
	if err != nil {
		return err
	}
	m.touchClassic(now, mb)
	if m.epoch > int32(mb.epoch) || mb.state == memberUnrevoked || mb.state == memberUnreleased && !m.waitsForOthers(mb) {
		m.callToJoin(now, mb)
		return ErrRebalanceInProgress
	}
	return nil
}

// leave is the event of a LeaveGroup request. It also removes members that use the consumer protocol, as in Kafka; an administrator
// names static members by their instance id alone.
func (m *consumerMachine) leave(_ time.Time, members []LeaveMember) []error {
	outcomes := make([]error, len(members))
	for i, l := range members {
		mb := m.members[l.MemberID]
		holder := m.static[l.InstanceID]
		switch {
		case m.dead:
			outcomes[i] = ErrCoordinatorUnavailable
		case l.MemberID == "" && holder != nil:
			m.remove(holder)
		case l.InstanceID != "" && holder != nil && holder != mb:
			outcomes[i] = ErrFencedInstance
		case mb == nil, l.InstanceID != "" && holder == nil:
			outcomes[i] = ErrUnknownMember
		default:
			m.remove(mb)
		}
	}
	m.finish()
	return outcomes
}

// validateClassic finds the member that sent a request of the classic protocol.
func (m *consumerMachine) validateClassic(id, instance string, generation Generation) (*consumerMember, error) {
	if m.dead {
		return nil, ErrCoordinatorUnavailable
	}
	mb := m.members[id]
	if holder := m.static[instance]; instance != "" {
		if holder == nil {
			return nil, ErrUnknownMember
		}
		if holder != mb {
			return nil, ErrFencedInstance
		}
	}
	switch {
	case mb == nil, mb.classic == nil:
		return nil, ErrUnknownMember
	case generation != Generation(mb.epoch):
		return nil, ErrIllegalGeneration
	}
	return mb, nil
}

func (m *consumerMachine) touchClassic(now time.Time, mb *consumerMember) {
	mb.deadline = m.wakeBy(now.Add(mb.classic.session))
}

// callToJoin starts the time that a member has to join again, unless it runs already.
func (m *consumerMachine) callToJoin(now time.Time, mb *consumerMember) {
	if mb.joinBy.IsZero() {
		mb.joinBy = m.wakeBy(now.Add(mb.rebalance))
	}
}
