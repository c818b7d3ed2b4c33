package broker

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/metastore"
)

const (
	ofTopic   = kmsg.ConfigResourceTypeTopic
	ofBroker  = kmsg.ConfigResourceTypeBroker
	ofLogger  = kmsg.ConfigResourceTypeBrokerLogger
	ofMetrics = kmsg.ConfigResourceTypeClientMetrics
	ofGroup   = kmsg.ConfigResourceTypeGroupConfig
)

// operation is "name=value" to set, "-name" to delete, "name+=value" to append, "name-=value" to subtract.
type operation string

func (o operation) config() kmsg.IncrementalAlterConfigsRequestResourceConfig {
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	if name, ok := strings.CutPrefix(string(o), "-"); ok {
		c.Name, c.Op = name, kmsg.IncrementalAlterConfigOpDelete
		return c
	}
	name, value, _ := strings.Cut(string(o), "=")
	c.Op = kmsg.IncrementalAlterConfigOpSet
	if n, ok := strings.CutSuffix(name, "+"); ok {
		name, c.Op = n, kmsg.IncrementalAlterConfigOpAppend
	} else if n, ok := strings.CutSuffix(name, "-"); ok {
		name, c.Op = n, kmsg.IncrementalAlterConfigOpSubtract
	}
	c.Name, c.Value = name, &value
	return c
}

// alter asks for changes of one resource and returns Kafka's error, or "".
func (h *harness) alter(v int16, kind kmsg.ConfigResourceType, name string, operations ...operation) string {
	h.t.Helper()
	return errorOf(h.altered(v, false, kind, name, operations...).ErrorCode)
}

func (h *harness) altered(v int16, validate bool, kind kmsg.ConfigResourceType, name string, operations ...operation) kmsg.IncrementalAlterConfigsResponseResource {
	h.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, o := range operations {
		r.Configs = append(r.Configs, o.config())
	}
	req.Resources, req.ValidateOnly = append(req.Resources, r), validate
	return ask[*kmsg.IncrementalAlterConfigsResponse](h, v, req).Resources[0]
}

