package broker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DescribeConfigs (32), versions 1 to 4: the settings of topics, of this broker under its node id, of all brokers under
// the empty name (only what clients set), of groups (KIP-848), of subscriptions to clients' metrics (KIP-714) and of this
// broker's log (KIP-412). v1 has sources and synonyms (KIP-226), v3 types and documentation (KIP-569). A group or
// subscription that does not exist has the defaults, as in Kafka; so any name gets an answer a hundred times as long, and of
// groups and subscriptions a request may name as many as can have settings. A resource that is named twice is answered
// once. A broker tells some of its state to who asks for it by name (broker_state.go).
//
// The answer holds what any broker answered before: tools alter through one and look through another.

func (b *Broker) describeConfigs(ctx context.Context, c *wire.Conn, req *kmsg.DescribeConfigsRequest) *kmsg.DescribeConfigsResponse {
	resp := respond[*kmsg.DescribeConfigsResponse](req)
	if mayBeElsewhere(req.Resources) {
		b.refreshed(ctx)
	}
	of := func(r kmsg.DescribeConfigsRequestResource) namedResource {
		return namedResource{r.ResourceType, r.ResourceName}
	}
	defaulted := 0
	for _, asked := range once(req.Resources, of) {
		answer := kmsg.NewDescribeConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = asked.ResourceType, asked.ResourceName
		if neverMissing(asked.ResourceType) {
			defaulted++
		}
		var entries []settings.Entry
		err := errTooManyDefaults
		if defaulted <= metastore.MaxConfigResources || !neverMissing(asked.ResourceType) {
			if err = b.mayConfigure(c, acl.DescribeConfigs, asked.ResourceType, asked.ResourceName); err == nil {
				entries, err = b.settingsOf(asked.ResourceType, asked.ResourceName)
			}
		}
		answer.ErrorMessage = new(string) // not null, as in Kafka
		if err != nil {
			answer.ErrorCode, answer.ErrorMessage = failure(err)
		}
		if err == nil && asked.ResourceType == kmsg.ConfigResourceTypeBroker && asked.ResourceName != "" {
			entries = append(entries, b.state(asked.ConfigNames)...)
		}
		for _, e := range entries {
			if len(asked.ConfigNames) == 0 || slices.Contains(asked.ConfigNames, e.Name) {
				answer.Configs = append(answer.Configs, describedConfig(e, req.IncludeSynonyms, req.IncludeDocumentation))
			}
		}
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}

// neverMissing tells of which resources any that is named has settings.
func neverMissing(kind kmsg.ConfigResourceType) bool {
	return kind == kmsg.ConfigResourceTypeGroupConfig || kind == kmsg.ConfigResourceTypeClientMetrics
}

var errTooManyDefaults = refuse(kerr.InvalidRequest, fmt.Sprintf("the request names more than %d groups and subscriptions to metrics", metastore.MaxConfigResources))

// mayBeElsewhere tells whether a request is about more than the state of this broker, which it alone knows.
func mayBeElsewhere(asked []kmsg.DescribeConfigsRequestResource) bool {
	for _, r := range asked {
		if r.ResourceType != kmsg.ConfigResourceTypeBroker || len(r.ConfigNames) == 0 || !slices.Contains(r.ConfigNames, VersionSetting) {
			return true
		}
	}
	return false
}

func (b *Broker) settingsOf(kind kmsg.ConfigResourceType, name string) ([]settings.Entry, error) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		t, err := b.namedTopic(name)
		if err != nil {
			return nil, err
		}
		return b.Settings.Load().DescribeTopic(t.Configs), nil
	case kmsg.ConfigResourceTypeBroker:
		if name == "" {
			return b.Settings.Load().DescribeBrokers(), nil
		}
		if err := b.checkSelf(name); err != nil {
			return nil, err
		}
		return b.Settings.Load().DescribeBroker(b.shown()), nil
	case kmsg.ConfigResourceTypeBrokerLogger:
		return b.describeLoggers(name)
	case kmsg.ConfigResourceTypeGroupConfig:
		if name == "" {
			return nil, refuse(kerr.InvalidRequest, "a group must have a name")
		}
		return b.Settings.Load().DescribeGroup(b.Configs.Configs(metastore.ConfigResource{Kind: metastore.GroupConfig, Name: name})), nil
	case kmsg.ConfigResourceTypeClientMetrics:
		if name == "" {
			return nil, refuse(kerr.InvalidRequest, "a subscription to metrics must have a name")
		}
		return settings.DescribeClientMetrics(b.Configs.Configs(metastore.ConfigResource{Kind: metastore.ClientMetricsConfig, Name: name})), nil
	}
	return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("there are no settings of resource type %d", kind))
}

// shown adds to the settings of the process what the membership knows better.
func (b *Broker) shown() map[string]string {
	self := b.Membership.Self()
	shown := map[string]string{
		"node.id": strconv.Itoa(int(self.NodeID)), "broker.id": strconv.Itoa(int(self.NodeID)),
	}
	shown["advertised.listeners"], shown["listener.security.protocol.map"] = shownListeners(&self)
	if self.Zone != "" {
		shown["broker.rack"] = self.Zone
	}
	for name, value := range b.Shown {
		shown[name] = value
	}
	return shown
}

// shownListeners are the addresses and the protocols of a broker's listeners, as Kafka has them in its settings.
func shownListeners(self *metastore.Broker) (advertised, protocols string) {
	listeners := self.Listeners
	if len(listeners) == 0 {
		only, _ := self.Listener("")
		listeners = []metastore.Listener{only}
	}
	var addresses, secured []string
	for _, l := range listeners {
		addresses = append(addresses, l.Name+"://"+net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))))
		secured = append(secured, l.Name+":"+l.Protocol)
	}
	return strings.Join(addresses, ","), strings.Join(secured, ",")
}

func describedConfig(e settings.Entry, synonyms, documentation bool) kmsg.DescribeConfigsResponseResourceConfig {
	config := kmsg.NewDescribeConfigsResponseResourceConfig()
	config.Name, config.Value = e.Name, e.Value
	config.ReadOnly, config.IsDefault, config.IsSensitive = e.ReadOnly, e.Default, e.Sensitive
	config.Source, config.ConfigType = kmsg.ConfigSource(e.Source), kmsg.ConfigType(e.Type)
	switch {
	case documentation:
		config.Documentation = orNil(e.Doc)
	case e.Source == settings.FromLogger:
		config.Documentation = new(string) // not null, as in Kafka
	}
	if !synonyms {
		return config
	}
	for _, s := range e.Synonyms {
		synonym := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		synonym.Name, synonym.Value, synonym.Source = s.Name, s.Value, kmsg.ConfigSource(s.Source)
		config.ConfigSynonyms = append(config.ConfigSynonyms, synonym)
	}
	return config
}
