package broker

import "github.com/twmb/franz-go/pkg/kmsg"

// securityRows are of requests about who gets in and how much they may take.
func securityRows() []accessRow {
	const any, literal, anyOperation, read, allow = 1, 3, 1, 3, 3 // Kafka's codes
	user, principal, host := "alice", "User:alice", "*"
	return []accessRow{
		{key: 29, need: 0, ask: func(*guarded, names) kmsg.Request {
			req := kmsg.NewPtrDescribeACLsRequest()
			req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = any, any, anyOperation, any
			return req
		}},
		{key: 30, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrCreateACLsRequest()
			c := kmsg.NewCreateACLsRequestCreation()
			c.ResourceType, c.ResourceName, c.ResourcePatternType = 2, n.topic, literal
			c.Principal, c.Host, c.Operation, c.PermissionType = principal, host, read, allow
			req.Creations = append(req.Creations, c)
			return req
		}},
		{key: 31, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrDeleteACLsRequest()
			f := kmsg.NewDeleteACLsRequestFilter()
			f.ResourceType, f.ResourceName, f.ResourcePatternType, f.Operation, f.PermissionType = 2, &n.topic, literal, anyOperation, any
			req.Filters = append(req.Filters, f)
			return req
		}},
		{key: 48, need: 0, ask: func(*guarded, names) kmsg.Request { return kmsg.NewPtrDescribeClientQuotasRequest() }},
		{key: 49, need: 0, ask: func(*guarded, names) kmsg.Request {
			req := kmsg.NewPtrAlterClientQuotasRequest()
			req.Entries = append(req.Entries, quotaEntry(quotaOps{"producer_byte_rate": 5}, "user", user))
			return req
		}},
		{key: 50, need: 0, ask: func(*guarded, names) kmsg.Request { return kmsg.NewPtrDescribeUserSCRAMCredentialsRequest() }},
		{key: 51, need: 0, ask: func(*guarded, names) kmsg.Request { return scramOps("+" + user + "/1/4096") }},
	}
}
