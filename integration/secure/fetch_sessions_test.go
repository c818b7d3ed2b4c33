package secure

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestAFetchSessionGivesNoRights: sessions are not bound to who began them, as in Kafka, and their ids are no secrets. Whoever
// goes on with somebody else's is asked for his own rights, each time, and the other one finds out by the epoch.
func TestAFetchSessionGivesNoRights(t *testing.T) {
	c := openCluster(t, clusterOptions{brokers: 1})
	for _, user := range []string{alice, "mallory"} {
		c.user(user, password)
	}
	c.topic("of-alice", 1)
	c.topic("of-everybody", 1)
	c.letAll("of-", "User:"+alice)
	c.rules(allow(kmsg.ACLResourceTypeTopic, "of-everybody", kmsg.ACLResourcePatternTypeLiteral, "User:*", kmsg.ACLOperationRead))
	topics, err := c.admin.ListTopics(harness.Soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for name := range topics {
		full := c.client(login{bootstrap: c.at(open), protocol: "PLAINTEXT"})
		if err := full.ProduceSync(harness.Soon(t), &kgo.Record{Topic: name, Value: []byte("for whoever may read " + name)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	by := func(user string) *kgo.Client {
		return c.client(login{bootstrap: c.at(sasl), protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-256", user: user, password: password})
	}
	alices, mallorys := by(alice), by("mallory")
	fetch := func(client *kgo.Client, id, epoch int32, names ...string) *kmsg.FetchResponse {
		t.Helper()
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionID, req.SessionEpoch = 100, 1, 1<<20, id, epoch
		for _, name := range names {
			topic, partition := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
			topic.Topic, topic.TopicID, partition.PartitionMaxBytes = name, topics[name].ID, 1<<20
			topic.Partitions = append(topic.Partitions, partition)
			req.Topics = append(req.Topics, topic)
		}
		resp, err := client.SeedBrokers()[0].Request(within(t, clientTimeout), req)
		if err != nil {
			t.Fatal(err)
		}
		return resp.(*kmsg.FetchResponse)
	}
	// read is the error of each topic in an answer, and whether it has records.
	type told struct {
		failed error
		read   bool
	}
	read := func(resp *kmsg.FetchResponse) map[[16]byte]told {
		all := make(map[[16]byte]told)
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				all[topic.TopicID] = told{kerr.ErrorForCode(p.ErrorCode), len(p.RecordBatches) > 0}
			}
		}
		return all
	}
	begun := fetch(alices, 0, 0, "of-alice", "of-everybody")
	got := read(begun)
	if begun.SessionID == 0 || !got[topics["of-alice"].ID].read || !got[topics["of-everybody"].ID].read {
		t.Fatalf("alice began session %d with %v", begun.SessionID, got)
	}
	got = read(fetch(mallorys, begun.SessionID, 1))
	if mine := got[topics["of-alice"].ID]; mine.failed != error(kerr.TopicAuthorizationFailed) || mine.read {
		t.Errorf("with the session of alice, of her topic mallory has %+v", mine)
	}
	if all := got[topics["of-everybody"].ID]; all.failed != nil || !all.read {
		t.Errorf("what mallory may read is %+v", all)
	}
	if failed := kerr.ErrorForCode(fetch(alices, begun.SessionID, 1).ErrorCode); failed != error(kerr.InvalidFetchSessionEpoch) {
		t.Errorf("alice is told %v of what somebody did to her session", failed)
	}
	if got := read(fetch(alices, begun.SessionID, 2)); !got[topics["of-alice"].ID].read {
		t.Errorf("alice's session goes on with %v", got)
	}
}
