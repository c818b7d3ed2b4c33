package runneltest

import (
	"context"
	"fmt"
	"strings"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/auth"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/metastore"
)

// setUp makes topics, users and rules, past what may forbid it to clients, and has all brokers know of them.
func (c *Cluster) setUp(ctx context.Context) error {
	if len(c.opts.topics)+len(c.opts.users)+len(c.opts.rules) == 0 {
		return nil
	}
	by := c.brokers[0].current()
	if by == nil {
		return errNotRunning
	}
	log := by.node.Replica()
	for _, t := range c.opts.topics {
		if err := c.makeTopic(ctx, log, t); err != nil {
			return fmt.Errorf("topic %q: %w", t.name, err)
		}
	}
	var changes []metastore.ConfigChange
	for _, u := range c.opts.users {
		change, err := credentials(u)
		if err != nil {
			return fmt.Errorf("user %q: %w", u.name, err)
		}
		changes = append(changes, change)
	}
	rules, err := accessRules(c.opts.rules)
	if err != nil {
		return err
	}
	if changes = append(changes, rules...); len(changes) > 0 {
		if err := log.AlterConfigs(ctx, changes); err != nil {
			return fmt.Errorf("make users and rules: %w", err)
		}
	}
	for _, b := range c.brokers {
		l := b.current()
		if l == nil {
			return errNotRunning
		}
		if err := l.node.Replica().CatchUp(ctx); err != nil {
			return fmt.Errorf("follow the log: %w", err)
		}
	}
	return nil
}

// makeTopic does what a broker does that is asked for one; one that is there, in a directory of before, stays.
func (c *Cluster) makeTopic(ctx context.Context, log *metastore.Replica, t topic) error {
	if err := settings.ValidTopicName(t.name); err != nil {
		return err
	}
	configs, err := pairs(t.configs)
	if err != nil {
		return err
	}
	if err := settings.ValidateTopic(configs); err != nil {
		return err
	}
	if t.partitions < 1 || t.partitions > metastore.MaxPartitions {
		return fmt.Errorf("it has 1 to %d partitions, and not %d", metastore.MaxPartitions, t.partitions)
	}
	if _, ok := log.Topic(t.name); ok && c.opts.dir != "" {
		return nil
	}
	_, err = log.CreateTopic(ctx, metastore.NewTopic{Name: t.name, Partitions: int32(t.partitions), ReplicationFactor: 1, Configs: configs})
	return err
}

// credentials lets a user log in by each mechanism that takes a password.
func credentials(u user) (metastore.ConfigChange, error) {
	change := metastore.ConfigChange{
		ConfigResource: metastore.ConfigResource{Kind: metastore.Credentials, Name: u.name}, Set: make(map[string]string),
	}
	if err := auth.CheckName(u.name); err != nil {
		return change, err
	}
	for _, m := range []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512} {
		c, err := auth.NewCredential(m, u.password, auth.DefaultIterations)
		if err != nil {
			return change, err
		}
		change.Set[string(m)] = c.Encode()
	}
	return change, nil
}

func accessRules(lines []string) ([]metastore.ConfigChange, error) {
	var changes []metastore.ConfigChange
	at := make(map[string]int) // by resource: a change names each once
	for _, line := range lines {
		rule, err := acl.ParseRule(line)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", line, err)
		}
		resource, entry := rule.Pair()
		i, ok := at[resource]
		if !ok {
			i = len(changes)
			at[resource] = i
			changes = append(changes, metastore.ConfigChange{
				ConfigResource: metastore.ConfigResource{Kind: metastore.AccessRules, Name: resource}, Set: make(map[string]string),
			})
		}
		changes[i].Set[entry] = ""
	}
	return changes, nil
}

// pairs reads "name=value".
func pairs(list []string) (map[string]string, error) {
	values := make(map[string]string)
	for _, pair := range list {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not of the form name=value", pair)
		}
		values[name] = value
	}
	return values, nil
}
