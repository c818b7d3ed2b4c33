package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DescribeClientQuotas (48), versions 0 and 1 (KIP-546): the quotas of the entities that a filter matches, by name, by being
// the default, or by having any name or being the default. A filter that is strict matches entities that have no other types
// than it names. The answer holds what any broker answered before.

func (b *Broker) describeClientQuotas(ctx context.Context, c *wire.Conn, req *kmsg.DescribeClientQuotasRequest) *kmsg.DescribeClientQuotasResponse {
	resp := respond[*kmsg.DescribeClientQuotasResponse](req)
	filter, err := quotaFilterOf(req)
	if !b.mayOnCluster(c, acl.DescribeConfigs) {
		err = refuse(kerr.ClusterAuthorizationFailed, "not authorized to describe quotas")
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = failure(err)
		return resp
	}
	b.refreshed(ctx)
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	for _, name := range b.Configs.ConfigResources(metastore.ClientQuotas) {
		e, err := quota.ParseEntity(name)
		if err != nil || !filter.matches(e) {
			continue
		}
		entry := kmsg.NewDescribeClientQuotasResponseEntry()
		entry.Entity = describedEntity(e)
		quotas := b.Configs.Configs(quotaResource(e))
		for _, key := range slices.Sorted(maps.Keys(quotas)) {
			if value, err := quota.ParseValue(quotas[key]); err == nil {
				entry.Values = append(entry.Values, kmsg.DescribeClientQuotasResponseEntryValue{Key: key, Value: value})
			}
		}
		resp.Entries = append(resp.Entries, entry)
	}
	return resp
}

func quotaResource(e quota.Entity) metastore.ConfigResource {
	return metastore.ConfigResource{Kind: metastore.ClientQuotas, Name: e.String()}
}

func describedEntity(e quota.Entity) (parts []kmsg.DescribeClientQuotasResponseEntryEntity) {
	for _, kind := range quota.Types {
		p := e.Part(kind)
		if !p.Set {
			continue
		}
		part := kmsg.DescribeClientQuotasResponseEntryEntity{Type: kind}
		if !p.Default {
			part.Name = &p.Name
		}
		parts = append(parts, part)
	}
	return parts
}

// quotaFilter says which entities are asked for, by type.
type quotaFilter struct {
	parts  map[string]*quota.Part // nil: any
	strict bool
}

func quotaFilterOf(req *kmsg.DescribeClientQuotasRequest) (quotaFilter, error) {
	f := quotaFilter{parts: make(map[string]*quota.Part), strict: req.Strict}
	for _, c := range req.Components {
		_, twice := f.parts[c.EntityType]
		switch {
		case c.EntityType == "":
			return f, refuse(kerr.InvalidRequest, "empty entity type")
		case twice:
			return f, refuse(kerr.InvalidRequest, fmt.Sprintf("the filter names %s twice", c.EntityType))
		case !slices.Contains(quota.Types, c.EntityType):
			return f, refuse(kerr.UnsupportedVersion, fmt.Sprintf("unknown entity type %q", c.EntityType))
		case (c.MatchType == kmsg.QuotasMatchTypeExact) != (c.Match != nil):
			return f, refuse(kerr.InvalidRequest, "an exact match has a name, and no other has")
		}
		switch c.MatchType {
		case kmsg.QuotasMatchTypeExact:
			named := quota.Named(*c.Match)
			f.parts[c.EntityType] = &named
		case kmsg.QuotasMatchTypeDefault:
			f.parts[c.EntityType] = &quota.Default
		case kmsg.QuotasMatchTypeAny:
			f.parts[c.EntityType] = nil
		default:
			return f, refuse(kerr.InvalidRequest, fmt.Sprintf("unknown match type %d", c.MatchType))
		}
	}
	if _, ip := f.parts[quota.IPType]; ip && len(f.parts) > 1 {
		return f, refuse(kerr.InvalidRequest, "ip cannot be combined with user or client-id")
	}
	return f, nil
}

func (f *quotaFilter) matches(e quota.Entity) bool {
	for _, kind := range quota.Types {
		has := e.Part(kind)
		asked, named := f.parts[kind]
		switch {
		case named && !has.Set, f.strict && has.Set && !named:
			return false
		case named && asked != nil && *asked != *has:
			return false
		}
	}
	return true
}
