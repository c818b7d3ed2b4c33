package group

import (
	"slices"
	"time"
)

// heartbeat is the event of a Heartbeat request.
func (m *machine) heartbeat(now time.Time, req HeartbeatRequest) error {
	if m.state == Dead {
		return ErrCoordinatorUnavailable
	}
	if err := m.validateMember(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	if req.Generation != m.generation {
		return ErrIllegalGeneration
	}
	m.touch(now, m.members[req.MemberID])
	if m.state == PreparingRebalance {
		return ErrRebalanceInProgress
	}
	return nil
}

// leave is the event of a LeaveGroup request. It returns the outcome for each member asked for.
func (m *machine) leave(now time.Time, members []LeaveMember) []error {
	outcomes := make([]error, len(members))
	removed := false
	for i, l := range members {
		if m.state == Dead {
			outcomes[i] = ErrCoordinatorUnavailable
			continue
		}
		if m.awaited(l.MemberID) {
			continue
		}
		if l.MemberID == "" {
			l.MemberID = m.static[l.InstanceID]
		}
		if outcomes[i] = m.validateMember(l.MemberID, l.InstanceID); outcomes[i] == nil {
			m.remove(m.members[l.MemberID])
			removed = true
		}
	}
	if removed {
		m.rebalance(now)
	} else {
		m.maybeCompleteJoin(now)
	}
	return outcomes
}

// commit is the event of an OffsetCommit request. It tells whether the sender may commit.
func (m *machine) commit(now time.Time, req CommitRequest) error {
	switch {
	case m.state == Dead:
		return ErrCoordinatorUnavailable
	case req.Generation < 0 && m.state == Empty:
		return nil // a client outside of group management, or an administrator
	case req.Generation < 0 && req.MemberID == "" && req.InstanceID == "":
		return ErrUnknownMember
	}
	if err := m.validateMember(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	switch {
	case req.Generation != m.generation:
		return ErrIllegalGeneration
	case m.state == CompletingRebalance:
		return ErrRebalanceInProgress // the member knows the generation, but cannot own anything in it yet
	}
	m.touch(now, m.members[req.MemberID])
	return nil
}

// touch starts the member's session anew. A member in its first Join has no session yet.
func (m *machine) touch(now time.Time, mb *member) {
	if !mb.fresh {
		mb.deadline = m.wakeBy(now.Add(mb.session))
	}
}

// wakeBy makes sure that tick is called at t, and returns t.
func (m *machine) wakeBy(t time.Time) time.Time {
	if m.due.IsZero() || t.Before(m.due) {
		m.due = t
	}
	return t
}

// deadline tells when tick has to be called next: not after anything that can expire. False if there is nothing.
func (m *machine) deadline() (time.Time, bool) { return m.due, !m.due.IsZero() }

// tick is the event that time passed.
//
// Heartbeats only move deadlines into the future, so they leave due where it is; it is found anew when it is reached.
// A heartbeat thus costs the same in a group of any size.
func (m *machine) tick(now time.Time) {
	if !passed(m.due, now) {
		return
	}
	for id, until := range m.pending {
		if passed(until, now) {
			m.awaited(id)
		}
	}
	m.expireSessions(now)
	m.maybeCompleteJoin(now)
	if passed(m.syncDeadline, now) {
		m.syncDeadlinePassed(now)
	}
	if passed(m.joinDeadline, now) {
		m.joinDeadlinePassed(now)
	}
	m.due = m.earliest()
}

// expireSessions removes members whose session ended. Those that wait for an answer are alive as far as anybody can
// tell: their clients send nothing until they get it. Their session starts anew with the answer.
func (m *machine) expireSessions(now time.Time) {
	for _, mb := range slices.Clone(m.order) {
		switch {
		case m.members[mb.id] != mb || !passed(mb.deadline, now):
		case !mb.fresh && (mb.joinCall != 0 || mb.syncCall != 0):
			mb.deadline = time.Time{}
		default:
			m.remove(mb)
			m.rebalance(now)
		}
	}
}

func (m *machine) earliest() time.Time {
	var first time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for _, mb := range m.order {
		consider(mb.deadline)
	}
	for _, until := range m.pending {
		consider(until)
	}
	consider(m.joinDeadline)
	consider(m.syncDeadline)
	return first
}

// passed tells whether a deadline that is set has been reached.
func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }
