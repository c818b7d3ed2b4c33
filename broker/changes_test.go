package broker

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/metastore"
)

// changeCase is a request that changes something.
type changeCase struct {
	name     string
	req      func(validateOnly bool) kmsg.Request
	checks   bool // it can be validated only
	repeats  bool // the same request again changes something again, or is not tried
	resource string
	before   map[string]string // what the event has, at least
	after    map[string]string
}

func (g *guarded) changeCases() []changeCase {
	topic, one := namedResource{kmsg.ConfigResourceTypeTopic, present.topic}, map[string]string{"partitions": "1"}
	incremental := func(of namedResource, name, value string) func(bool) kmsg.Request {
		return func(validate bool) kmsg.Request {
			req := incrementRequest(of, name, value)
			req.ValidateOnly = validate
			return req
		}
	}
	plain := func(req kmsg.Request) func(bool) kmsg.Request { return func(bool) kmsg.Request { return req } }
	return []changeCase{
		{name: "CreateTopics", checks: true, resource: "Topic:new", after: map[string]string{"partitions": "3", "retention.ms": "7"},
			req: func(validate bool) kmsg.Request {
				req := createRequest(newTopic("new", 3, 1, "retention.ms", "7"))
				req.ValidateOnly = validate
				return req
			}},
		{name: "Metadata", resource: "Topic:auto", after: one, req: plain(metadataRequest(true, "auto"))},
		{name: "CreatePartitions", checks: true, resource: "Topic:new", before: map[string]string{"partitions": "3"}, after: map[string]string{"partitions": "5"},
			req: func(validate bool) kmsg.Request {
				req := growRequest("new", 5)
				req.ValidateOnly = validate
				return req
			}},
		{name: "AlterPartitionReassignments", resource: "Topic:many", before: map[string]string{"replication.factor": "3"}, after: map[string]string{"replication.factor": "1"},
			req: plain(reassignRequest("many", 0))},
		{name: "IncrementalAlterConfigs", checks: true, resource: "Topic:orders", after: map[string]string{"retention.ms": "5"}, req: incremental(topic, "retention.ms", "5")},
		{name: "IncrementalAlterConfigs", checks: true, resource: "Topic:orders", before: map[string]string{"retention.ms": "5"}, after: map[string]string{"retention.ms": "6"}, req: incremental(topic, "retention.ms", "6")},
		{name: "IncrementalAlterConfigs", checks: true, resource: "Group:buyers", after: map[string]string{"consumer.session.timeout.ms": "50000"},
			req: incremental(namedResource{kmsg.ConfigResourceTypeGroupConfig, present.group}, "consumer.session.timeout.ms", "50000")},
		{name: "IncrementalAlterConfigs", checks: true, resource: "Broker:0", after: map[string]string{"log.retention.ms": "9"},
			req: incremental(namedResource{kmsg.ConfigResourceTypeBroker, "0"}, "log.retention.ms", "9")},
		{name: "IncrementalAlterConfigs", checks: true, resource: "ClientMetrics:m", after: map[string]string{"interval.ms": "1000"},
			req: incremental(namedResource{kmsg.ConfigResourceTypeClientMetrics, "m"}, "interval.ms", "1000")},
		{name: "IncrementalAlterConfigs", checks: true, resource: "BrokerLogger:0", before: map[string]string{"root": "INFO"}, after: map[string]string{"root": "WARN"},
			req: incremental(namedResource{kmsg.ConfigResourceTypeBrokerLogger, "0"}, "root", "WARN")},
		{name: "AlterConfigs", checks: true, resource: "Topic:orders", before: map[string]string{"retention.ms": "6"}, after: map[string]string{"segment.ms": "77"},
			req: func(validate bool) kmsg.Request {
				req := replaceRequest(topic, "segment.ms", "77")
				req.ValidateOnly = validate
				return req
			}},
		{name: "DeleteRecords", resource: "Topic:orders", before: map[string]string{"orders-0": "0"}, after: map[string]string{"orders-0": "2"}, req: plain(deleteRecordsRequest(present.topic, 2))},
		{name: "OffsetDelete", repeats: true, resource: "Group:buyers", before: map[string]string{"orders-0": "committed"}, req: plain(deleteOffsets(g, present))},
		{name: "DeleteGroups", resource: "Group:doomed", req: plain(&kmsg.DeleteGroupsRequest{Groups: []string{"doomed"}})},
		{name: "WriteTxnMarkers", resource: "TransactionalId:till-1", before: map[string]string{"state": "Ongoing"}, after: map[string]string{"state": "CompleteAbort"}, req: plain(markerRequest(g.till, present.topic))},
		{name: "DeleteTopics", resource: "Topic:new", before: map[string]string{"partitions": "5", "retention.ms": "7"}, req: plain(deleteRequest("new"))},
	}
}

