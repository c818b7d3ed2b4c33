package differential

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	ofLogger  = kmsg.ConfigResourceTypeBrokerLogger
	ofMetrics = kmsg.ConfigResourceTypeClientMetrics
	ofGroup   = kmsg.ConfigResourceTypeGroupConfig
)

// replaceConfigs is the legacy request; configs are names and values in turn.
func replaceConfigs(kind kmsg.ConfigResourceType, resource string, configs ...*string) *kmsg.AlterConfigsRequest {
	req := kmsg.NewPtrAlterConfigsRequest()
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, resource
	for i := 0; i+1 < len(configs); i += 2 {
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = *configs[i], configs[i+1]
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	return req
}

// alter takes down the answer to an incremental change at the version of the loop.
func (s *side) alter(label string, kind kmsg.ConfigResourceType, resource string, changes ...change) {
	ask[*kmsg.IncrementalAlterConfigsResponse](s, label, s.version, alterConfigs(kind, resource, changes...))
}

// replace is alter for the legacy request.
func (s *side) replace(label string, kind kmsg.ConfigResourceType, resource string, configs ...*string) {
	ask[*kmsg.AlterConfigsResponse](s, label, s.version, replaceConfigs(kind, resource, configs...))
}

// settle waits until a setting has a value, and takes down what is told of the settings then.
func (s *side) settle(label string, kind kmsg.ConfigResourceType, resource, config, value string, names ...string) {
	s.until(config+" of "+resource, func() bool {
		configs := quiet[*kmsg.DescribeConfigsResponse](s, 4, describeConfigs(kind, resource, config)).Resources[0].Configs
		if len(configs) == 0 {
			return value == ""
		}
		return configs[0].Value != nil && *configs[0].Value == value
	})
	req := describeConfigs(kind, resource, append(names, config)...)
	req.IncludeSynonyms = true
	ask[*kmsg.DescribeConfigsResponse](s, label, 4, req)
}

// Other scripts look at settings of topics at the same time, so what changes here for all brokers is none of theirs.
var dynamicConfigScripts = []script{{"broker-configs", func(s *side) {
	self := fmt.Sprint(s.node)
	const limit, expiry = "max.connections", "producer.id.expiration.ms"
	ask[*kmsg.DescribeConfigsResponse](s, "all brokers at first", 4, describeConfigs(ofBroker, ""))
	s.each(kmsg.IncrementalAlterConfigs, func(int16) {
		s.alter("set for all", ofBroker, "", change{limit, set, text("100000")})
		s.settle("described, all", ofBroker, "", limit, "100000")
		s.settle("described, itself", ofBroker, self, limit, "100000", expiry, "num.partitions", "log.roll.ms", "log.roll.hours")
		s.alter("set for itself", ofBroker, self, change{limit, set, text("200000")}, change{expiry, set, text("86400001")})
		s.settle("described again", ofBroker, self, limit, "200000", expiry)
		s.alter("read-only", ofBroker, "", change{"num.partitions", set, text("5")})
		s.alter("read-only for itself", ofBroker, self, change{"auto.create.topics.enable", set, text("false")})
		s.alter("weaker alias", ofBroker, "", change{"log.retention.hours", set, text("5")})
		s.alter("address", ofBroker, "", change{"node.id", set, text("5")})
		s.alter("group settings", ofBroker, "", change{"group.consumer.session.timeout.ms", set, text("46000")})
		s.alter("deleted read-only", ofBroker, "", change{"num.partitions", unset, nil})
		s.alter("deleted unknown", ofBroker, "", change{"no.such", unset, nil})
		s.alter("unknown", ofBroker, self, change{"no.such", set, text("5")})
		s.alter("and away", ofBroker, self, change{"no.such", unset, text("5")})
		s.alter("nonsense", ofBroker, "", change{limit, set, text("many")})
		s.alter("negative", ofBroker, "", change{limit, set, text("-1")})
		s.alter("null", ofBroker, "", change{limit, set, nil})
		s.alter("append", ofBroker, "", change{limit, add, text("1")})
		s.alter("twice", ofBroker, "", change{limit, set, text("1")}, change{limit, set, text("1")})
		s.alter("another", ofBroker, "77", change{limit, set, text("1")})
		s.alter("delete for itself", ofBroker, self, change{limit, unset, nil}, change{expiry, unset, nil})
		s.settle("described without its own", ofBroker, self, limit, "100000", expiry)
		only := alterConfigs(ofBroker, "", change{limit, set, text("5")})
		only.ValidateOnly = true
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "validate", s.version, only)
		s.alter("delete for all", ofBroker, "", change{limit, unset, nil})
		s.settle("described without any", ofBroker, self, limit, "2147483647")
	})
	s.each(kmsg.AlterConfigs, func(int16) {
		s.replace("itself", ofBroker, self, text(limit), text("300000"))
		s.settle("described", ofBroker, self, limit, "300000")
		s.replace("read-only", ofBroker, self, text("num.partitions"), text("5"))
		s.replace("null", ofBroker, self, text(limit), nil)
		s.replace("another", ofBroker, "77", text(limit), text("5"))
		s.replace("logger", ofLogger, self, text("root"), text("ERROR"))
		s.replace("nothing left", ofBroker, self)
		s.settle("described at last", ofBroker, self, limit, "2147483647")
	})
}}, {"group-configs", func(s *side) {
	const session, heartbeat = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
	s.each(kmsg.IncrementalAlterConfigs, func(int16) {
		g := s.named("group")
		s.settle("at first", ofGroup, g, session, "45000", heartbeat)
		ask[*kmsg.DescribeConfigsResponse](s, "all of it", 4, describeConfigs(ofGroup, g))
		s.alter("set", ofGroup, g, change{session, set, text("50000")}, change{heartbeat, set, text("9000")})
		s.settle("described", ofGroup, g, session, "50000", heartbeat)
		s.alter("too short", ofGroup, g, change{session, set, text("1")})
		s.alter("too long", ofGroup, g, change{session, set, text("99999999")})
		s.alter("heartbeat too short", ofGroup, g, change{heartbeat, set, text("1")})
		s.alter("nonsense", ofGroup, g, change{heartbeat, set, text("x")})
		s.alter("unknown", ofGroup, g, change{"no.such", set, text("x")})
		s.alter("unknown away", ofGroup, g, change{"no.such", unset, nil})
		s.alter("append", ofGroup, g, change{session, add, text("50000")})
		s.alter("null", ofGroup, g, change{session, set, nil})
		s.alter("no name", ofGroup, "", change{session, set, text("50000")})
		ask[*kmsg.DescribeConfigsResponse](s, "describe no name", 4, describeConfigs(ofGroup, ""))
		s.alter("delete", ofGroup, g, change{session, unset, nil})
		s.settle("described after", ofGroup, g, session, "45000", heartbeat)
	})
	s.each(kmsg.AlterConfigs, func(int16) {
		g := s.named("legacy")
		s.replace("set", ofGroup, g, text(session), text("50000"), text(heartbeat), text("9000"))
		s.settle("described", ofGroup, g, session, "50000", heartbeat)
		s.replace("replaced", ofGroup, g, text(session), text("51000"))
		s.settle("described after", ofGroup, g, session, "51000", heartbeat)
	})
	ask[*kmsg.ListConfigResourcesResponse](s, "list", 1, listResources(ofGroup))
}}, {"client-metrics-configs", func(s *side) {
	all := []string{"interval.ms", "metrics", "match"}
	s.each(kmsg.IncrementalAlterConfigs, func(int16) {
		m := s.named("subscription")
		s.settle("at first", ofMetrics, m, "interval.ms", "300000", all...)
		s.alter("set", ofMetrics, m, change{"interval.ms", set, text("1000")}, change{"metrics", set, text("a.b,c")},
			change{"match", set, text("client_id=app.*,client_software_name=x")})
		s.settle("described", ofMetrics, m, "interval.ms", "1000", all...)
		for _, c := range []change{
			{"interval.ms", set, text("99")}, {"interval.ms", set, text("3600001")}, {"interval.ms", set, text("x")},
			{"metrics", set, text("")}, {"metrics", set, text("*")}, {"metrics", add, text("d")}, {"metrics", subtract, text("d")},
			{"match", set, text("client_id=[")}, {"match", set, text("foo=bar")}, {"match", set, text("client_id")},
			{"match", set, text("client_id=")}, {"match", set, text("client_id=a=b")}, {"match", set, text("")}, {"no.such", set, text("1")}, {"no.such", unset, nil},
		} {
			label := fmt.Sprint(c.name, " ", int8(c.op))
			if c.value != nil {
				label += " " + *c.value
			}
			s.alter(label, ofMetrics, m, c)
		}
		s.alter("no name", ofMetrics, "", change{"interval.ms", set, text("1000")})
		ask[*kmsg.DescribeConfigsResponse](s, "describe no name", 4, describeConfigs(ofMetrics, ""))
		s.settle("described after", ofMetrics, m, "metrics", "*", all...)
		s.replaceAll(m)
	})
	for _, v := range s.versions[int16(kmsg.ListConfigResources)] {
		ask[*kmsg.ListConfigResourcesResponse](s, fmt.Sprintf("v%d/list", v), v, listResources(ofMetrics))
	}
	ask[*kmsg.ListConfigResourcesResponse](s, "list what cannot be", 1, listResources(3))
}}, {"legacy-topic-configs", func(s *side) {
	s.each(kmsg.AlterConfigs, func(int16) {
		name := s.named("topic")
		s.topic(name, 1, "retention.ms", "1234", "cleanup.policy", "compact")
		s.replace("replace", ofTopic, name, text("retention.ms"), text("99"))
		s.settle("after", ofTopic, name, "retention.ms", "99", "cleanup.policy")
		s.replace("the same again", ofTopic, name, text("retention.ms"), text("99"))
		s.replace("null", ofTopic, name, text("retention.ms"), nil)
		s.replace("nonsense", ofTopic, name, text("retention.ms"), text("soon"))
		s.replace("unknown", ofTopic, name, text("no.such"), text("1"))
		s.replace("twice", ofTopic, name, text("retention.ms"), text("1"), text("retention.ms"), text("2"))
		// A resource that is named twice is left out: Kafka never answers.
		s.replace("unknown topic", ofTopic, "legacy-topic-configs-unknown", text("retention.ms"), text("1"))
		s.replace("bad topic", ofTopic, "a b", text("retention.ms"), text("1"))
		s.replace("empty topic", ofTopic, "", text("retention.ms"), text("1"))
		s.replace("unknown kind", 0, "x", text("retention.ms"), text("1"))
		s.replace("kind from the future", 99, "x", text("retention.ms"), text("1"))
		only := replaceConfigs(ofTopic, name, text("retention.ms"), text("55"))
		only.ValidateOnly = true
		ask[*kmsg.AlterConfigsResponse](s, "validate", s.version, only)
		s.settle("after what was refused", ofTopic, name, "retention.ms", "99", "cleanup.policy")
		s.replace("nothing left", ofTopic, name)
		s.settle("at last", ofTopic, name, "retention.ms", "604800000", "cleanup.policy")
	})
}}, {"loggers", func(s *side) {
	self := fmt.Sprint(s.node)
	root := func(op kmsg.IncrementalAlterConfigOp, value *string) change { return change{"root", op, value} }
	s.each(kmsg.IncrementalAlterConfigs, func(int16) {
		s.alter("set", ofLogger, self, root(set, text("WARN")))
		s.settle("described", ofLogger, self, "root", "WARN")
		s.alter("no level", ofLogger, self, root(set, text("LOUD")))
		s.alter("no logger", ofLogger, self, change{"nothing.of.that.name", set, text("INFO")})
		s.alter("delete", ofLogger, self, root(unset, nil))
		s.alter("append", ofLogger, self, root(add, text("INFO")))
		s.alter("another", ofLogger, "77", root(set, text("INFO")))
		s.alter("no broker", ofLogger, "", root(set, text("INFO")))
		ask[*kmsg.DescribeConfigsResponse](s, "describe another", 4, describeConfigs(ofLogger, "77"))
		ask[*kmsg.DescribeConfigsResponse](s, "describe no broker", 4, describeConfigs(ofLogger, ""))
		s.alter("set back", ofLogger, self, root(set, text("ERROR")))
		s.settle("described after", ofLogger, self, "root", "ERROR")
	})
}}}

// replaceAll leaves nothing of a subscription.
func (s *side) replaceAll(subscription string) {
	at := s.versions[int16(kmsg.AlterConfigs)]
	ask[*kmsg.AlterConfigsResponse](s, "replace", at[len(at)-1], replaceConfigs(ofMetrics, subscription, text("interval.ms"), text("2000")))
	s.settle("described then", ofMetrics, subscription, "interval.ms", "2000", "metrics", "match")
	if s.version == 0 { // the others stay to be listed
		ask[*kmsg.AlterConfigsResponse](s, "replace by nothing", at[len(at)-1], replaceConfigs(ofMetrics, subscription))
		s.settle("described at last", ofMetrics, subscription, "interval.ms", "300000", "metrics", "match")
	}
}

func listResources(kinds ...kmsg.ConfigResourceType) *kmsg.ListConfigResourcesRequest {
	req := kmsg.NewPtrListConfigResourcesRequest()
	for _, kind := range kinds {
		req.ResourceTypes = append(req.ResourceTypes, int8(kind))
	}
	return req
}
