package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
)

// SyncGroup (14), versions 0 to 5: the leader brings everybody's assignment, and every member waits for its own. v3 has
// static members (KIP-345), v5 names the protocol again, which must be that of the generation (KIP-559).

func (b *Broker) syncGroup(ctx context.Context, c *wire.Conn, req *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	resp := respond[*kmsg.SyncGroupResponse](req)
	resp.MemberAssignment = []byte{}
	if req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		resp.ErrorCode = kerr.InconsistentGroupProtocol.Code
		return resp
	}
	if !b.may(c, acl.Read, acl.Group, req.Group) {
		resp.ErrorCode = code(errGroupDenied)
		return resp
	}
	sync := group.SyncRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: deref(req.InstanceID), Generation: group.Generation(req.Generation),
		ProtocolType: deref(req.ProtocolType), Protocol: deref(req.Protocol),
		Assignments: make(map[string][]byte, len(req.GroupAssignment)),
	}
	for _, a := range req.GroupAssignment {
		sync.Assignments[a.MemberID] = a.MemberAssignment
	}
	synced, err := b.Groups.Sync(ctx, sync)
	if err != nil {
		resp.ErrorCode = groupCode(err)
		return resp
	}
	resp.ProtocolType, resp.Protocol = &synced.ProtocolType, &synced.Protocol
	if synced.Assignment != nil {
		resp.MemberAssignment = synced.Assignment
	}
	return resp
}
