package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// DeleteGroups (42), versions 0 to 3 (KIP-229): removes groups without members, and their offsets, each for itself. v3
// has texts for errors. A group is also refused while an ongoing transaction holds offsets of it (NON_EMPTY_GROUP).

func (b *Broker) deleteGroups(ctx context.Context, c *wire.Conn, req *kmsg.DeleteGroupsRequest) *kmsg.DeleteGroupsResponse {
	ctx, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	resp := respond[*kmsg.DeleteGroupsResponse](req)
	answered := make(map[string]bool)
	for _, id := range req.Groups {
		if answered[id] {
			continue
		}
		answered[id] = true
		err := errGroupDenied
		if b.may(c, acl.Delete, acl.Group, id) {
			err = b.Groups.Delete(ctx, id)
		}
		if err == nil {
			b.changed(c, "DeleteGroups", groupResource(id), nil, nil)
		}
		b.mayHaveChanged(c, "DeleteGroups", groupResource(id), err)
		answer := kmsg.NewDeleteGroupsResponseGroup()
		answer.Group = id
		_, answer.ErrorMessage = failure(err)
		answer.ErrorCode = groupCode(err)
		resp.Groups = append(resp.Groups, answer)
	}
	return resp
}
