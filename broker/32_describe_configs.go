package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
)

// DescribeConfigs (32), versions 1 to 4: the settings of topics, and of this broker under its node id. v1 has sources
// and synonyms (KIP-226), v3 types and documentation (KIP-569). The empty broker name asks for the dynamic defaults of
// all brokers, of which there are none. Other resources (loggers, client metrics, groups) have no settings here:
// INVALID_REQUEST. A resource that is named twice is answered once. A broker tells some of its state to who asks for it by
// name (broker_state.go).

func (b *Broker) describeConfigs(_ context.Context, _ *wire.Conn, req *kmsg.DescribeConfigsRequest) *kmsg.DescribeConfigsResponse {
	resp := respond[*kmsg.DescribeConfigsResponse](req)
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	of := func(r kmsg.DescribeConfigsRequestResource) resource { return resource{r.ResourceType, r.ResourceName} }
	for _, asked := range once(req.Resources, of) {
		answer := kmsg.NewDescribeConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = asked.ResourceType, asked.ResourceName
		entries, err := b.settingsOf(asked.ResourceType, asked.ResourceName)
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

func (b *Broker) settingsOf(kind kmsg.ConfigResourceType, name string) ([]settings.Entry, error) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if err := settings.ValidTopicName(name); err != nil {
			return nil, refuse(kerr.InvalidTopicException, err.Error())
		}
		t, ok := b.Topics.Topic(name)
		if !ok {
			return nil, errNoSuchName
		}
		return b.Settings.DescribeTopic(t.Configs), nil
	case kmsg.ConfigResourceTypeBroker:
		if name == "" {
			return nil, nil
		}
		id, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("a broker is named by its node id, not %q", name))
		}
		if self := b.Membership.Self().NodeID; int32(id) != int32(self) {
			return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("this is broker %d: ask broker %d itself", self, id))
		}
		return b.Settings.DescribeBroker(b.shown()), nil
	}
	return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("there are no settings of resource type %d", kind))
}

// shown adds to the settings of the process what the membership knows better.
func (b *Broker) shown() map[string]string {
	self := b.Membership.Self()
	shown := map[string]string{
		"node.id": strconv.Itoa(int(self.NodeID)), "broker.id": strconv.Itoa(int(self.NodeID)),
		"advertised.listeners": fmt.Sprintf("PLAINTEXT://%s:%d", self.Host, self.Port),
	}
	if self.Zone != "" {
		shown["broker.rack"] = self.Zone
	}
	for name, value := range b.Shown {
		shown[name] = value
	}
	return shown
}

func describedConfig(e settings.Entry, synonyms, documentation bool) kmsg.DescribeConfigsResponseResourceConfig {
	config := kmsg.NewDescribeConfigsResponseResourceConfig()
	config.Name, config.Value = e.Name, e.Value
	config.ReadOnly, config.IsDefault, config.IsSensitive = e.ReadOnly, e.Default, e.Sensitive
	config.Source, config.ConfigType = kmsg.ConfigSource(e.Source), kmsg.ConfigType(e.Type)
	if documentation {
		config.Documentation = orNil(e.Doc)
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
