package broker

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// ListGroups (16), versions 0 to 5: the groups that this broker coordinates; clients ask every broker. v4 filters by
// state (KIP-518), v5 by type (KIP-848), whatever the case of the letters.

func (b *Broker) listGroups(ctx context.Context, c *wire.Conn, req *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	ctx, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	resp := respond[*kmsg.ListGroupsResponse](req)
	groups, err := b.Groups.List(ctx)
	resp.ErrorCode = groupCode(err)
	all := b.sees(c, acl.Describe, acl.Cluster, acl.ClusterName)
	for _, g := range groups {
		if !passes(req.StatesFilter, g.State.String()) || !passes(req.TypesFilter, g.Type.String()) {
			continue
		}
		if !all && !b.sees(c, acl.Describe, acl.Group, g.GroupID) {
			continue
		}
		listed := kmsg.NewListGroupsResponseGroup()
		listed.Group, listed.ProtocolType = g.GroupID, g.ProtocolType
		listed.GroupState, listed.GroupType = g.State.String(), g.Type.String()
		resp.Groups = append(resp.Groups, listed)
	}
	return resp
}

// passes tells whether a filter, which passes everything if it is empty, passes the word.
func passes(filter []string, word string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, word) })
}