// replace sends the legacy request: names and values.
func (h *harness) replace(v int16, kind kmsg.ConfigResourceType, name string, pairs ...string) string {
	h.t.Helper()
	req := kmsg.NewPtrAlterConfigsRequest()
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, pair := range pairs {
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		key, value, ok := strings.Cut(pair, "=")
		if c.Name = key; ok {
			c.Value = &value
		}
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	return errorOf(ask[*kmsg.AlterConfigsResponse](h, v, req).Resources[0].ErrorCode)
}

func errorOf(code int16) string {
	if code == 0 {
		return ""
	}
	return kerr.ErrorForCode(code).(*kerr.Error).Message
}

// described is "name=value@source" of what a resource has set, or of the names asked for, sorted.
func (h *harness) described(kind kmsg.ConfigResourceType, name string, names ...string) string {
	h.t.Helper()
	r := ask[*kmsg.DescribeConfigsResponse](h, 4, describeRequest(kind, name, names...)).Resources[0]
	if r.ErrorCode != 0 {
		return errorOf(r.ErrorCode)
	}
	var all []string
	for _, c := range r.Configs {
		isStatic := c.Source == kmsg.ConfigSourceStaticBrokerConfig || c.Source == kmsg.ConfigSourceDefaultConfig
		if len(names) > 0 || !isStatic {
			all = append(all, fmt.Sprintf("%s=%s@%d", c.Name, deref(c.Value), c.Source))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestDynamicBrokerConfigs(t *testing.T) {
	h := newHarness(t, map[string]string{"log.retention.hours": "1"}, 1)
	h.topic("events", 1, 1)
	for v := range int16(2) {
		equal(t, "set for all", h.alter(v, ofBroker, "", "log.retention.ms=600", "log.cleanup.policy+=compact"), "")
		equal(t, "set for one", h.alter(v, ofBroker, "0", "log.retention.ms=500"), "")
		equal(t, "all", h.described(ofBroker, ""), "log.cleanup.policy=delete,compact@3 log.retention.ms=600@3")
		equal(t, "one", h.described(ofBroker, "0", "log.retention.ms", "log.retention.hours", "log.cleanup.policy"),
			"log.cleanup.policy=delete,compact@3 log.retention.hours=1@4 log.retention.ms=500@2")
		equal(t, "a topic", h.described(ofTopic, "events", "retention.ms", "cleanup.policy"), "cleanup.policy=delete,compact@3 retention.ms=500@2")
		equal(t, "validated", h.altered(v, true, ofBroker, "", "message.max.bytes=9").ErrorCode, 0)
		equal(t, "in force", h.broker.Settings.Load().Topic(nil).MaxMessageBytes, 1048588)
		equal(t, "deleted", h.alter(v, ofBroker, "0", "-log.retention.ms", "-no.such", "-num.partitions"), "")
		equal(t, "a topic again", h.described(ofTopic, "events", "retention.ms"), "retention.ms=600@3")
		equal(t, "deleted for all", h.alter(v, ofBroker, "", "-log.retention.ms", "-log.cleanup.policy"), "")
		equal(t, "a topic at last", h.described(ofTopic, "events", "retention.ms"), "retention.ms=3600000@4")
		for _, c := range []struct {
			name string
			op   operation
			want string
		}{
			{"", "num.partitions=5", "INVALID_REQUEST"},
			{"0", "num.partitions=5", "INVALID_REQUEST"},
			{"", "log.retention.hours=5", "INVALID_REQUEST"},
			{"", "node.id=5", "INVALID_REQUEST"},
			{"", "message.max.bytes=x", "INVALID_REQUEST"},
			{"", "message.max.bytes=-1", "INVALID_REQUEST"},
			{"", "log.retention.ms=", "INVALID_REQUEST"},
			{"", "log.retention.ms+=1", "INVALID_CONFIG"},
			{"", "no.such=1", "INVALID_CONFIG"},
			{"1", "log.retention.ms=1", "INVALID_REQUEST"},
			{"me", "log.retention.ms=1", "INVALID_REQUEST"},
		} {
			equal(t, string(c.op)+" on "+c.name, h.alter(v, ofBroker, c.name, c.op), c.want)
		}
		equal(t, "after refusals", h.described(ofBroker, ""), "")
	}
	text := deref(h.altered(1, false, ofBroker, "", "num.partitions=5").ErrorMessage)
	if !strings.HasPrefix(text, "Cannot update these configs dynamically: [num.partitions]") {
		t.Errorf("the refusal says %q", text)
	}
}

func TestDynamicDefaultsActOnTheNextRequest(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	produced := func() string {
		req := produceRequest(topic, 0, testBatch(20))
		return errorOf(ask[*kmsg.ProduceResponse](h.harness, 12, req).Topics[0].Partitions[0].ErrorCode)
	}
	equal(t, "before", produced(), "")
	equal(t, "set", h.alter(1, ofBroker, "", "message.max.bytes=100"), "")
	equal(t, "after", produced(), "MESSAGE_TOO_LARGE")
	equal(t, "deleted", h.alter(1, ofBroker, "", "-message.max.bytes"), "")
	equal(t, "without", produced(), "")
}

func TestGroupConfigs(t *testing.T) {
	h := newHarness(t, nil, 0)
	const defaults = "consumer.heartbeat.interval.ms=5000@5 consumer.session.timeout.ms=45000@5"
	names := []string{"consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"}
	equal(t, "defaults", h.described(ofGroup, "g", names...), defaults)
	equal(t, "set", h.alter(1, ofGroup, "g", "consumer.session.timeout.ms=50000", "consumer.heartbeat.interval.ms=9000"), "")
	equal(t, "described", h.described(ofGroup, "g", names...), "consumer.heartbeat.interval.ms=9000@8 consumer.session.timeout.ms=50000@8")
	equal(t, "another", h.described(ofGroup, "h", names...), defaults)
	for _, c := range []struct {
		name string
		op   operation
		want string
	}{
		{"g", "consumer.session.timeout.ms=1", "INVALID_CONFIG"},
		{"g", "consumer.session.timeout.ms=99999999", "INVALID_CONFIG"},
		{"g", "consumer.heartbeat.interval.ms=x", "INVALID_CONFIG"},
		{"g", "consumer.heartbeat.interval.ms+=6000", "INVALID_CONFIG"},
		{"g", "share.session.timeout.ms=50000", "INVALID_CONFIG"},
		{"g", "streams.num.standby.replicas=1", "INVALID_CONFIG"},
		{"g", "no.such=1", "INVALID_CONFIG"},
		{"g", "-no.such", ""},
		{"", "consumer.session.timeout.ms=50000", "INVALID_REQUEST"},
		{strings.Repeat("g", 2000), "consumer.session.timeout.ms=50000", "INVALID_REQUEST"},
		{"\xff", "consumer.session.timeout.ms=50000", "INVALID_REQUEST"},
	} {
		equal(t, string(c.op), h.alter(1, ofGroup, c.name, c.op), c.want)
	}
	equal(t, "no group", h.described(ofGroup, ""), "INVALID_REQUEST")
	equal(t, "replaced", h.replace(2, ofGroup, "g", "consumer.session.timeout.ms=48000"), "")
	equal(t, "after replacement", h.described(ofGroup, "g", names...), "consumer.heartbeat.interval.ms=5000@5 consumer.session.timeout.ms=48000@8")
}

func TestClientMetricsConfigs(t *testing.T) {
	h := newHarness(t, nil, 0)
	names := []string{"interval.ms", "match", "metrics"}
	equal(t, "defaults", h.described(ofMetrics, "m", names...), "interval.ms=300000@5 match=@5 metrics=@5")
	equal(t, "set", h.alter(0, ofMetrics, "m", "interval.ms=1000", "metrics=a.b,c", "match=client_id=app.*,client_source_port=[0-9]+"), "")
	equal(t, "described", h.described(ofMetrics, "m", names...), "interval.ms=1000@7 match=client_id=app.*,client_source_port=[0-9]+@7 metrics=a.b,c@7")
	for _, c := range []struct {
		name string
		op   operation
		want string
	}{
		{"m", "interval.ms=99", "INVALID_REQUEST"},
		{"m", "interval.ms=3600001", "INVALID_REQUEST"},
		{"m", "interval.ms=x", "INVALID_CONFIG"},
		{"m", "metrics+=e", "INVALID_CONFIG"},
		{"m", "match=client_id=[", "INVALID_CONFIG"},
		{"m", "match=client_id", "INVALID_CONFIG"},
		{"m", "match=client_id=", "INVALID_CONFIG"},
		{"m", "match=client_id=a=b", "INVALID_CONFIG"},
		{"m", "match=foo=bar", "INVALID_CONFIG"},
		{"m", "match=client_id=" + operation(strings.Repeat("(x{900}){900}", 10)), "INVALID_CONFIG"},
		{"m", operation("metrics=" + strings.Repeat("x", longestConfigValue+1)), "INVALID_CONFIG"},
		{"m", "no.such=1", "INVALID_REQUEST"},
		{"", "interval.ms=1000", "INVALID_REQUEST"},
	} {
		equal(t, string(c.op[:min(len(c.op), 40)]), h.alter(1, ofMetrics, c.name, c.op), c.want)
	}
	equal(t, "subscriptions", h.replica.ConfigResources(metastore.ClientMetricsConfig)[0], "m")
	equal(t, "emptied", h.replace(0, ofMetrics, "m"), "")
	equal(t, "subscriptions left", len(h.replica.ConfigResources(metastore.ClientMetricsConfig)), 0)
}

func TestAlterConfigsReplacesAll(t *testing.T) {
	h := newHarness(t, nil, 0)
	for v := range int16(3) {
		name := fmt.Sprint("events-", v)
		_, err := h.replica.CreateTopic(t.Context(), metastore.NewTopic{Name: name, Partitions: 1, Configs: map[string]string{"retention.ms": "5", "segment.ms": "6"}})
		must(t, err)
		equal(t, "replaced", h.replace(v, ofTopic, name, "retention.ms=7"), "")
		equal(t, "topic", h.described(ofTopic, name), "retention.ms=7@1")
		for _, c := range []struct {
			kind  kmsg.ConfigResourceType
			name  string
			pairs []string
			want  string
		}{
			{ofTopic, name, []string{"retention.ms"}, "INVALID_REQUEST"}, // null
			{ofTopic, name, []string{"retention.ms=1", "retention.ms=2"}, "INVALID_REQUEST"},
			{ofTopic, name, []string{"retention.ms=x"}, "INVALID_CONFIG"},
			{ofTopic, name, []string{"no.such=1"}, "INVALID_CONFIG"},
			{ofTopic, name, []string{"min.compaction.lag.ms=9", "max.compaction.lag.ms=8"}, "INVALID_CONFIG"},
			{ofTopic, "missing", nil, "UNKNOWN_TOPIC_OR_PARTITION"},
			{ofTopic, "", nil, "INVALID_REQUEST"},
			{ofTopic, "a b", nil, "INVALID_TOPIC_EXCEPTION"},
			{ofBroker, "", []string{"num.partitions=1"}, "INVALID_REQUEST"},
			{ofBroker, "77", nil, "INVALID_REQUEST"},
			{ofLogger, "0", []string{"root=INFO"}, "INVALID_REQUEST"},
			{0, "x", nil, "INVALID_REQUEST"},
			{99, "x", nil, "INVALID_REQUEST"},
		} {
			equal(t, fmt.Sprint(c.kind, c.name, c.pairs), h.replace(v, c.kind, c.name, c.pairs...), c.want)
		}
		equal(t, "after refusals", h.described(ofTopic, name), "retention.ms=7@1")
		equal(t, "emptied", h.replace(v, ofTopic, name), "")
		equal(t, "nothing is set", h.described(ofTopic, name), "")
		equal(t, "brokers", h.replace(v, ofBroker, "", "log.retention.ms=7", "max.connections=100"), "")
		equal(t, "brokers again", h.replace(v, ofBroker, "", "max.connections=101"), "")
		equal(t, "set on brokers", h.described(ofBroker, ""), "max.connections=101@3")
		equal(t, "brokers emptied", h.replace(v, ofBroker, ""), "")
		equal(t, "nothing is set on brokers", h.described(ofBroker, ""), "")
	}
}

func TestConfigsOfWhatAnotherBrokerHasJustMadeAreAltered(t *testing.T) {
	h := newHarness(t, nil, 0)
	other := metastore.NewReplica(h.store, metastore.ReplicaOptions{})
	must(t, other.Open(t.Context()))
	for _, name := range []string{"one", "two"} {
		_, err := other.CreateTopic(t.Context(), metastore.NewTopic{Name: name, Partitions: 1, Configs: map[string]string{"retention.ms": "5"}})
		must(t, err)
	}
	equal(t, "altered", h.alter(1, ofTopic, "one", "segment.ms=7"), "")
	equal(t, "described", h.described(ofTopic, "one"), "retention.ms=5@1 segment.ms=7@1")
	_, err := other.CreateTopic(t.Context(), metastore.NewTopic{Name: "three", Partitions: 1, Configs: map[string]string{"retention.ms": "5"}})
	must(t, err)
	equal(t, "replaced", h.replace(2, ofTopic, "three", "segment.ms=7"), "")
	equal(t, "described after", h.described(ofTopic, "three"), "segment.ms=7@1")
}

func TestLevelsOfTheLogAreChangedLive(t *testing.T) {
	h := newHarness(t, nil, 0)
	equal(t, "fixed", h.alter(1, ofLogger, "0", "root=DEBUG"), "INVALID_REQUEST")
	h.broker.LogLevel = new(slog.LevelVar)
	equal(t, "at first", h.described(ofLogger, "0"), "root=INFO@6")
	equal(t, "validated", h.altered(1, true, ofLogger, "0", "root=DEBUG").ErrorCode, 0)
	equal(t, "level after validation", h.broker.LogLevel.Level(), slog.LevelInfo)
	for _, name := range []string{"TRACE", "WARN", "ERROR", "FATAL", "DEBUG"} {
		equal(t, name, h.alter(1, ofLogger, "0", operation("root="+name)), "")
		equal(t, "described", h.described(ofLogger, "0"), "root="+name+"@6")
	}
	equal(t, "level", h.broker.LogLevel.Level(), slog.LevelDebug)
	for _, c := range []struct {
		name string
		op   operation
		want string
	}{
		{"0", "-root", "INVALID_REQUEST"},
		{"0", "root=LOUD", "INVALID_CONFIG"},
		{"0", "kafka.server=INFO", "INVALID_CONFIG"},
		{"0", "root+=INFO", "INVALID_REQUEST"},
		{"1", "root=INFO", "INVALID_REQUEST"},
		{"", "root=INFO", "INVALID_REQUEST"},
	} {
		equal(t, string(c.op)+" on "+c.name, h.alter(1, ofLogger, c.name, c.op), c.want)
	}
}

func TestListConfigResources(t *testing.T) {
	h := newHarness(t, nil, 1)
	h.topic("b", 1, 1)
	h.topic("a", 1, 1)
	equal(t, "group", h.alter(1, ofGroup, "g", "consumer.session.timeout.ms=50000"), "")
	equal(t, "metrics", h.alter(1, ofMetrics, "m", "metrics=*"), "")
	list := func(v int16, kinds ...int8) string {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.ResourceTypes = kinds
		resp := ask[*kmsg.ListConfigResourcesResponse](h, v, req)
		text := errorOf(resp.ErrorCode)
		for _, r := range resp.ConfigResources {
			if text += " " + r.Name; v > 0 {
				text += fmt.Sprint("@", r.Type)
			}
		}
		return text
	}
	for name, c := range map[string]struct{ got, want string }{
		"v0":       {list(0), " m"},
		"all":      {list(1), " g@32 m@16 0@8 1@8 0@4 1@4 a@2 b@2"},
		"some":     {list(1, 2, 32, 2), " g@32 a@2 b@2"},
		"unknown":  {list(1, 16, 3), "UNSUPPORTED_VERSION"},
		"negative": {list(1, -1), "UNSUPPORTED_VERSION"},
	} {
		equal(t, name, c.got, c.want)
	}
}

// Terraform's provider and others compare what they set with what is shown as set.
func TestConfigsThatNobodySetAreNotShownAsSet(t *testing.T) {
	h := newHarness(t, nil, 0)
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "events", 1, 1
	for name, value := range map[string]string{"retention.ms": "604800000", "cleanup.policy": "compact"} { // the first is the default
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, &value
		topic.Configs = append(topic.Configs, c)
	}
	req.Topics = append(req.Topics, topic)
	equal(t, "all brokers", h.alter(1, ofBroker, "", "log.segment.bytes=2000000"), "")
	created := ask[*kmsg.CreateTopicsResponse](h, 7, req).Topics[0]
	equal(t, "created", created.ErrorCode, 0)
	sources := map[string]int8{}
	for _, c := range created.Configs {
		sources[c.Name] = c.Source
	}
	for name, want := range map[string]int8{"retention.ms": 1, "cleanup.policy": 1, "segment.bytes": 3, "segment.ms": 5} {
		equal(t, "source of "+name, sources[name], want)
	}
	const set = "cleanup.policy=compact@1 retention.ms=604800000@1"
	equal(t, "described", h.described(ofTopic, "events"), set+" segment.bytes=2000000@3")
	equal(t, "all brokers", h.alter(1, ofBroker, "", "-log.segment.bytes"), "")
	for range 2 {
		equal(t, "the same again", h.replace(0, ofTopic, "events", "retention.ms=604800000", "cleanup.policy=compact"), "")
		equal(t, "described", h.described(ofTopic, "events"), set)
	}
	equal(t, "altered", h.replace(0, ofTopic, "events", "retention.ms=5"), "")
	equal(t, "described", h.described(ofTopic, "events"), "retention.ms=5@1")
}

func TestWhatIsSetOnBrokersAndGroupsIsBounded(t *testing.T) {
	h := newHarness(t, nil, 0)
	var changes []metastore.ConfigChange
	for i := range metastore.MaxConfigResources {
		changes = append(changes, metastore.ConfigChange{
			ConfigResource: metastore.ConfigResource{Kind: metastore.GroupConfig, Name: fmt.Sprint(i)},
			Set:            map[string]string{"consumer.session.timeout.ms": "50000"},
		})
	}
	must(t, h.replica.AlterConfigs(t.Context(), changes))
	equal(t, "one more", h.alter(1, ofGroup, "one more", "consumer.session.timeout.ms=50000"), "POLICY_VIOLATION")
	equal(t, "one that is there", h.alter(1, ofGroup, "7", "consumer.session.timeout.ms=50001"), "")
}
