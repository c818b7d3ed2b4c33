package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// Configs is what clients set while brokers run, for brokers, groups and metrics subscriptions; metastore.Replica has it.
// Changes are durable, and visible, when AlterConfigs returns nil. Values have been checked by the caller.
type Configs interface {
	settings.Overrides
	ConfigResources(kind metastore.ConfigKind) []string       // that have any
	ConfigsOf(kind metastore.ConfigKind) *metastore.ConfigSet // all of a kind; the same pointer until one changes
	AlterConfigs(ctx context.Context, changes []metastore.ConfigChange) error
}

// Bounds of what is set on brokers, groups and metrics subscriptions, which all brokers keep in memory. Older versions of
// the protocol have no longer texts.
const (
	longestResourceName = 1024
	longestConfigValue  = 32767
)

// configurable is a resource whose settings can be altered.
type configurable struct {
	resource  string                   // its name in records of changes
	overrides map[string]string        // that it has; not to be modified
	isList    func(name string) bool   // whether APPEND and SUBTRACT are for the setting
	value     func(name string) string // in force
	// validate judges what is set, and the overrides as they would be then.
	validate func(set, after map[string]string) error
	store    func(ctx context.Context, set map[string]string, unset []string) error
}

// mayConfigure asks for an operation on what has the settings: a topic, a group, or the cluster for all else.
func (b *Broker) mayConfigure(c *wire.Conn, op acl.Operation, kind kmsg.ConfigResourceType, name string) error {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if !b.may(c, op, acl.Topic, name) {
			return errTopicDenied
		}
	case kmsg.ConfigResourceTypeGroupConfig:
		if !b.may(c, op, acl.Group, name) {
			return errGroupDenied
		}
	case kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeClientMetrics:
		if !b.mayOnCluster(c, op) {
			return errClusterDenied
		}
	}
	return nil // others have none
}

func (b *Broker) configurable(kind kmsg.ConfigResourceType, name string) (*configurable, error) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		return b.configurableTopic(name)
	case kmsg.ConfigResourceTypeBroker:
		return b.configurableBroker(name)
	case kmsg.ConfigResourceTypeGroupConfig:
		return b.configurableGroup(name)
	case kmsg.ConfigResourceTypeClientMetrics:
		return b.configurableSubscription(name)
	}
	return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("settings of resource type %d cannot be altered", kind))
}

func (b *Broker) configurableTopic(name string) (*configurable, error) {
	if name == "" {
		return nil, refuse(kerr.InvalidRequest, "default settings of all topics are those of the brokers")
	}
	t, err := b.namedTopic(name)
	if err != nil {
		return nil, err
	}
	return &configurable{
		resource:  topicResource(t.Name),
		overrides: t.Configs,
		isList: func(name string) bool {
			d, _ := settings.LookupTopic(name)
			return d.Type == settings.List
		},
		value: func(name string) string { return valueIn(b.Settings.Load().DescribeTopic(t.Configs), name) },
		validate: func(set, after map[string]string) error {
			if err := settings.ValidateTopic(set); err != nil {
				return err
			}
			return settings.CheckTopic(after)
		},
		store: func(ctx context.Context, set map[string]string, unset []string) error {
			return b.Changes.AlterTopicConfigs(ctx, t.ID, set, unset)
		},
	}, nil
}

func (b *Broker) namedTopic(name string) (*metastore.Topic, error) {
	if err := settings.ValidTopicName(name); err != nil {
		return nil, refuse(kerr.InvalidTopicException, err.Error())
	}
	t, ok := b.Topics.Topic(name)
	if !ok {
		return nil, errNoSuchName
	}
	return t, nil
}

