package differential

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
)

// Without an authorizer, and with one.
var (
	aclScripts        = []script{{"acls-off", askAboutRules}}
	authorizedScripts = []script{{"acls", askAboutRules}, {"acls-effect", settleRules}}
)

func createACLs(rules ...acl.Rule) *kmsg.CreateACLsRequest {
	req := kmsg.NewPtrCreateACLsRequest()
	for _, r := range rules {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourcePatternType, c.ResourceName = kmsg.ACLResourceType(r.Type), kmsg.ACLResourcePatternType(r.Pattern), r.Name
		c.Principal, c.Host, c.Operation, c.PermissionType = r.Principal, r.Host, kmsg.ACLOperation(r.Operation), kmsg.ACLPermissionType(r.Permission)
		req.Creations = append(req.Creations, c)
	}
	return req
}

func describeACLs(of acl.ResourceType, pattern acl.Pattern, name string) *kmsg.DescribeACLsRequest {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType, req.ResourceName = kmsg.ACLResourceType(of), kmsg.ACLResourcePatternType(pattern), &name
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	return req
}

func deleteACLs(of acl.ResourceType, pattern acl.Pattern, names ...string) *kmsg.DeleteACLsRequest {
	req := kmsg.NewPtrDeleteACLsRequest()
	for i := range names {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourcePatternType, f.ResourceName = kmsg.ACLResourceType(of), kmsg.ACLResourcePatternType(pattern), &names[i]
		f.Operation, f.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		req.Filters = append(req.Filters, f)
	}
	return req
}

// askAboutRules asks what needs no rules to be there.
func askAboutRules(s *side) {
	s.each(kmsg.DescribeACLs, func(v int16) {
		ask[*kmsg.DescribeACLsResponse](s, "none of the name", v, describeACLs(acl.Topic, acl.Literal, s.named("absent")))
		ask[*kmsg.DescribeACLsResponse](s, "none matches", v, describeACLs(acl.Group, acl.Match, s.named("absent")))
		ask[*kmsg.DeleteACLsResponse](s, "none to delete", v, deleteACLs(acl.Topic, acl.AnyPattern, s.named("absent"), s.named("absent")))
		ask[*kmsg.DeleteACLsResponse](s, "no filters", v, deleteACLs(acl.Topic, acl.AnyPattern))
		ask[*kmsg.CreateACLsResponse](s, "no rules", v, createACLs())
		right := acl.Rule{Type: acl.Group, Pattern: acl.Prefixed, Name: s.named("wrong"), Principal: "User:a", Host: "*", Operation: acl.Read, Permission: acl.Allow}
		wrong := []acl.Rule{right, right, right, right}
		wrong[0].Principal, wrong[1].Name, wrong[2].Type, wrong[3].Operation = "a", "", acl.Cluster, acl.Write // which there is not on groups
		ask[*kmsg.CreateACLsResponse](s, "wrong rules", v, createACLs(wrong...))
	})
}

// settleRules makes rules, waits until they are shown, and deletes them.
func settleRules(s *side) {
	s.each(kmsg.CreateACLs, func(v int16) {
		name := s.named("rules")
		rule := acl.Rule{Type: acl.Topic, Pattern: acl.Prefixed, Name: name, Principal: "User:CN=a b", Host: "10.0.0.1", Operation: acl.All, Permission: acl.Deny}
		other := rule
		other.Pattern, other.Host, other.Permission, other.Operation = acl.Literal, "*", acl.Allow, acl.AlterConfigs
		ask[*kmsg.CreateACLsResponse](s, "create", v, createACLs(rule, other, rule))
		ask[*kmsg.CreateACLsResponse](s, "create again", v, createACLs(other))
		count := func(want int) {
			s.until("rules", func() bool {
				return len(quiet[*kmsg.DescribeACLsResponse](s, v, describeACLs(acl.Topic, acl.AnyPattern, name)).Resources) == want
			})
		}
		count(2)
		ask[*kmsg.DescribeACLsResponse](s, "literal", v, describeACLs(acl.Topic, acl.Literal, name))
		ask[*kmsg.DescribeACLsResponse](s, "prefixed", v, describeACLs(acl.Topic, acl.Prefixed, name))
		ask[*kmsg.DescribeACLsResponse](s, "match", v, describeACLs(acl.AnyType, acl.Match, name+"-longer"))
		ask[*kmsg.DescribeACLsResponse](s, "no group", v, describeACLs(acl.Group, acl.AnyPattern, name))
		ask[*kmsg.DeleteACLsResponse](s, "delete", v, deleteACLs(acl.AnyType, acl.Literal, name, name, s.named("absent")))
		count(1)
		ask[*kmsg.DeleteACLsResponse](s, "delete what matches", v, deleteACLs(acl.Topic, acl.Match, name+"-longer"))
		count(0)
	})
}
