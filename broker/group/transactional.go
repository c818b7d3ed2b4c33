package group

import (
	"context"
	"errors"

	"github.com/runnel-io/runnel/metastore"
)

// CommitInTransaction validates a commit that takes effect when its transaction is committed, and lets pend keep the
// offsets, under the claim of the epoch, except those whose metadata is too large: outcomes says which. pend returns
// metastore.ErrFenced if there is a newer claim; its other errors are returned as they are, and leave the claim alone, but
// for that of a context that ended: the outcome is in doubt then, as that of a write. A group id may not be empty here.
func (c *Coordinator) CommitInTransaction(ctx context.Context, req CommitRequest,
	pend func(ctx context.Context, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error) (outcomes []error, err error) {
	if req.GroupID == "" || !validGroupID(req.GroupID) {
		return nil, ErrInvalidGroupID
	}
	a, err := c.admit(ctx, req, true, func(m groupMachine) error { return m.commitInTransaction(req) })
	switch {
	case errors.Is(err, ErrGroupNotFound):
		return nil, ErrIllegalGeneration
	case err != nil:
		return nil, err
	}
	defer a.end()
	if a.write == nil {
		return a.outcomes, nil
	}
	// What was committed outside of the transaction before must not land after its end.
	if err := c.writeOffsets(ctx, a.group, a.write, "commit offsets"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.late, cancel)()
	err = pend(ctx, a.epoch, a.offsets)
	switch {
	case errors.Is(err, metastore.ErrFenced):
		c.opts.Logger.Info("group was taken over by another coordinator", "group", req.GroupID, "operation", "commit offsets in a transaction")
		c.drop(a.group, ErrNotCoordinator)
		return nil, ErrNotCoordinator
	case err != nil && ctx.Err() != nil: // it may happen later, when the partitions are another member's
		c.opts.Logger.Warn("commit in a transaction is in doubt, dropping the claim on the group", "group", req.GroupID, "error", err)
		c.drop(a.group, ErrCoordinatorUnavailable)
		return nil, ErrCoordinatorUnavailable
	case err != nil:
		return nil, err
	}
	return a.outcomes, nil
}

// commitInTransaction tells whether the member may commit. As in Kafka, a producer that does not say for which member
// it commits is believed, also in a group with members, and so is a member that waits for its assignment: old clients do
// either. The member's session goes on as it was.
func (m *machine) commitInTransaction(req CommitRequest) error {
	switch {
	case m.state == Dead:
		return ErrCoordinatorUnavailable
	case req.Generation < 0 && m.state == Empty:
		return nil
	case req.Generation < 0 && req.MemberID == "" && req.InstanceID == "":
		return nil
	}
	if err := m.validateMember(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	if req.Generation != m.generation {
		return ErrIllegalGeneration
	}
	return nil
}

// commitInTransaction is as that of classic groups. Producers know no epochs of members: a stale one is a wrong generation.
func (m *consumerMachine) commitInTransaction(req CommitRequest) error {
	switch {
	case m.dead:
		return ErrCoordinatorUnavailable
	case req.Generation < 0 && len(m.members) == 0:
		return nil
	case req.Generation < 0 && req.MemberID == "" && req.InstanceID == "":
		return nil
	}
	mb := m.members[req.MemberID]
	if mb == nil {
		return ErrUnknownMember
	}
	err := checkCommitter(mb, MemberEpoch(req.Generation))
	if earlier, ok := errors.AsType[*earlierEpoch](err); ok {
		return &earlierEpoch{ErrIllegalGeneration, earlier.except}
	}
	if err != nil {
		return ErrIllegalGeneration
	}
	return nil
}
