package broker

import (
	"context"
	"maps"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// What the handlers of access rules have in common.

// mostInRequest bounds the rules to be made, and the filters of those to be deleted, of one request: each filter is held
// against every rule.
const mostInRequest = 10_000

var (
	errNoAuthorizer    = refuse(kerr.SecurityDisabled, "No Authorizer is configured on the broker: see the key authorizer")
	errRulesForbidden  = refuse(kerr.ClusterAuthorizationFailed, "not authorized to see or change access rules")
	errTooManyInOne    = refuse(kerr.InvalidRequest, "more than 10000 rules or filters in a request")
	errTooManyMatching = refuse(kerr.InvalidRequest, "the filters of the request match too many rules together")
)

// mayHandleRules tells why a request about access rules is refused as a whole, nil if it is not.
func (b *Broker) mayHandleRules(c *wire.Conn, op acl.Operation) error {
	if !b.mayOnCluster(c, op) {
		return errRulesForbidden
	}
	if !b.Access.Enabled() {
		return errNoAuthorizer
	}
	return nil
}

// rules are all access rules, in order. Those that this version cannot read are left out, and told of by what decides.
func (b *Broker) rules() []acl.Rule {
	rules := acl.FromPairs(b.Configs.ConfigsOf(metastore.AccessRules).All()).Rules
	return rules
}

// ruleChanges are changes of access rules, by resource pattern.
type ruleChanges map[string]*metastore.ConfigChange

func (rc ruleChanges) of(resource string) *metastore.ConfigChange {
	if rc[resource] == nil {
		rc[resource] = &metastore.ConfigChange{
			ConfigResource: metastore.ConfigResource{Kind: metastore.AccessRules, Name: resource}, Set: make(map[string]string),
		}
	}
	return rc[resource]
}

// alterRules makes changes, all or none. They are durable, and what this broker decides by, when it returns nil.
func (b *Broker) alterRules(ctx context.Context, c *wire.Conn, action string, changes ruleChanges) error {
	ctx, cancel := context.WithTimeout(ctx, alterConfigsWait)
	defer cancel()
	before := b.Configs.ConfigsOf(metastore.AccessRules)
	var all []metastore.ConfigChange
	for _, change := range changes {
		all = append(all, *change)
	}
	if len(all) == 0 {
		return nil
	}
	if err := b.Configs.AlterConfigs(ctx, all); err != nil {
		for _, change := range all {
			b.mayHaveChanged(c, action, change.Name, err)
		}
		return err
	}
	rules := 0
	for _, change := range all {
		e := audit.Event{
			Kind: audit.Change, Principal: c.Session().Principal, Host: c.ClientHost(), ClientID: c.ClientID(), Listener: c.Endpoint().Name,
			Action: action, Resource: change.Name, Before: make(map[string]string), After: maps.Clone(change.Set),
		}
		was := before.On(change.Name)
		maps.DeleteFunc(e.After, func(entry, _ string) bool { _, there := was[entry]; return there })
		for _, entry := range change.Unset {
			if _, there := was[entry]; there {
				e.Before[entry] = ""
			}
		}
		if rules += len(e.Before) + len(e.After); len(e.Before)+len(e.After) > 0 {
			b.Audit.Record(e)
		}
	}
	if rules == 0 {
		return nil
	}
	b.Logger.Info("changed access rules", "action", action, "rules", rules, "principal", c.Session().Principal)
	return nil
}
