package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
)

// rulesAtATime bounds how many rules one request creates; brokers take 10,000.
const rulesAtATime = 1000

// createRules returns the rules that are there now, and an error for each that could not be created.
func createRules(ctx context.Context, client *kgo.Client, rules []acl.Rule) (created []acl.Rule, err error) {
	var errs []error
	for some := range slices.Chunk(rules, rulesAtATime) {
		req := kmsg.NewPtrCreateACLsRequest()
		for _, r := range some {
			c := kmsg.NewCreateACLsRequestCreation()
			c.ResourceType, c.ResourcePatternType, c.ResourceName = kmsg.ACLResourceType(r.Type), kmsg.ACLResourcePatternType(r.Pattern), r.Name
			c.Principal, c.Host, c.Operation, c.PermissionType = r.Principal, r.Host, kmsg.ACLOperation(r.Operation), kmsg.ACLPermissionType(r.Permission)
			req.Creations = append(req.Creations, c)
		}
		resp, err := req.RequestWith(ctx, client)
		if err == nil && len(resp.Results) != len(some) {
			err = fmt.Errorf("%d answers for %d rules", len(resp.Results), len(some))
		}
		if err != nil {
			return created, errors.Join(append(errs, fmt.Errorf("create rules: %w", err))...)
		}
		for i, result := range resp.Results {
			switch result.ErrorCode {
			case 0:
				created = append(created, some[i])
			case kerr.SecurityDisabled.Code, kerr.ClusterAuthorizationFailed.Code: // so it is for all
				return created, rulesRefused(result.ErrorCode, result.ErrorMessage)
			default:
				errs = append(errs, ruleError(some[i], result.ErrorCode, result.ErrorMessage))
			}
		}
	}
	return created, errors.Join(errs...)
}

func rulesRefused(code int16, detail *string) error {
	text := ""
	if detail != nil {
		text = *detail
	}
	return withDetail("access rules", kerr.ErrorForCode(code), text)
}

func describeRules(ctx context.Context, client *kgo.Client, f acl.Filter) (rules []acl.Rule, err error) {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType, req.ResourceName = kmsg.ACLResourceType(f.Type), kmsg.ACLResourcePatternType(f.Pattern), f.Name
	req.Principal, req.Host, req.Operation, req.PermissionType = f.Principal, f.Host, kmsg.ACLOperation(f.Operation), kmsg.ACLPermissionType(f.Permission)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("list access rules: %w", err)
	}
	if resp.ErrorCode != 0 {
		return nil, rulesRefused(resp.ErrorCode, resp.ErrorMessage)
	}
	for _, of := range resp.Resources {
		for _, a := range of.ACLs {
			rules = append(rules, acl.Rule{
				Type: acl.ResourceType(of.ResourceType), Pattern: acl.Pattern(of.ResourcePatternType), Name: of.ResourceName,
				Principal: a.Principal, Host: a.Host, Operation: acl.Operation(a.Operation), Permission: acl.Permission(a.PermissionType)})
		}
	}
	slices.SortFunc(rules, acl.Rule.Compare)
	return rules, nil
}

func deleteRules(ctx context.Context, client *kgo.Client, f acl.Filter) (rules []acl.Rule, err error) {
	req := kmsg.NewPtrDeleteACLsRequest()
	filter := kmsg.NewDeleteACLsRequestFilter()
	filter.ResourceType, filter.ResourcePatternType, filter.ResourceName = kmsg.ACLResourceType(f.Type), kmsg.ACLResourcePatternType(f.Pattern), f.Name
	filter.Principal, filter.Host, filter.Operation, filter.PermissionType = f.Principal, f.Host, kmsg.ACLOperation(f.Operation), kmsg.ACLPermissionType(f.Permission)
	req.Filters = append(req.Filters, filter)
	resp, err := req.RequestWith(ctx, client)
	if err == nil && len(resp.Results) != 1 {
		err = fmt.Errorf("%d answers for a filter", len(resp.Results))
	}
	if err != nil {
		return nil, fmt.Errorf("delete access rules: %w", err)
	}
	result := resp.Results[0]
	if result.ErrorCode != 0 {
		return nil, rulesRefused(result.ErrorCode, result.ErrorMessage)
	}
	var errs []error
	for _, m := range result.MatchingACLs {
		r := acl.Rule{
			Type: acl.ResourceType(m.ResourceType), Pattern: acl.Pattern(m.ResourcePatternType), Name: m.ResourceName,
			Principal: m.Principal, Host: m.Host, Operation: acl.Operation(m.Operation), Permission: acl.Permission(m.PermissionType)}
		if m.ErrorCode != 0 {
			errs = append(errs, ruleError(r, m.ErrorCode, m.ErrorMessage))
			continue
		}
		rules = append(rules, r)
	}
	slices.SortFunc(rules, acl.Rule.Compare)
	return rules, errors.Join(errs...)
}
