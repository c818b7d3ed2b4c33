package group

import (
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// consumerHeartbeat is the event of a ConsumerGroupHeartbeat request, to be answered under call. newID is the member id for
// who comes without one. It tells whether the request was refused, and changed nothing.
func (m *consumerMachine) consumerHeartbeat(now time.Time, call callID, req ConsumerHeartbeatRequest, newID string) (refused bool) {
	if req.MemberID == "" {
		req.MemberID = newID
	}
	resp, err := m.beat(now, req)
	m.finish(reply{call: call, consumer: resp, err: err})
	return err != nil
}

// beat leads the member on. On an error nothing has changed.
func (m *consumerMachine) beat(now time.Time, req ConsumerHeartbeatRequest) (ConsumerHeartbeatResponse, error) {
	if m.dead {
		return ConsumerHeartbeatResponse{}, ErrCoordinatorUnavailable
	}
	if req.Epoch < 0 {
		return m.leaveConsumer(req)
	}
	if err := m.admit(req); err != nil {
		return ConsumerHeartbeatResponse{}, err
	}
	mb, err := m.sender(req)
	if err != nil {
		return ConsumerHeartbeatResponse{}, err
	}
	if n := m.bytesWith(mb, req); n > m.bytes && n > maxGroupBytes {
		return ConsumerHeartbeatResponse{}, ErrGroupMaxSize
	}
	// The member may have missed an answer, or have begun anew: then it does not know what it has.
	forgetful := mb == nil || req.Epoch != mb.epoch || fullRequest(req)
	joined := mb == nil
	switch {
	case joined:
		mb = &consumerMember{id: req.MemberID, instance: req.InstanceID}
		m.insert(mb)
	case mb.id != req.MemberID, mb.epoch == LeaveStaticEpoch:
		m.rename(mb, req.MemberID)
	}
	before := mb.assigned
	resubscribed := m.update(mb, req) || joined
	m.see(mb, req.Sight)
	unresolved := mb.regex != "" && m.regexes[mb.regexKey()] == nil
	if m.lookAtTopics(now, resubscribed || unresolved) || resubscribed {
		m.epoch++
	}
	m.assign(now)
	if req.Epoch == JoinEpoch {
		req.Owned = []metastore.TopicPartition{} // or it would not join
	}
	m.reconcile(now, mb, ownedOf(req.Owned))
	mb.deadline = m.wakeBy(now.Add(m.times.SessionTimeout))

	resp := ConsumerHeartbeatResponse{MemberID: mb.id, Epoch: mb.epoch, Interval: m.times.HeartbeatInterval}
	if forgetful || !before.equal(mb.assigned) {
		resp.Assignment = append([]metastore.TopicPartition{}, mb.assigned...)
	}
	return resp, nil
}

// fullRequest tells whether the member sent everything, as clients do who do not know what we know.
func fullRequest(req ConsumerHeartbeatRequest) bool {
	return req.RebalanceTimeout >= 0 && (req.TopicNames != nil || req.TopicRegex != nil) && req.Owned != nil
}

// admit refuses what has nothing to do with who sends it.
func (m *consumerMachine) admit(req ConsumerHeartbeatRequest) error {
	if m.full(req.MemberID) {
		return ErrGroupMaxSize
	}
	if req.Assignor != nil && !slices.Contains(m.limits.assignors, *req.Assignor) {
		return fmt.Errorf("%w: %q; there are %q", ErrUnsupportedAssignor, *req.Assignor, m.limits.assignors)
	}
	if req.TopicRegex == nil || *req.TopicRegex == "" || m.regexes[regexKey{*req.TopicRegex, req.Sight.Who}] != nil {
		return nil
	}
	_, err := CompileRegex(*req.TopicRegex)
	return err
}

func (m *consumerMachine) full(id string) bool {
	return m.limits.maxSize > 0 && len(m.members) >= m.limits.maxSize && m.members[id] == nil
}

// sender finds the member that sends a heartbeat, nil if it is new. A static member that is to be replaced has another
// member id, or has left for a while.
func (m *consumerMachine) sender(req ConsumerHeartbeatRequest) (*consumerMember, error) {
	mb := m.members[req.MemberID]
	if req.InstanceID == "" {
		if mb == nil && req.Epoch != JoinEpoch {
			return nil, ErrUnknownMember
		}
		return mb, checkEpoch(mb, req)
	}
	holder := m.static[req.InstanceID]
	switch {
	case req.Epoch != JoinEpoch && holder == nil:
		return nil, ErrUnknownMember
	case req.Epoch != JoinEpoch && holder.id != req.MemberID:
		return nil, ErrFencedInstance
	case req.Epoch != JoinEpoch:
		return holder, checkEpoch(holder, req)
	case mb != nil && mb != holder:
		return nil, ErrFencedInstance // a member id belongs to one instance for ever
	case holder == nil:
		return nil, nil
	case holder.epoch == LeaveStaticEpoch, holder.classic != nil:
		return holder, nil
	case holder.id == req.MemberID && checkEpoch(holder, req) == nil:
		return holder, nil // the answer to its join was lost
	}
	return nil, ErrUnreleasedInstance
}

// checkEpoch fences a member that does not know where it is. It may come with the epoch before its present one if the answer
// that told it the present one was lost, and nothing that it owns is anybody else's.
func checkEpoch(mb *consumerMember, req ConsumerHeartbeatRequest) error {
	if mb == nil || req.Epoch == mb.epoch {
		return nil
	}
	if req.Epoch < mb.epoch && req.Epoch == mb.previous && req.Owned != nil && partitionsOf(req.Owned).in(mb.assigned) {
		return nil
	}
	return ErrFencedMemberEpoch
}

// bytesWith is what the group would take with what the request says.
func (m *consumerMachine) bytesWith(mb *consumerMember, req ConsumerHeartbeatRequest) int {
	after := consumerMember{instance: req.InstanceID}
	n := m.bytes
	if mb != nil {
		after = *mb
		n -= mb.bytes()
	}
	after.id, after.clientID, after.classic = req.MemberID, req.ClientID, nil
	after.rack, after.regex, after.assignor = said(req.Rack, after.rack), said(req.TopicRegex, after.regex), said(req.Assignor, after.assignor)
	if req.TopicNames != nil {
		after.names = req.TopicNames
	}
	return n + after.bytes()
}

// said is what a request says, or what it was before.
func said(now *string, before string) string {
	if now == nil {
		return before
	}
	return *now
}

// update takes over what the request says, and tells whether the member subscribes to something else now.
func (m *consumerMachine) update(mb *consumerMember, req ConsumerHeartbeatRequest) (resubscribed bool) {
	m.bytes -= mb.bytes()
	setIf(m, &mb.clientID, &req.ClientID)
	setIf(m, &mb.clientHost, &req.ClientHost)
	setIf(m, &mb.rack, req.Rack)
	setIf(m, &mb.assignor, req.Assignor)
	if req.RebalanceTimeout >= 0 {
		setIf(m, &mb.rebalance, &req.RebalanceTimeout)
	}
	if req.TopicNames != nil {
		resubscribed = m.subscribe(mb, req.TopicNames)
	}
	resubscribed = setIf(m, &mb.regex, req.TopicRegex) || resubscribed
	if mb.classic != nil {
		mb.classic, mb.joinBy, mb.syncBy = nil, time.Time{}, time.Time{}
		m.changed = true
	}
	m.bytes += mb.bytes()
	return resubscribed
}

// subscribe sets the names that the member subscribes to, and tells whether they are others than before.
func (m *consumerMachine) subscribe(mb *consumerMember, names []string) bool {
	names = slices.Clone(names)
	slices.Sort(names)
	if names = slices.Compact(names); slices.Equal(names, mb.names) {
		return false
	}
	mb.names, m.changed = names, true
	return true
}

// setIf sets a field to a value that was sent, and tells whether it was another.
func setIf[T comparable](m *consumerMachine, field *T, value *T) bool {
	if value == nil || *field == *value {
		return false
	}
	*field, m.changed = *value, true
	return true
}

// leaveConsumer removes a member, or lets a static one keep its place until its session ends.
func (m *consumerMachine) leaveConsumer(req ConsumerHeartbeatRequest) (ConsumerHeartbeatResponse, error) {
	mb := m.members[req.MemberID]
	if req.InstanceID != "" {
		holder := m.static[req.InstanceID]
		if holder != nil && holder != mb {
			return ConsumerHeartbeatResponse{}, ErrFencedInstance
		}
		mb = holder
	}
	if mb == nil {
		return ConsumerHeartbeatResponse{}, ErrUnknownMember
	}
	if req.Epoch == LeaveStaticEpoch && mb.instance != "" {
		m.release(mb, mb.revoking)
		mb.epoch, mb.state, mb.revoking, mb.revokeBy = LeaveStaticEpoch, memberStable, nil, time.Time{}
		m.changed = true
	} else {
		m.remove(mb)
	}
	return ConsumerHeartbeatResponse{MemberID: req.MemberID, Epoch: req.Epoch}, nil
}
