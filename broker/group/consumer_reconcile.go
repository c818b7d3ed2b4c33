package group

import (
	"slices"
	"time"

	"github.com/runnel-io/runnel/broker/group/assignor"
	"github.com/runnel-io/runnel/metastore"
)

// assign computes the target for the group's epoch, if there is none yet, and the last was not computed a moment ago: many members
// that come at the same time cost one or two assignments, not one each.
func (m *consumerMachine) assign(now time.Time) {
	if m.assignmentEpoch == m.epoch || now.Before(m.assignAfter) {
		return
	}
	m.assignAfter = now.Add(m.times.AssignmentInterval)
	existing := make(map[metastore.TopicID]int32)
	members := make([]assignor.Member, len(m.order))
	topics := m.subscribedTopics()
	for i, mb := range m.order {
		members[i] = assignor.Member{ID: mb.id, Instance: mb.instance, Topics: topics(mb), Owned: mb.target}
		for _, t := range members[i].Topics {
			existing[t] = m.topics.byID[t].Partitions
		}
	}
	m.assignedBy = m.preferredAssignor()
	spread, ok := assignor.ByName(m.assignedBy)
	if !ok {
		spread = assignor.Uniform
	}
	for i, target := range spread(members, existing) {
		m.order[i].target = target
	}
	m.assignmentEpoch = m.epoch
	m.metadata = m.digest()
	m.changed = true
}

// preferredAssignor is the one that most members ask for; of several, that with the name that sorts first.
func (m *consumerMachine) preferredAssignor() string {
	votes := make(map[string]int)
	for _, mb := range m.order {
		if slices.Contains(m.limits.assignors, mb.assignor) {
			votes[mb.assignor]++
		}
	}
	best, most := m.limits.defaultAssignor(), 0
	for name, n := range votes {
		if n > most || n == most && name < best {
			best, most = name, n
		}
	}
	return best
}

// given is what a member says that it owns; nil if it does not say.
type given *partitions

// ownedOf reads a request: nil is unchanged, which tells nothing.
func ownedOf(owned []metastore.TopicPartition) given {
	if owned == nil {
		return nil
	}
	set := partitionsOf(owned)
	return &set
}

// mayOwn tells whether the member may still own some of the set.
func mayOwn(owned given, set partitions) bool { return owned == nil || set.meets(*owned) }

// reconcile leads the member towards its target as far as it can go now.
func (m *consumerMachine) reconcile(now time.Time, mb *consumerMember, owned given) {
	switch {
	case mb.state == memberStable && mb.epoch == MemberEpoch(m.assignmentEpoch):
		return
	case mb.state == memberUnrevoked && mayOwn(owned, mb.revoking):
		return
	}
	was := *mb
	m.release(mb, mb.revoking)
	mb.revoking, mb.revokeBy = nil, time.Time{}
	keep, revoke := mb.assigned.split(mb.target)
	if len(revoke) > 0 && mayOwn(owned, revoke) {
		mb.state, mb.assigned, mb.revoking = memberUnrevoked, keep, revoke
		mb.revokeBy = m.wakeBy(now.Add(mb.rebalance))
		m.changed = true
		return
	}
	m.release(mb, revoke)
	m.take(mb, keep)
	if mb.state != was.state || mb.epoch != was.epoch || !mb.assigned.equal(was.assigned) || len(was.revoking) > 0 {
		m.changed = true
	}
}

// take gives the member what is free of its target, beside what it keeps.
func (m *consumerMachine) take(mb *consumerMember, keep partitions) {
	_, wanted := mb.target.split(keep)
	var free partitions
	for _, p := range wanted {
		if m.owners[p] == nil {
			m.owners[p] = mb
			free = append(free, p)
		}
	}
	mb.assigned = keep.with(free)
	mb.state = memberStable
	if len(free) < len(wanted) {
		mb.state = memberUnreleased
	}
	if target := MemberEpoch(m.assignmentEpoch); mb.epoch != target {
		mb.previous, mb.epoch, mb.kept = mb.epoch, target, keep
	}
}

// waitsForOthers tells whether all that the member lacks still belongs to others.
func (m *consumerMachine) waitsForOthers(mb *consumerMember) bool {
	_, wanted := mb.target.split(mb.assigned)
	return !slices.ContainsFunc(wanted, func(p metastore.TopicPartition) bool { return m.owners[p] == nil })
}
