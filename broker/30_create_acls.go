package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// CreateAcls (30), versions 1 to 3 (KIP-290: patterns): access rules. Each is judged by itself, and those that can be made are
// made together; one that is there already is no error. They act on this broker before the answer, and on the others as
// soon as they hear of them.
//
// As in Kafka, hosts are not looked up, and an operation need not exist on the type of the resource. Codes that are not
// known, for which Kafka closes the connection, are INVALID_REQUEST, and so are hosts with blanks, which match nothing.

func (b *Broker) createACLs(ctx context.Context, c *wire.Conn, req *kmsg.CreateACLsRequest) *kmsg.CreateACLsResponse {
	resp := respond[*kmsg.CreateACLsResponse](req)
	refused := b.mayHandleRules(c, acl.Alter)
	if refused == nil && len(req.Creations) > mostInRequest {
		refused = errTooManyInOne
	}
	errs := make([]error, len(req.Creations))
	changes := make(ruleChanges)
	for i := range req.Creations {
		if errs[i] = refused; refused != nil {
			continue
		}
		rule := ruleOf(&req.Creations[i])
		if errs[i] = invalidRule(rule.Validate()); errs[i] == nil {
			resource, entry := rule.Pair()
			changes.of(resource).Set[entry] = ""
		}
	}
	failed := b.alterRules(ctx, c, "CreateAcls", changes)
	for _, err := range errs {
		if err == nil {
			err = failed
		}
		result := kmsg.NewCreateACLsResponseResult()
		if result.ErrorCode, result.ErrorMessage = failure(err); err == nil {
			result.ErrorMessage = new(string) // not null, as in Kafka
		}
		resp.Results = append(resp.Results, result)
	}
	return resp
}

func ruleOf(asked *kmsg.CreateACLsRequestCreation) acl.Rule {
	return acl.Rule{
		Type: acl.ResourceType(asked.ResourceType), Pattern: acl.Pattern(asked.ResourcePatternType), Name: asked.ResourceName,
		Principal: asked.Principal, Host: asked.Host, Operation: acl.Operation(asked.Operation), Permission: acl.Permission(asked.PermissionType),
	}
}