func (b *Broker) configurableBroker(name string) (*configurable, error) {
	if name != "" {
		if err := b.checkSelf(name); err != nil {
			return nil, err
		}
		name = strconv.Itoa(int(b.Membership.Self().NodeID))
	}
	shown := b.shown()
	c := b.altered(metastore.ConfigResource{Kind: metastore.BrokerConfig, Name: name}, "Broker:"+name)
	c.isList = settings.IsList
	c.value = func(name string) string { return valueIn(b.Settings.Load().DescribeBroker(nil), name) }
	c.validate = func(_, after map[string]string) error {
		err := settings.ValidateBroker(after, func(name string) bool {
			_, ok := shown[name]
			return ok
		})
		if _, ok := errors.AsType[*settings.ValueError](err); ok {
			return refuse(kerr.InvalidRequest, err.Error())
		}
		return err
	}
	return c, nil
}

// checkSelf tells whether a resource is named by the node id of this broker: tools ask each about itself. It has one name:
// what is set under "01" would not be that of broker 1.
func (b *Broker) checkSelf(name string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil || name != strconv.FormatInt(id, 10) {
		return refuse(kerr.InvalidRequest, fmt.Sprintf("a broker is named by its node id, not %q", name))
	}
	if self := b.Membership.Self().NodeID; int32(id) != int32(self) {
		return refuse(kerr.InvalidRequest, fmt.Sprintf("this is broker %d: ask broker %d itself", self, id))
	}
	return nil
}

func (b *Broker) configurableGroup(name string) (*configurable, error) {
	if name == "" {
		return nil, refuse(kerr.InvalidRequest, "default settings of all groups are those of the brokers, group.consumer.*")
	}
	if err := checkResourceName(name); err != nil {
		return nil, err
	}
	c := b.altered(metastore.ConfigResource{Kind: metastore.GroupConfig, Name: name}, groupResource(name))
	c.validate = func(_, after map[string]string) error { return b.Settings.Load().ValidateGroup(after) }
	return c, nil
}

func (b *Broker) configurableSubscription(name string) (*configurable, error) {
	if name == "" {
		return nil, refuse(kerr.InvalidRequest, "a subscription to metrics must have a name")
	}
	if err := checkResourceName(name); err != nil {
		return nil, err
	}
	c := b.altered(metastore.ConfigResource{Kind: metastore.ClientMetricsConfig, Name: name}, "ClientMetrics:"+name)
	c.validate = func(_, after map[string]string) error {
		err := settings.ValidateClientMetrics(after)
		_, unknown := errors.AsType[*settings.UnknownError](err)
		_, outOfRange := errors.AsType[*settings.RangeError](err)
		if unknown || outOfRange { // these, and no others
			return refuse(kerr.InvalidRequest, err.Error())
		}
		return err
	}
	return c, nil
}

// altered is the common part of what the commit log has overrides of.
func (b *Broker) altered(of metastore.ConfigResource, resource string) *configurable {
	return &configurable{
		resource:  resource,
		overrides: b.Configs.Configs(of),
		isList:    func(string) bool { return false },
		store: func(ctx context.Context, set map[string]string, unset []string) error {
			for name, value := range set {
				if len(value) > longestConfigValue || !utf8.ValidString(value) {
					return refuse(kerr.InvalidConfig, fmt.Sprintf("the value of %s is no text, or is longer than %d bytes", name, longestConfigValue))
				}
			}
			err := b.Configs.AlterConfigs(ctx, []metastore.ConfigChange{{ConfigResource: of, Set: set, Unset: unset}})
			if err == nil {
				b.Logger.Info("altered configs", "resource_type", of.Kind, "resource", of.Name, "set", len(set), "unset", len(unset))
			}
			return err
		},
	}
}

func checkResourceName(name string) error {
	if len(name) > longestResourceName || !utf8.ValidString(name) {
		return refuse(kerr.InvalidRequest, fmt.Sprintf("a resource name must be text of at most %d bytes", longestResourceName))
	}
	return nil
}

func valueIn(entries []settings.Entry, name string) string {
	for _, e := range entries {
		if e.Name == name && e.Value != nil {
			return *e.Value
		}
	}
	return ""
}