// TestEachChangeIsRecordedOnce: after it was made, by whom and how, and neither for who is refused nor for who only asks.
func TestEachChangeIsRecordedOnce(t *testing.T) {
	g := newGuarded(t)
	g.topic("many", 1, 3)
	for i, c := range g.changeCases() {
		t.Run(fmt.Sprint(i, " ", c.name), func(t *testing.T) {
			defer g.within(t)()
			send := func(validateOnly bool) []audit.Event {
				req := c.req(validateOnly)
				for _, a := range g.broker.apis() {
					if a.key == req.Key() {
						req.SetVersion(a.max)
					}
				}
				g.ask(req)
				return g.trail.take(audit.Change)
			}
			g.rules.deny(denial{})
			equal(t, "events of who is refused", len(send(false)), 0)
			g.rules.deny()
			if c.checks {
				equal(t, "events of who only asks", len(send(true)), 0)
			}
			events := send(false)
			if len(events) != 1 {
				t.Fatalf("events: %+v", events)
			}
			e := events[0]
			equal(t, "action", e.Action, c.name)
			equal(t, "resource", e.Resource, c.resource)
			equal(t, "who", e.Principal+" "+e.Host+" "+e.ClientID+" "+e.Listener, "User:ANONYMOUS 127.0.0.1 test PLAINTEXT")
			equal(t, "failed", e.Failed, false)
			for name, want := range c.before {
				equal(t, "before: "+name, e.Before[name], want)
			}
			for name, want := range c.after {
				equal(t, "after: "+name, e.After[name], want)
			}
			if !c.repeats {
				equal(t, "events of the same again", len(send(false)), 0)
			}
		})
	}
}

func TestRecordsOfChangesHideSecrets(t *testing.T) {
	for name, want := range map[string]string{
		"ssl.key.password": hiddenValue, "sasl.jaas.config": hiddenValue, "ssl.keystore.key": hiddenValue, "sasl.client.secret": hiddenValue,
		"retention.ms": "5", "segment.index.bytes": "5",
	} {
		equal(t, name, hideSecrets(map[string]string{name: "5"})[name], want)
	}
}

func TestRecordsOfManyPartitionsAreBounded(t *testing.T) {
	facts := make(map[string]string)
	for i := range int32(250) {
		tellPartition(facts, "t", i, "0")
	}
	equal(t, "facts", len(facts), mostPartitionsTold+1)
	equal(t, "more", facts["more"], "150")
}

// leftAlone makes changes whose clients leave before they hear of them.
type leftAlone struct{ TopicChanges }

func (l leftAlone) CreateTopic(ctx context.Context, plan metastore.NewTopic) (*metastore.Topic, error) {
	if _, err := l.TopicChanges.CreateTopic(ctx, plan); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("append to commit log: %w", context.Canceled)
}

type anyConfigs = Configs // whose method has its name

type configsLeftAlone struct{ anyConfigs }

func (l configsLeftAlone) AlterConfigs(ctx context.Context, changes []metastore.ConfigChange) error {
	if err := l.anyConfigs.AlterConfigs(ctx, changes); err != nil {
		return err
	}
	return fmt.Errorf("append to commit log: %w", context.DeadlineExceeded)
}

// TestChangesThatNobodyWaitedForAreRecorded: they may be made, and who makes one could hide it by leaving.
func TestChangesThatNobodyWaitedForAreRecorded(t *testing.T) {
	g := newGuarded(t)
	g.broker.Changes, g.broker.Configs = leftAlone{g.broker.Changes}, configsLeftAlone{g.broker.Configs}
	check := func(action, resource string) {
		t.Helper()
		events := g.trail.take(audit.Change)
		if len(events) != 1 || !events[0].Failed || events[0].Action != action || events[0].Resource != resource || events[0].Detail == "" {
			t.Errorf("recorded %+v", events)
		}
	}
	ask[*kmsg.CreateTopicsResponse](g.harness, 7, createRequest(newTopic("late", 1, 1)))
	check("CreateTopics", "Topic:late")
	g.alterQuotas(1, false, quotaEntry(quotaOps{"producer_byte_rate": 7}, "user", "alice"))
	check("AlterClientQuotas", "ClientQuota:user=alice")
	ask[*kmsg.IncrementalAlterConfigsResponse](g.harness, 1, incrementRequest(namedResource{kmsg.ConfigResourceTypeBroker, "0"}, "log.retention.ms", "9"))
	check("IncrementalAlterConfigs", "Broker:0")
	ask[*kmsg.CreateTopicsResponse](g.harness, 7, createRequest(newTopic("late", 1, 1))) // is there, and is refused
	if events := g.trail.take(audit.Change); len(events) > 0 {
		t.Errorf("recorded %+v", events)
	}
}
