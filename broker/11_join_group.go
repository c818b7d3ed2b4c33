package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
)

// JoinGroup (11), versions 0 to 9: asks for membership in the next generation of a classic group, and waits until it is
// complete. v1 has a rebalance timeout, v4 (KIP-394) makes new members come back with the id they were given, v5 static
// members (KIP-345), v7 the protocol type (KIP-559), v8 a reason (KIP-800), v9 tells a returning static leader that
// there is nothing to assign (KIP-814). Only the leader is told the members.

func (b *Broker) joinGroup(ctx context.Context, c *wire.Conn, req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	join := group.JoinRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: deref(req.InstanceID),
		ClientID: c.ClientID(), ClientHost: "/" + c.ClientHost(), // as Java prints addresses
		SessionTimeout:       millis(req.SessionTimeoutMillis),
		ProtocolType:         req.ProtocolType,
		RequireKnownMemberID: req.Version >= 4,
		CanSkipAssignment:    req.Version >= 9,
	}
	if req.Version >= 1 {
		join.RebalanceTimeout = millis(req.RebalanceTimeoutMillis)
	}
	for _, p := range req.Protocols {
		join.Protocols = append(join.Protocols, group.Protocol{Name: p.Name, Metadata: p.Metadata})
	}
	var joined group.JoinResponse
	err := errGroupDenied
	if b.may(c, acl.Read, acl.Group, req.Group) {
		joined, err = b.Groups.Join(ctx, join)
	}
	resp := respond[*kmsg.JoinGroupResponse](req)
	resp.ErrorCode = groupCode(err)
	resp.Generation = int32(group.NoGeneration)
	resp.MemberID = joined.MemberID
	if req.Version < 7 {
		resp.Protocol = new(string)
	}
	if err != nil {
		return resp
	}
	resp.Generation = int32(joined.Generation)
	resp.ProtocolType, resp.Protocol = &joined.ProtocolType, &joined.Protocol
	resp.LeaderID, resp.SkipAssignment = joined.LeaderID, joined.SkipAssignment
	for _, m := range joined.Members {
		member := kmsg.NewJoinGroupResponseMember()
		member.MemberID, member.InstanceID, member.ProtocolMetadata = m.MemberID, orNil(m.InstanceID), m.Metadata
		resp.Members = append(resp.Members, member)
	}
	return resp
}
