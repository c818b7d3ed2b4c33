package group

import (
	"errors"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// consumerCommit tells whether the sender of an OffsetCommit may commit.
func (m *consumerMachine) commit(_ time.Time, req CommitRequest) error {
	if m.dead {
		return ErrCoordinatorUnavailable
	}
	if req.Generation < 0 && len(m.members) == 0 {
		return nil // a client outside of group management, or an administrator
	}
	mb := m.members[req.MemberID]
	switch {
	case mb == nil:
		return ErrUnknownMember
	case mb.classic == nil && !req.MemberEpochs:
		return ErrUnsupportedVersion
	}
	return checkCommitter(mb, MemberEpoch(req.Generation))
}

// earlierEpoch refuses a commit but for partitions that the member has had since the epoch that it names (KIP-1251): it has not
// heard of its present one.
type earlierEpoch struct {
	error
	except func(metastore.TopicPartition) bool
}

// Unwrap makes it what it refuses with.
func (e *earlierEpoch) Unwrap() error { return e.error }

// checkCommitter is checkReader for commits. Of earlier epochs the last is remembered, until another coordinator takes over:
// members that are further behind, or lose their coordinator, are told and commit again.
func checkCommitter(mb *consumerMember, epoch MemberEpoch) error {
	err := checkReader(mb, epoch)
	if err == nil || epoch != mb.previous || len(mb.kept) == 0 {
		return err
	}
	had := mb.kept
	return &earlierEpoch{err, func(p metastore.TopicPartition) bool {
		one := partitions{p}
		return one.in(had) && one.in(mb.owns())
	}}
}

// permit leaves of a commit that is refused what may be committed all the same, under outcomes for the rest.
func permit(refused error, asked []CommitOffset, offsets []metastore.CommittedOffset, outcomes []error) ([]metastore.CommittedOffset, error) {
	earlier, ok := errors.AsType[*earlierEpoch](refused)
	if !ok {
		return offsets, refused
	}
	for i, o := range asked {
		if outcomes[i] == nil && !earlier.except(o.TopicPartition) {
			outcomes[i] = earlier.error
		}
	}
	return slices.DeleteFunc(offsets, func(o metastore.CommittedOffset) bool { return !earlier.except(o.TopicPartition) }), nil
}

// checkFetch tells whether the sender of an OffsetFetch may know. Administrators and clients that do not say who they are may.
func (m *consumerMachine) checkFetch(id *string, epoch MemberEpoch) error {
	if id == nil && epoch < 0 {
		return nil
	}
	mb := m.members[deref(id)]
	if mb == nil {
		return ErrUnknownMember
	}
	return checkReader(mb, epoch)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// checkReader refuses a member whose epoch is not its present one: what it believes to own may be another's.
func checkReader(mb *consumerMember, epoch MemberEpoch) error {
	switch {
	case epoch == mb.epoch:
		return nil
	case mb.classic != nil:
		return ErrIllegalGeneration
	}
	return ErrStaleMemberEpoch
}

// wakeBy makes sure that tick is called at t, and returns t.
func (m *consumerMachine) wakeBy(t time.Time) time.Time {
	if m.due.IsZero() || t.Before(m.due) {
		m.due = t
	}
	return t
}

// tick is the event that time passed. It removes members that were silent for a session, that did not give partitions up in
// time, or that use the classic protocol and did not join or sync when they had to.
func (m *consumerMachine) tick(now time.Time) {
	if !passed(m.due, now) {
		return
	}
	for _, mb := range slices.Clone(m.order) {
		if passed(mb.deadline, now) || passed(mb.revokeBy, now) || passed(mb.joinBy, now) || passed(mb.syncBy, now) {
			m.remove(mb)
		}
	}
	m.due = time.Time{}
	for _, mb := range m.order {
		for _, t := range []time.Time{mb.deadline, mb.revokeBy, mb.joinBy, mb.syncBy} {
			if !t.IsZero() {
				m.wakeBy(t)
			}
		}
	}
	m.finish()
}
