package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
)

// LeaveGroup (13), versions 0 to 5: removes members at once. v3 (KIP-345) removes several, static ones by instance id
// alone, with an outcome for each; v5 has reasons (KIP-800).

func (b *Broker) leaveGroup(ctx context.Context, c *wire.Conn, req *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	ctx, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	leave := group.LeaveRequest{GroupID: req.Group}
	if req.Version < 3 {
		leave.Members = []group.LeaveMember{{MemberID: req.MemberID}}
	}
	for _, m := range req.Members {
		leave.Members = append(leave.Members, group.LeaveMember{MemberID: m.MemberID, InstanceID: deref(m.InstanceID)})
	}
	resp := respond[*kmsg.LeaveGroupResponse](req)
	if !b.may(c, acl.Read, acl.Group, req.Group) {
		resp.ErrorCode = code(errGroupDenied)
		return resp
	}
	outcomes, err := b.Groups.Leave(ctx, leave)
	resp.ErrorCode = groupCode(err)
	if err != nil {
		return resp
	}
	if req.Version < 3 {
		resp.ErrorCode = groupCode(outcomes[0])
		return resp
	}
	for i, m := range req.Members {
		member := kmsg.NewLeaveGroupResponseMember()
		member.MemberID, member.InstanceID, member.ErrorCode = m.MemberID, m.InstanceID, groupCode(outcomes[i])
		resp.Members = append(resp.Members, member)
	}
	return resp
}
