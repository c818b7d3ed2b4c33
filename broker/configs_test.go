package broker

import (
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/metastore"
)

func describeRequest(kind kmsg.ConfigResourceType, name string, names ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kind, name, names
	req.Resources = append(req.Resources, resource)
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	return req
}

func TestDescribeConfigsOfTopics(t *testing.T) {
	h := newHarness(t, map[string]string{"log.retention.ms": "777"}, 0)
	_, err := h.replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "events", Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact", "runnel.linger.max.ms": "0"}})
	must(t, err)
	h.versions(32, func(t *testing.T, v int16) {
		got := ask[*kmsg.DescribeConfigsResponse](h, v, describeRequest(kmsg.ConfigResourceTypeTopic, "events", "cleanup.policy", "retention.ms", "runnel.linger.max.ms", "segment.bytes", "no.such"))
		configs := got.Resources[0].Configs
		equal(t, "settings", len(configs), 4)
		for i, want := range []struct {
			name, value string
			source      kmsg.ConfigSource
			synonyms    int
		}{
			{"cleanup.policy", "compact", kmsg.ConfigSourceDynamicTopicConfig, 2},
			{"retention.ms", "777", kmsg.ConfigSourceStaticBrokerConfig, 1},
			{"runnel.linger.max.ms", "0", kmsg.ConfigSourceDynamicTopicConfig, 1},
			{"segment.bytes", "1073741824", kmsg.ConfigSourceDefaultConfig, 1},
		} {
			c := configs[i]
			equal(t, "name", c.Name, want.name)
			equal(t, want.name, *c.Value, want.value)
			equal(t, "source of "+want.name, c.Source, want.source)
			equal(t, "synonyms of "+want.name, len(c.ConfigSynonyms), want.synonyms)
			if v >= 3 {
				equal(t, "documented "+want.name, c.Documentation != nil, true)
				equal(t, "typed "+want.name, c.ConfigType != kmsg.ConfigTypeUnknown, true)
			}
		}
		all := ask[*kmsg.DescribeConfigsResponse](h, v, describeRequest(kmsg.ConfigResourceTypeTopic, "events"))
		if n := len(all.Resources[0].Configs); n < 20 {
			t.Errorf("%d settings of a topic", n)
		}
	})
}

func TestDescribeConfigsOfBrokersAndOthers(t *testing.T) {
	h := newHarness(t, nil, 1)
	broker := ask[*kmsg.DescribeConfigsResponse](h, 4, describeRequest(kmsg.ConfigResourceTypeBroker, "0", "node.id", "advertised.listeners", "num.partitions")).Resources[0]
	equal(t, "error", broker.ErrorCode, 0)
	values := map[string]string{}
	for _, c := range broker.Configs {
		values[c.Name] = *c.Value
	}
	equal(t, "node.id", values["node.id"], "0")
	equal(t, "advertised.listeners", values["advertised.listeners"], "PLAINTEXT://broker0:9092")
	equal(t, "num.partitions", values["num.partitions"], "1")

	defaults := ask[*kmsg.DescribeConfigsResponse](h, 4, describeRequest(kmsg.ConfigResourceTypeBroker, "")).Resources[0]
	equal(t, "dynamic defaults", [2]int{int(defaults.ErrorCode), len(defaults.Configs)}, [2]int{0, 0})
	for _, c := range []struct {
		kind kmsg.ConfigResourceType
		name string
		want *kerr.Error
	}{
		{kmsg.ConfigResourceTypeBroker, "1", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBroker, "first", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBroker, "00", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBroker, "+0", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeTopic, "missing", kerr.UnknownTopicOrPartition},
		{kmsg.ConfigResourceTypeTopic, "bad name", kerr.InvalidTopicException},
		{kmsg.ConfigResourceTypeBrokerLogger, "0", kerr.InvalidRequest},
	} {
		got := ask[*kmsg.DescribeConfigsResponse](h, 4, describeRequest(c.kind, c.name)).Resources[0]
		equal(t, c.name, got.ErrorCode, c.want.Code)
	}
}

