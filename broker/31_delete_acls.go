package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// DeleteAcls (31), versions 1 to 3 (KIP-290: patterns): deletes the access rules that filters pick, and tells which for each
// filter; one that several pick is told of by each. All go or none. They no longer act on this broker before the answer, and
// on the others as soon as these hear of it. Filters see what any broker answered before: a broker that cannot make sure of
// that refuses with REQUEST_TIMED_OUT.

// mostMatches bounds what an answer tells of.
const mostMatches = 1 << 18

var errMayBeBehind = refuse(kerr.RequestTimedOut, "the metastore cannot be reached: there may be rules that this broker does not know")

func (b *Broker) deleteACLs(ctx context.Context, c *wire.Conn, req *kmsg.DeleteACLsRequest) *kmsg.DeleteACLsResponse {
	resp := respond[*kmsg.DeleteACLsResponse](req)
	refused := b.mayHandleRules(c, acl.Alter)
	switch {
	case refused != nil:
	case len(req.Filters) > mostInRequest:
		refused = errTooManyInOne
	case !b.refreshed(ctx):
		refused = errMayBeBehind
	}
	var picked [][]acl.Rule
	errs := make([]error, len(req.Filters))
	if refused == nil {
		picked, refused = b.pick(ctx, req.Filters, errs)
	}
	if refused == nil {
		changes := make(ruleChanges)
		seen := make(map[acl.Rule]bool)
		for _, rules := range picked {
			for _, r := range rules {
				if resource, entry := r.Pair(); !seen[r] {
					seen[r] = true
					change := changes.of(resource)
					change.Unset = append(change.Unset, entry)
				}
			}
		}
		refused = b.alterRules(ctx, c, "DeleteAcls", changes)
	}
	for i, err := range errs {
		if err == nil {
			err = refused
		}
		result := kmsg.NewDeleteACLsResponseResult()
		result.ErrorCode, result.ErrorMessage = failure(err)
		if err == nil {
			for _, r := range picked[i] {
				result.MatchingACLs = append(result.MatchingACLs, deletedACL(r))
			}
		}
		resp.Results = append(resp.Results, result)
	}
	return resp
}

// pick returns the rules that each filter picks. Filters that cannot be understood get an error.
func (b *Broker) pick(ctx context.Context, filters []kmsg.DeleteACLsRequestFilter, errs []error) ([][]acl.Rule, error) {
	rules, matches := b.rules(), 0
	picked := make([][]acl.Rule, len(filters))
	for i, asked := range filters {
		filter := acl.Filter{
			Type: acl.ResourceType(asked.ResourceType), Pattern: acl.Pattern(asked.ResourcePatternType), Name: asked.ResourceName,
			Principal: asked.Principal, Host: asked.Host, Operation: acl.Operation(asked.Operation), Permission: acl.Permission(asked.PermissionType),
		}
		if errs[i] = invalidRule(filter.Validate()); errs[i] != nil {
			continue
		}
		if err := ctx.Err(); err != nil { // many filters on many rules take seconds
			return nil, err
		}
		for _, r := range rules {
			if filter.Picks(r) {
				picked[i] = append(picked[i], r)
			}
		}
		if matches += len(picked[i]); matches > mostMatches {
			return nil, errTooManyMatching
		}
	}
	return picked, nil
}

func deletedACL(r acl.Rule) kmsg.DeleteACLsResponseResultMatchingACL {
	rule := kmsg.NewDeleteACLsResponseResultMatchingACL()
	rule.ResourceType, rule.ResourcePatternType, rule.ResourceName = kmsg.ACLResourceType(r.Type), kmsg.ACLResourcePatternType(r.Pattern), r.Name
	rule.Principal, rule.Host = r.Principal, r.Host
	rule.Operation, rule.PermissionType = kmsg.ACLOperation(r.Operation), kmsg.ACLPermissionType(r.Permission)
	return rule
}
