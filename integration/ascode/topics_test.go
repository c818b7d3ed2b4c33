package ascode

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// topic is a kafka_topic.
type topic struct {
	name               string
	partitions, factor int
	config             map[string]string
}

func (k topic) address() string { return "kafka_topic." + k.name }

func (k topic) String() string {
	var config strings.Builder
	for _, name := range slices.Sorted(maps.Keys(k.config)) {
		fmt.Fprintf(&config, "    %q = %q\n", name, k.config[name])
	}
	text := fmt.Sprintf("resource \"kafka_topic\" %q {\n  name = %q\n  partitions = %d\n  replication_factor = %d\n", k.name, k.name, k.partitions, k.factor)
	if len(k.config) > 0 {
		text += "  config = {\n" + config.String() + "  }\n"
	}
	return text + "}\n"
}

func text(topics ...topic) string {
	var all strings.Builder
	for _, k := range topics {
		all.WriteString(k.String())
	}
	return all.String()
}

// metadata is what a broker says of a topic now: clients remember it for a while.
func (c *cluster) metadata(topic string) kadm.TopicDetail {
	c.t.Helper()
	client, err := harness.Client(c.t, kgo.SeedBrokers(c.brokers[0].Listeners[open]))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(harness.Soon(c.t), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	return topics[topic]
}

// is holds the cluster to what a topic is said to be: settings, and no others; partitions; replicas. It returns the id, which
// is another one if the topic was made anew.
func (c *cluster) is(want topic) kadm.TopicID {
	c.t.Helper()
	var got kadm.TopicDetail
	fits := func() bool {
		got = c.metadata(want.name)
		return len(got.Partitions) == want.partitions && !slices.ContainsFunc(got.Partitions.Sorted(), func(p kadm.PartitionDetail) bool { return len(p.Replicas) != want.factor })
	}
	// The broker that is asked may hear of it a moment later than the one that Terraform asked.
	eventually(c.t, fmt.Sprintf("%s has %d partitions of %d replicas", want.name, want.partitions, want.factor), fits)
	described, err := c.admin.DescribeTopicConfigs(harness.Soon(c.t), want.name)
	if err != nil {
		c.t.Fatal(err)
	}
	set := make(map[string]string)
	for _, config := range described[0].Configs {
		if config.Source == kmsg.ConfigSourceDynamicTopicConfig {
			set[config.Key] = config.MaybeValue()
		}
	}
	if !maps.Equal(set, want.config) {
		c.t.Errorf("%s has the settings %v, want %v", want.name, set, want.config)
	}
	return got.ID
}

// TestTopicsAsCode: a topic's settings, partitions and replication factor change in place, what others change is noticed and put
// right, and its records and id stay through all of it.
func TestTopicsAsCode(t *testing.T) {
	t.Parallel()
	c := openCluster(t, 3)
	w := newWorkspace(t, c)
	orders := topic{"orders", 3, 3, map[string]string{
		"cleanup.policy": "compact", "compression.type": "zstd", "retention.ms": "604800000", // the last is what it is without
		"min.insync.replicas": "2", "segment.ms": "20000", "max.message.bytes": "2097152", "min.cleanable.dirty.ratio": "0.1",
	}}
	plain := topic{"plain", 1, 1, nil}
	w.apply(text(orders, plain), each(create, orders.address(), plain.address()))
	id := c.is(orders)
	c.is(plain)
	const records = 30
	c.fill("orders", records)

	step := func(what string, want changes) {
		t.Helper()
		t.Log(what)
		w.apply(text(orders, plain), want)
		if now := c.is(orders); now != id {
			t.Fatalf("%s: the topic was made anew", what)
		}
	}
	orders.config = maps.Clone(orders.config)
	orders.config["retention.ms"] = "86400000"
	step("a setting is changed", each(update, orders.address()))
	delete(orders.config, "segment.ms")
	orders.config["delete.retention.ms"] = "1000"
	step("one is left out, one comes", each(update, orders.address()))
	orders.partitions = 6
	step("partitions are added", each(update, orders.address()))
	orders.factor = 2
	step("fewer replicas", each(update, orders.address()))
	orders.factor = 3
	step("more replicas", each(update, orders.address()))
	orders.config["cleanup.policy"] = "compact,delete"
	orders.partitions, orders.factor = 9, 1
	plain.config = map[string]string{"retention.bytes": "1073741824"}
	step("all of it at once", each(update, orders.address(), plain.address()))
	orders.config = nil
	step("no settings", each(update, orders.address()))

	// What is set for all topics is nobody's drift.
	if _, err := c.admin.AlterBrokerConfigs(harness.Soon(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.retention.ms", Value: kadm.StringPtr("3600000")}}); err != nil {
		t.Fatal(err)
	}
	w.steady(text(orders, plain))

	// What somebody else changed on a topic is, and is put right in place.
	for _, by := range []func() error{
		func() error {
			_, err := c.admin.AlterTopicConfigs(harness.Soon(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("1000000")}}, "orders")
			return err
		},
		func() error {
			_, err := c.admin.AlterTopicConfigs(harness.Soon(t), []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "retention.bytes"}}, "plain")
			return err
		},
	} {
		if err := by(); err != nil {
			t.Fatal(err)
		}
	}
	todo, drift := w.plan(text(orders, plain))
	if want := each(update, orders.address(), plain.address()); !maps.EqualFunc(todo, want, slices.Equal) || !maps.EqualFunc(drift, want, slices.Equal) {
		t.Errorf("somebody changed two topics: the plan is %v, drift %v, want %v", todo, drift, want)
	}
	w.must("apply", "plan")
	w.steady(text(orders, plain))
	if c.is(orders) != id {
		t.Error("the topic was made anew")
	}
	c.is(plain)

	// The plan can tell: with fewer partitions a topic would be made anew.
	fewer := orders
	fewer.partitions = 2
	if todo, _ := w.plan(text(fewer, plain)); !slices.Equal(todo[orders.address()], replace) {
		t.Errorf("fewer partitions: %v", todo)
	}
	ends, err := c.admin.ListEndOffsets(harness.Soon(t), "orders")
	if err != nil {
		t.Fatal(err)
	}
	var kept int64
	ends.Each(func(o kadm.ListedOffset) { kept += o.Offset })
	if kept != records {
		t.Errorf("%d records are left of %d", kept, records)
	}

	// Another workspace takes the topics over as they are, and lists them.
	other := newWorkspace(t, c)
	sources := `data "kafka_topic" "orders" { name = "orders" }
data "kafka_topics" "all" {}
output "orders" { value = "${data.kafka_topic.orders.partitions} ${data.kafka_topic.orders.replication_factor}" }
output "all" { value = join(" ", sort([for t in data.kafka_topics.all.list : t.topic_name])) }
`
	other.write(text(orders, plain) + sources)
	for _, k := range []topic{orders, plain} {
		other.must("import", k.address(), k.name)
	}
	other.must("apply", "-auto-approve")
	other.steady(text(orders, plain) + sources)
	if got := other.must("output"); !strings.Contains(got, `"orders plain"`) || !strings.Contains(got, `"9 1"`) {
		t.Errorf("the data sources say\n%s", got)
	}
	w.write(text(orders, plain))
	w.destroy()
	topics, err := c.admin.ListTopics(harness.Soon(t))
	if err != nil || len(topics) > 0 {
		t.Errorf("topics are left: %v, %v", topics.Names(), err)
	}
	// Deleted behind a state's back, they are made again.
	todo, drift = other.plan(text(orders))
	if gone := each([]string{"delete"}, orders.address(), plain.address()); !maps.EqualFunc(todo, each(create, orders.address()), slices.Equal) || !maps.EqualFunc(drift, gone, slices.Equal) {
		t.Errorf("both topics were deleted: the plan is %v, drift %v", todo, drift)
	}
	other.must("apply", "plan")
	other.steady(text(orders))
	c.is(orders)
}

// TestATopicOfOneBroker: a cluster of one takes the replication factor of production, and a lower one later.
func TestATopicOfOneBroker(t *testing.T) {
	t.Parallel()
	c := openCluster(t, 1)
	w := newWorkspace(t, c)
	orders := topic{"orders", 4, 3, map[string]string{"retention.ms": "86400000"}}
	w.apply(text(orders), each(create, orders.address()))
	id := c.is(orders)
	orders.factor = 1
	orders.config["retention.ms"] = "-1"
	w.apply(text(orders), each(update, orders.address()))
	if c.is(orders) != id {
		t.Error("the topic was made anew")
	}
	w.destroy()
}

// fill produces records to a topic.
func (c *cluster) fill(name string, records int) {
	c.t.Helper()
	var all []*kgo.Record
	for i := range records {
		all = append(all, &kgo.Record{Topic: name, Key: fmt.Append(nil, i), Value: []byte("value")})
	}
	if err := c.client.ProduceSync(harness.Soon(c.t), all...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}