func TestIncrementalAlterConfigs(t *testing.T) {
	type change struct {
		name  string
		op    kmsg.IncrementalAlterConfigOp
		value string
	}
	const set, remove, add, subtract = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	h := newHarness(t, nil, 0)
	alter := func(v int16, validate bool, kind kmsg.ConfigResourceType, name string, changes ...change) int16 {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.ValidateOnly = validate
		resource := kmsg.NewIncrementalAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kind, name
		for _, c := range changes {
			config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			config.Name, config.Op, config.Value = c.name, c.op, &c.value
			resource.Configs = append(resource.Configs, config)
		}
		req.Resources = append(req.Resources, resource)
		return ask[*kmsg.IncrementalAlterConfigsResponse](h, v, req).Resources[0].ErrorCode
	}
	h.topic("events", 1, 1)
	value := func(name string) string {
		topic, _ := h.replica.Topic("events")
		return topic.Configs[name]
	}
	const topic = kmsg.ConfigResourceTypeTopic
	h.versions(44, func(t *testing.T, v int16) {
		equal(t, "validate", alter(v, true, topic, "events", change{"retention.ms", set, "5"}), 0)
		equal(t, "after validation", value("retention.ms"), "")
		equal(t, "set", alter(v, false, topic, "events", change{"retention.ms", set, "5"}, change{"cleanup.policy", add, "compact"}), 0)
		equal(t, "set", value("retention.ms"), "5")
		equal(t, "appended to the default", value("cleanup.policy"), "delete,compact")
		equal(t, "subtract", alter(v, false, topic, "events", change{"cleanup.policy", subtract, "delete"}), 0)
		equal(t, "subtracted", value("cleanup.policy"), "compact")
		equal(t, "delete", alter(v, false, topic, "events", change{"retention.ms", remove, ""}, change{"cleanup.policy", remove, ""}), 0)
		current, _ := h.replica.Topic("events")
		equal(t, "overrides left", len(current.Configs), 0)
		equal(t, "delete what is not known", alter(v, false, topic, "events", change{"no.such", remove, ""}), 0)
		for name, c := range map[string]struct {
			got  int16
			want *kerr.Error
		}{
			"bad linger":        {alter(v, false, topic, "events", change{"runnel.linger.max.ms", set, "-2"}), kerr.InvalidConfig},
			"bad value":         {alter(v, false, topic, "events", change{"retention.ms", set, "x"}, change{"segment.bytes", set, "1048576"}), kerr.InvalidConfig},
			"unknown":           {alter(v, false, topic, "events", change{"no.such", set, "x"}), kerr.InvalidConfig},
			"empty topic name":  {alter(v, false, topic, "", change{"retention.ms", set, "1"}), kerr.InvalidRequest},
			"append to no list": {alter(v, false, topic, "events", change{"retention.ms", add, "5"}), kerr.InvalidConfig},
			"twice":             {alter(v, false, topic, "events", change{"retention.ms", set, "1"}, change{"retention.ms", set, "2"}), kerr.InvalidRequest},
			"operation":         {alter(v, false, topic, "events", change{"retention.ms", 9, "1"}), kerr.InvalidRequest},
			"missing topic":     {alter(v, false, topic, "missing", change{"retention.ms", set, "1"}), kerr.UnknownTopicOrPartition},
			"broker":            {alter(v, false, kmsg.ConfigResourceTypeBroker, "0", change{"num.partitions", set, "1"}), kerr.InvalidRequest},
		} {
			equal(t, name, c.got, c.want.Code)
		}
		current, _ = h.replica.Topic("events")
		equal(t, "overrides after refusals", len(current.Configs), 0)
	})
}

func TestAlteredList(t *testing.T) {
	for _, c := range []struct {
		list, words string
		add         bool
		want        []string
	}{
		{"", "a", true, []string{"a"}},
		{"a, b", "b,c", true, []string{"a", "b", "c"}},
		{"a,b,c", "b,x", false, []string{"a", "c"}},
		{"a", "a", false, nil},
	} {
		if got := listWords(alteredList(c.list, c.words, c.add)); !slices.Equal(got, c.want) {
			t.Errorf("%q and %q: got %v, want %v", c.list, c.words, got, c.want)
		}
	}
}

func TestBrokersTellTheirStateToWhoAsksByName(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.broker.Roles = func() []Role { return []Role{{"sequencer", 7}, {"compactor", 2}} }
	names := []string{VersionSetting, EpochSetting, LeaseLeftSetting, RolesSetting, RolesSetting, "node.id", "no.such"}
	h.versions(32, func(t *testing.T, v int16) {
		found := map[string]string{}
		for _, c := range ask[*kmsg.DescribeConfigsResponse](h, v, describeRequest(kmsg.ConfigResourceTypeBroker, "0", names...)).Resources[0].Configs {
			if _, twice := found[c.Name]; twice {
				t.Errorf("%s is there twice", c.Name)
			}
			equal(t, c.Name+" is read-only", c.ReadOnly, true)
			found[c.Name] = *c.Value
		}
		equal(t, "settings", len(found), 5)
		equal(t, "roles", found[RolesSetting], "sequencer:7,compactor:2")
		equal(t, "epoch", found[EpochSetting], "1")
		if left, err := strconv.Atoi(found[LeaseLeftSetting]); err != nil || left <= 0 || left > 6000 {
			t.Errorf("the lease has %q ms left", found[LeaseLeftSetting])
		}
	})
	for _, c := range ask[*kmsg.DescribeConfigsResponse](h, 4, describeRequest(kmsg.ConfigResourceTypeBroker, "0")).Resources[0].Configs {
		if slices.Contains(names[:4], c.Name) {
			t.Errorf("%s is among all settings", c.Name)
		}
	}
	for _, name := range []string{"", "1", "x"} {
		got := ask[*kmsg.DescribeConfigsResponse](h, 4, describeRequest(kmsg.ConfigResourceTypeBroker, name, names...)).Resources[0]
		equal(t, "settings of broker "+name, len(got.Configs), 0)
	}
}

func TestParseRoles(t *testing.T) {
	for text, want := range map[string][]Role{
		"":                          nil,
		"sequencer:7":               {{"sequencer", 7}},
		"sequencer:7,compactor:12":  {{"sequencer", 7}, {"compactor", 12}},
		"sequencer,:5,x:y,,later:1": {{"later", 1}},
	} {
		if got := ParseRoles(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
