package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
)

// Heartbeat (12), versions 0 to 4: keeps a member's session alive and tells it to join again during a rebalance. v3 has
// static members (KIP-345).

func (b *Broker) heartbeat(ctx context.Context, c *wire.Conn, req *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	resp := respond[*kmsg.HeartbeatResponse](req)
	if !b.may(c, acl.Read, acl.Group, req.Group) {
		resp.ErrorCode = code(errGroupDenied)
		return resp
	}
	resp.ErrorCode = groupCode(b.Groups.Heartbeat(ctx, group.HeartbeatRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: deref(req.InstanceID), Generation: group.Generation(req.Generation),
	}))
	return resp
}
