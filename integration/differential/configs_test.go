package differential

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeConfigs(kind kmsg.ConfigResourceType, resource string, names ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, resource, names
	req.Resources = append(req.Resources, r)
	return req
}

type change struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

func alterConfigs(kind kmsg.ConfigResourceType, resource string, changes ...change) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, resource
	for _, c := range changes {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Op, config.Value = c.name, c.op, c.value
		r.Configs = append(r.Configs, config)
	}
	req.Resources = append(req.Resources, r)
	return req
}

const (
	ofTopic  = kmsg.ConfigResourceTypeTopic
	ofBroker = kmsg.ConfigResourceTypeBroker
	set      = kmsg.IncrementalAlterConfigOpSet
	unset    = kmsg.IncrementalAlterConfigOpDelete
	add      = kmsg.IncrementalAlterConfigOpAppend
	subtract = kmsg.IncrementalAlterConfigOpSubtract
)

var configScripts = []script{{"describe-configs", func(s *side) {
	s.topic("describe-configs", 1, "retention.ms", "1234", "cleanup.policy", "compact,delete")
	self := fmt.Sprint(s.node)
	s.each(kmsg.DescribeConfigs, func(v int16) {
		describe := func(label string, req *kmsg.DescribeConfigsRequest) {
			ask[*kmsg.DescribeConfigsResponse](s, label, v, req)
		}
		describe("topic", describeConfigs(ofTopic, "describe-configs"))
		all := describeConfigs(ofTopic, "describe-configs")
		all.IncludeSynonyms, all.IncludeDocumentation = true, true
		describe("topic with synonyms", all)
		describe("some", describeConfigs(ofTopic, "describe-configs", "retention.ms", "max.message.bytes", "no.such"))
		none := describeConfigs(ofTopic, "describe-configs")
		none.Resources[0].ConfigNames = []string{}
		describe("no names", none)
		describe("unknown topic", describeConfigs(ofTopic, "describe-configs-unknown"))
		describe("bad topic", describeConfigs(ofTopic, "a b"))
		describe("empty topic", describeConfigs(ofTopic, ""))
		broker := describeConfigs(ofBroker, self, "num.partitions", "auto.create.topics.enable", "log.retention.ms", "log.retention.hours",
			"message.max.bytes", "log.cleanup.policy", "offset.metadata.max.bytes", "group.max.session.timeout.ms", "no.such")
		broker.IncludeSynonyms = true
		describe("broker", broker)
		describe("one setting of a broker", describeConfigs(ofBroker, self, "default.replication.factor"))
		describe("other broker", describeConfigs(ofBroker, "77"))
		describe("no broker", describeConfigs(ofBroker, "me"))
		describe("unknown kind", describeConfigs(0, "x"))
		describe("kind from the future", describeConfigs(99, "x"))
		twice := describeConfigs(ofTopic, "describe-configs", "retention.ms")
		twice.Resources = append(twice.Resources, twice.Resources[0])
		describe("twice", twice)
		describe("nothing", kmsg.NewPtrDescribeConfigsRequest())
	})
}}, {"alter-configs", func(s *side) {
	s.each(kmsg.IncrementalAlterConfigs, func(v int16) {
		name := s.named("topic")
		s.topic(name, 1, "retention.ms", "1234")
		alter := func(label string, changes ...change) {
			ask[*kmsg.IncrementalAlterConfigsResponse](s, label, v, alterConfigs(ofTopic, name, changes...))
		}
		state := func(label, config, value string) {
			s.until(config+" of "+name, func() bool {
				configs := quiet[*kmsg.DescribeConfigsResponse](s, 4, describeConfigs(ofTopic, name, config)).Resources[0].Configs
				return len(configs) == 1 && configs[0].Value != nil && *configs[0].Value == value
			})
			req := describeConfigs(ofTopic, name, "retention.ms", "cleanup.policy", "max.message.bytes")
			req.IncludeSynonyms = true
			ask[*kmsg.DescribeConfigsResponse](s, label, 4, req)
		}
		alter("set", change{"retention.ms", set, text("99")}, change{"max.message.bytes", set, text("5000")})
		state("after set", "retention.ms", "99")
		alter("delete", change{"retention.ms", unset, nil})
		state("after delete", "retention.ms", "604800000")
		alter("delete what is not set", change{"segment.ms", unset, nil})
		alter("delete with a value", change{"max.message.bytes", unset, text("17")})
		alter("delete the unknown", change{"no.such", unset, nil})
		alter("append to the default", change{"cleanup.policy", add, text("compact")})
		state("after append", "cleanup.policy", "delete,compact")
		alter("append what is there", change{"cleanup.policy", add, text("compact")})
		alter("subtract", change{"cleanup.policy", subtract, text("delete")})
		state("after subtract", "cleanup.policy", "compact")
		alter("subtract what is not there", change{"cleanup.policy", subtract, text("delete")})
		alter("append to a number", change{"retention.ms", add, text("1")})
		alter("subtract from a number", change{"retention.ms", subtract, text("1")})
		alter("append nonsense", change{"cleanup.policy", add, text("shrink")})
		alter("set null", change{"retention.ms", set, nil})
		alter("append null", change{"cleanup.policy", add, nil})
		alter("set empty", change{"retention.ms", set, text("")})
		alter("set nonsense", change{"retention.ms", set, text("soon")})
		alter("set too low", change{"retention.ms", set, text("-2")})
		alter("set the unknown", change{"no.such", set, text("1")})
		alter("unknown op", change{"retention.ms", 9, text("1")})
		alter("one good, one bad", change{"retention.ms", set, text("77")}, change{"no.such", set, text("1")})
		alter("same twice", change{"retention.ms", set, text("77")}, change{"retention.ms", set, text("78")})
		alter("no changes")
		state("after what was refused", "cleanup.policy", "compact")
		only := alterConfigs(ofTopic, name, change{"retention.ms", set, text("55")})
		only.ValidateOnly = true
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "validate", v, only)
		onlyBad := alterConfigs(ofTopic, name, change{"retention.ms", set, text("x")})
		onlyBad.ValidateOnly = true
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "validate bad", v, onlyBad)
		state("after validate", "cleanup.policy", "compact")
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "unknown topic", v, alterConfigs(ofTopic, "alter-configs-unknown", change{"retention.ms", set, text("1")}))
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "bad topic", v, alterConfigs(ofTopic, "a b", change{"retention.ms", set, text("1")}))
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "empty topic", v, alterConfigs(ofTopic, "", change{"retention.ms", set, text("1")}))
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "other broker", v, alterConfigs(ofBroker, "77", change{"log.retention.ms", set, text("1")}))
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "no broker", v, alterConfigs(ofBroker, "me", change{"log.retention.ms", set, text("1")}))
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "unknown kind", v, alterConfigs(0, "x", change{"retention.ms", set, text("1")}))
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "kind from the future", v, alterConfigs(99, "x", change{"retention.ms", set, text("1")}))
		twice := alterConfigs(ofTopic, name, change{"retention.ms", set, text("1")})
		twice.Resources = append(twice.Resources, twice.Resources[0])
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "twice", v, twice)
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "nothing", v, kmsg.NewPtrIncrementalAlterConfigsRequest())
	})
}}}
