package group

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/metastore"
)

// ConsumerHeartbeat takes a heartbeat of a member of a consumer group, and returns when what it changed is durable, after
// Options.HeartbeatTimeout at the latest. A group of clients that use the classic protocol becomes a consumer group by the first
// that does not.
func (c *Coordinator) ConsumerHeartbeat(ctx context.Context, req ConsumerHeartbeatRequest) (ConsumerHeartbeatResponse, error) {
	if req.GroupID == "" || !validGroupID(req.GroupID) {
		return ConsumerHeartbeatResponse{}, ErrInvalidGroupID
	}
	if req.Owned != nil { // sorted here and not under the group's lock: there may be very many
		req.Owned = append([]metastore.TopicPartition{}, partitionsOf(req.Owned)...)
	}
	newID := ""
	if req.MemberID == "" {
		newID = uuid.NewString()
	}
	g, asked, err := c.ask(ctx, req.GroupID, req.Epoch == JoinEpoch, func(call callID, g *loaded) {
		if refused := c.consumerHeartbeatOn(g, call, req, newID); refused != nil {
			g.answer(reply{call: call, err: refused})
		}
	})
	if err != nil {
		return ConsumerHeartbeatResponse{}, err
	}
	if !asked.answered { // few wait, and a timer for each would cost more than what most are
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.opts.HeartbeatTimeout)
		defer cancel()
	}
	r, err := g.await(ctx, asked)
	return r.consumer, err
}

// CheckFetch tells whether a member that says who it is may fetch offsets. ErrUnknownMember, ErrStaleMemberEpoch. A group that
// does not exist has no offsets, and nobody to be checked.
func (c *Coordinator) CheckFetch(ctx context.Context, groupID string, memberID *string, epoch MemberEpoch) error {
	if memberID == nil && epoch < 0 {
		return nil
	}
	var refused error
	_, err := c.with(ctx, groupID, false, func(g *loaded) { refused = g.machine.checkFetch(memberID, epoch) })
	if errors.Is(err, ErrGroupNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return refused
}
