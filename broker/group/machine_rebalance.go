package group

import (
	"math"
	"time"
)

// rebalance starts a rebalance, or goes on with the one being prepared.
func (m *machine) rebalance(now time.Time) {
	if m.state == PreparingRebalance {
		m.maybeCompleteJoin(now)
		return
	}
	m.prepareRebalance(now)
}

// prepareRebalance calls all members to join.
func (m *machine) prepareRebalance(now time.Time) {
	if m.state == CompletingRebalance {
		for _, mb := range m.order {
			mb.assignment = nil
			if mb.syncCall != 0 {
				m.touch(now, mb)
				m.answerSync(mb, SyncResponse{}, ErrRebalanceInProgress)
			}
		}
	}
	m.assigning = false
	m.syncDeadline = time.Time{}
	m.transition(PreparingRebalance)
	if m.previous != Empty {
		m.joinDeadline = m.wakeBy(now.Add(m.rebalanceTimeout()))
		m.maybeCompleteJoin(now)
		return
	}
	// An empty group waits for more members, which usually start at the same time.
	if m.limits.initialDelay <= 0 {
		m.completeJoin(now)
		return
	}
	m.grew = false
	m.joinDeadline = m.wakeBy(now.Add(m.limits.initialDelay))
	m.joinRemaining = max(m.rebalanceTimeout()-m.limits.initialDelay, 0)
}

// maybeCompleteJoin completes the generation if nobody is missing. The initial delay is always waited for.
func (m *machine) maybeCompleteJoin(now time.Time) {
	if m.state == PreparingRebalance && m.previous != Empty && m.joining == len(m.members) && len(m.pending) == 0 {
		m.completeJoin(now)
	}
}

// joinDeadlinePassed extends the initial delay while members keep coming, and otherwise goes on with those who joined.
func (m *machine) joinDeadlinePassed(now time.Time) {
	m.joinDeadline = time.Time{}
	if m.state != PreparingRebalance {
		return
	}
	if m.previous == Empty && m.grew && m.joinRemaining > 0 {
		more := min(m.limits.initialDelay, m.joinRemaining)
		m.grew = false
		m.joinRemaining -= more
		m.joinDeadline = m.wakeBy(now.Add(more))
		return
	}
	m.completeJoin(now)
}

// completeJoin begins the next generation with the members that joined. Static members that did not keep their place
// until their session ends.
func (m *machine) completeJoin(now time.Time) {
	m.joinDeadline = time.Time{}
	for _, mb := range append([]*member(nil), m.order...) {
		if mb.joinCall == 0 && mb.instance == "" {
			m.remove(mb)
		}
	}
	if len(m.order) == 0 {
		m.nextGeneration()
		m.protocol, m.leader, m.emptySince = "", "", now
		m.transition(Empty)
		m.persist(m.record(nil), write{})
		return
	}
	if !m.electLeader() {
		// Only absent static members are left: nobody could compute an assignment.
		m.joinDeadline = m.wakeBy(now.Add(m.rebalanceTimeout()))
		return
	}
	m.nextGeneration()
	m.protocol = m.selectProtocol()
	m.transition(CompletingRebalance)
	m.assigning = false
	for _, mb := range m.order {
		mb.fresh, mb.owesSync, mb.assignment = false, true, nil
		m.touch(now, mb)
		m.answerJoin(mb, m.joinResponse(mb), nil)
	}
	m.owing = len(m.order)
	m.syncDeadline = m.wakeBy(now.Add(m.rebalanceTimeout()))
}

// nextGeneration counts on. After the last number it begins anew: negative ones are those of clients that are not members.
func (m *machine) nextGeneration() {
	if m.generation == math.MaxInt32 {
		m.generation = 0
	}
	m.generation++
}

// electLeader makes sure that the leader is one that joined; false if nobody did.
func (m *machine) electLeader() bool {
	if mb := m.members[m.leader]; mb != nil && mb.joinCall != 0 {
		return true
	}
	for _, mb := range m.order {
		if mb.joinCall != 0 {
			m.leader = mb.id
			return true
		}
	}
	return false
}

// selectProtocol holds the vote: each member is for its first choice among those that all support. The earlier first
// vote breaks ties.
func (m *machine) selectProtocol() string {
	var best string
	var ballot []string
	votes := make(map[string]int)
	for _, mb := range m.order {
		for _, p := range mb.protocols {
			if m.supporters[p.Name] == len(m.members) {
				if votes[p.Name]++; votes[p.Name] == 1 {
					ballot = append(ballot, p.Name)
				}
				break
			}
		}
	}
	for _, name := range ballot {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// sync is the event of a SyncGroup request, to be answered under call.
func (m *machine) sync(now time.Time, call callID, req SyncRequest) {
	if err := m.validateSync(req); err != nil {
		m.effects = append(m.effects, reply{call: call, err: err})
		return
	}
	mb := m.members[req.MemberID]
	m.paySync(mb)
	if m.state == Stable {
		m.touch(now, mb)
		m.effects = append(m.effects, reply{call: call, sync: m.syncResponse(mb)})
		return
	}
	m.answerSync(mb, SyncResponse{}, ErrRebalanceInProgress)
	mb.syncCall = call
	if mb.id != m.leader || m.assigning {
		return
	}
	m.assigning = true
	assignments := make(map[string][]byte, len(m.order))
	for _, other := range m.order {
		assignments[other.id] = req.Assignments[other.id] // those that the leader left out get an empty one
	}
	m.persist(m.record(assignments), write{assignments: assignments})
}

func (m *machine) validateSync(req SyncRequest) error {
	if m.state == Dead {
		return ErrCoordinatorUnavailable
	}
	if err := m.validateMember(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	switch {
	case req.Generation != m.generation:
		return ErrIllegalGeneration
	case req.ProtocolType != "" && req.ProtocolType != m.protocolType, req.Protocol != "" && req.Protocol != m.protocol:
		return ErrInconsistentProtocol
	case m.state == PreparingRebalance:
		return ErrRebalanceInProgress
	}
	return nil
}

// assigned hands out assignments that are durable, unless a rebalance overtook them.
func (m *machine) assigned(now time.Time, w write) {
	if m.state != CompletingRebalance || m.generation != w.generation {
		return
	}
	m.assigning = false
	m.transition(Stable)
	for _, mb := range m.order {
		mb.assignment = w.assignments[mb.id]
		if mb.syncCall != 0 {
			m.touch(now, mb)
			m.answerSync(mb, m.syncResponse(mb), nil)
		}
	}
}

func (m *machine) syncResponse(mb *member) SyncResponse {
	return SyncResponse{ProtocolType: m.protocolType, Protocol: m.protocol, Assignment: mb.assignment}
}

// paySync notes that the member synced. The deadline goes with the last that owes.
func (m *machine) paySync(mb *member) {
	if !mb.owesSync {
		return
	}
	mb.owesSync = false
	if m.owing--; m.owing == 0 {
		m.syncDeadline = time.Time{}
	}
}

// syncDeadlinePassed removes the members that joined but did not sync within the rebalance timeout.
func (m *machine) syncDeadlinePassed(now time.Time) {
	m.syncDeadline = time.Time{}
	if m.state != CompletingRebalance && m.state != Stable {
		return
	}
	removed := false
	for _, mb := range append([]*member(nil), m.order...) {
		if mb.owesSync {
			m.remove(mb)
			removed = true
		}
	}
	if removed {
		m.prepareRebalance(now)
	}
}
