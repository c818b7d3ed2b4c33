package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// DescribeAcls (29), versions 1 to 3 (KIP-290: patterns): the access rules that a filter picks, by resource. The answer holds
// what any broker answered before. Codes that are not known, for which Kafka closes the connection, are INVALID_REQUEST.

func (b *Broker) describeACLs(ctx context.Context, c *wire.Conn, req *kmsg.DescribeACLsRequest) *kmsg.DescribeACLsResponse {
	resp := respond[*kmsg.DescribeACLsResponse](req)
	resp.ErrorMessage = new(string) // not null, as in Kafka
	filter := acl.Filter{
		Type: acl.ResourceType(req.ResourceType), Pattern: acl.Pattern(req.ResourcePatternType), Name: req.ResourceName,
		Principal: req.Principal, Host: req.Host, Operation: acl.Operation(req.Operation), Permission: acl.Permission(req.PermissionType),
	}
	err := b.mayHandleRules(c, acl.Describe)
	if err == nil {
		err = invalidRule(filter.Validate())
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = failure(err)
		return resp
	}
	b.refreshed(ctx)
	var last acl.Rule
	for _, r := range b.rules() {
		if !filter.Picks(r) {
			continue
		}
		if n := len(resp.Resources); n == 0 || last.Type != r.Type || last.Pattern != r.Pattern || last.Name != r.Name {
			of := kmsg.NewDescribeACLsResponseResource()
			of.ResourceType, of.ResourcePatternType = kmsg.ACLResourceType(r.Type), kmsg.ACLResourcePatternType(r.Pattern)
			of.ResourceName = r.Name
			resp.Resources = append(resp.Resources, of)
		}
		rule := kmsg.NewDescribeACLsResponseResourceACL()
		rule.Principal, rule.Host = r.Principal, r.Host
		rule.Operation, rule.PermissionType = kmsg.ACLOperation(r.Operation), kmsg.ACLPermissionType(r.Permission)
		of := &resp.Resources[len(resp.Resources)-1]
		of.ACLs = append(of.ACLs, rule)
		last = r
	}
	return resp
}

// invalidRule is what a client is told of what package acl refuses.
func invalidRule(err error) error {
	if err == nil {
		return nil
	}
	return refuse(kerr.InvalidRequest, err.Error())
}
