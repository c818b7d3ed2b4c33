package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// AlterClientQuotas (49), versions 0 and 1 (KIP-546): sets and removes quotas of entities; the changes of an entity are made
// together or not at all. They act on every broker as soon as it hears of them, and on this one before the answer.
//
// Entities of type ip are addresses; Kafka resolves names of hosts, too. An entity that is named twice is not altered at
// all, where Kafka makes the first change and answers with an error.

func (b *Broker) alterClientQuotas(ctx context.Context, c *wire.Conn, req *kmsg.AlterClientQuotasRequest) *kmsg.AlterClientQuotasResponse {
	ctx, cancel := context.WithTimeout(ctx, alterConfigsWait)
	defer cancel()
	resp := respond[*kmsg.AlterClientQuotasResponse](req)
	may := b.mayOnCluster(c, acl.AlterConfigs)
	times := make(map[string]int)
	for i := range req.Entries {
		times[writtenEntity(&req.Entries[i])]++
	}
	for i := range req.Entries {
		asked := &req.Entries[i]
		name := writtenEntity(asked)
		var err error
		switch n := times[name]; {
		case n == 0: // answered already
			continue
		case !may:
			err = refuse(kerr.ClusterAuthorizationFailed, "not authorized to alter quotas")
		case n > 1:
			err = refuse(kerr.InvalidRequest, "the request names the entity twice")
		default:
			err = b.alterQuota(ctx, c, asked, req.ValidateOnly)
		}
		times[name] = 0
		answer := kmsg.NewAlterClientQuotasResponseEntry()
		for _, part := range asked.Entity {
			answer.Entity = append(answer.Entity, kmsg.AlterClientQuotasResponseEntryEntity{Type: part.Type, Name: part.Name})
		}
		answer.ErrorCode, answer.ErrorMessage = failure(err)
		resp.Entries = append(resp.Entries, answer)
	}
	return resp
}

// writtenEntity is the same text for the same parts, right or wrong, in any order.
func writtenEntity(asked *kmsg.AlterClientQuotasRequestEntry) string {
	var parts []string
	for _, p := range asked.Entity {
		name := "default"
		if p.Name != nil {
			name = fmt.Sprintf("%q", *p.Name)
		}
		parts = append(parts, fmt.Sprintf("%q %s", p.Type, name))
	}
	slices.Sort(parts)
	return fmt.Sprint(parts)
}

func (b *Broker) alterQuota(ctx context.Context, c *wire.Conn, asked *kmsg.AlterClientQuotasRequestEntry, validateOnly bool) error {
	e, err := quotaEntityOf(asked)
	if err != nil {
		return err
	}
	change := metastore.ConfigChange{ConfigResource: quotaResource(e), Set: make(map[string]string)}
	seen := make(map[string]bool)
	for _, op := range asked.Ops {
		if seen[op.Key] {
			return refuse(kerr.InvalidRequest, fmt.Sprintf("the request names %s twice", op.Key))
		}
		seen[op.Key] = true
		if op.Remove { // as Kafka, of any key
			change.Unset = append(change.Unset, op.Key)
			continue
		}
		if err := e.CheckValue(op.Key, op.Value); err != nil {
			return err
		}
		change.Set[op.Key] = quota.FormatValue(op.Value)
	}
	if validateOnly {
		return nil
	}
	before := maps.Clone(b.Configs.Configs(change.ConfigResource))
	err = b.Configs.AlterConfigs(ctx, []metastore.ConfigChange{change})
	b.mayHaveChanged(c, "AlterClientQuotas", "ClientQuota:"+change.Name, err)
	if after := b.Configs.Configs(change.ConfigResource); err == nil && !maps.Equal(before, after) {
		b.Logger.Info("altered quotas", "entity", change.Name, "set", len(change.Set), "unset", len(change.Unset))
		b.Audit.Record(audit.Event{
			Kind: audit.Change, Principal: c.Session().Principal, Host: c.ClientHost(), ClientID: c.ClientID(), Listener: c.Endpoint().Name,
			Action: "AlterClientQuotas", Resource: "ClientQuota:" + change.Name, Before: before, After: maps.Clone(after),
		})
	}
	return err
}

func quotaEntityOf(asked *kmsg.AlterClientQuotasRequestEntry) (quota.Entity, error) {
	var e quota.Entity
	for _, part := range asked.Entity {
		p := e.Part(part.Type)
		switch {
		case p == nil:
			return e, refuse(kerr.InvalidRequest, fmt.Sprintf("unknown entity type %q", part.Type))
		case p.Set:
			return e, refuse(kerr.InvalidRequest, fmt.Sprintf("the entity has %s twice", part.Type))
		case part.Name == nil:
			*p = quota.Default
		default:
			if err := checkResourceName(*part.Name); err != nil {
				return e, err
			}
			*p = quota.Named(*part.Name)
		}
	}
	return e, e.Check()
}
