package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
)

// DescribeGroups (15), versions 0 to 6: the state and the members of groups that this broker coordinates. v4 has static
// members (KIP-345). A group that does not exist is Dead, without an error before v6 and with GROUP_ID_NOT_FOUND from
// then on (KIP-1043). A group that is
// named twice is answered once.

func (b *Broker) describeGroups(ctx context.Context, c *wire.Conn, req *kmsg.DescribeGroupsRequest) *kmsg.DescribeGroupsResponse {
	ctx, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	resp := respond[*kmsg.DescribeGroupsResponse](req)
	for _, id := range once(req.Groups, func(id string) string { return id }) {
		answer := kmsg.NewDescribeGroupsResponseGroup()
		answer.Group = id
		if !b.may(c, acl.Describe, acl.Group, id) {
			answer.ErrorCode = code(errGroupDenied)
			resp.Groups = append(resp.Groups, answer)
			continue
		}
		described, err := b.Groups.Describe(ctx, id)
		if req.IncludeAuthorizedOperations && (err == nil || errors.Is(err, group.ErrGroupNotFound) && req.Version < 6) {
			answer.AuthorizedOperations = b.operations(c, acl.Group, id)
		}
		if err != nil {
			answer.State = group.Dead.String()
			if !errors.Is(err, group.ErrGroupNotFound) {
				answer.ErrorCode, answer.State = groupCode(err), ""
			} else if req.Version >= 6 {
				answer.ErrorCode, answer.ErrorMessage = failure(err)
			}
			resp.Groups = append(resp.Groups, answer)
			continue
		}
		answer.State, answer.ProtocolType, answer.Protocol = described.State.String(), described.ProtocolType, described.Protocol
		for _, m := range described.Members {
			member := kmsg.NewDescribeGroupsResponseGroupMember()
			member.MemberID, member.InstanceID = m.MemberID, orNil(m.InstanceID)
			member.ClientID, member.ClientHost = m.ClientID, m.ClientHost
			member.ProtocolMetadata, member.MemberAssignment = m.Metadata, m.Assignment
			answer.Members = append(answer.Members, member)
		}
		resp.Groups = append(resp.Groups, answer)
	}
	return resp
}
