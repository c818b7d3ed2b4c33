package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/zone"
	"github.com/runnel-io/runnel/metastore"
)

func TestLogDirsHoldWhatThisBrokerLeads(t *testing.T) {
	h := newZonedHarness(t, zone.New(nil, "a")) // the listener's zone does not count: other brokers may have other ones
	topic, other := h.topic("events", 64, 3), h.topic("other", 1, 1)
	size := int64(len(testBatch(3)))
	for i := range int32(64) {
		for range i % 3 {
			h.produce(topic, i, testBatch(3))
		}
	}
	sizes := func(version int16, req *kmsg.DescribeLogDirsRequest) map[string]map[int32]int64 {
		t.Helper()
		answer := ask[*kmsg.DescribeLogDirsResponse](h.harness, version, req)
		equal(t, "error", answer.ErrorCode, 0)
		equal(t, "directories", len(answer.Dirs), 1)
		dir := answer.Dirs[0]
		equal(t, "directory", dir.Dir, "/")
		equal(t, "error of the directory", dir.ErrorCode, 0)
		if version >= 4 {
			equal(t, "size of the volume", [2]int64{dir.TotalBytes, dir.UsableBytes}, [2]int64{-1, -1})
		}
		found := map[string]map[int32]int64{}
		for _, topic := range dir.Topics {
			equal(t, "listed twice", found[topic.Topic] == nil, true)
			found[topic.Topic] = map[int32]int64{}
			for _, p := range topic.Partitions {
				equal(t, "lag", p.OffsetLag, 0)
				equal(t, "future", p.IsFuture, false)
				found[topic.Topic][p.Partition] = p.Size
			}
		}
		return found
	}
	for at, want := range map[string]int{"": -1, "a": 64, "b": 0, "d": -1} {
		h.client = "tool,zone=" + at
		leads := 0
		for i := range int32(64) {
			if h.broker.leader(metastore.TopicPartition{Topic: topic.ID, Partition: i}, "PLAINTEXT", at).NodeID == 0 {
				leads++
			}
		}
		if want < 0 {
			want = leads
		}
		equal(t, "led in zone "+at, leads, want)
		h.versions(35, func(t *testing.T, version int16) {
			found := sizes(version, kmsg.NewPtrDescribeLogDirsRequest())
			equal(t, "partitions", len(found["events"]), want)
			for i, got := range found["events"] {
				equal(t, "size", got, int64(i%3)*size)
			}
		})
	}
	h.client = "tool,zone=a"
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{
		{Topic: "events", Partitions: []int32{5, 99, -1}}, {Topic: "missing", Partitions: []int32{0}}, {Topic: "events", Partitions: []int32{7, 5}},
	}
	found := sizes(4, req)
	equal(t, "topics", len(found), 1)
	equal(t, "partitions", len(found["events"]), 2)
	equal(t, "size", found["events"][5], 2*size)
	equal(t, "size", found["events"][7], size)
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
	equal(t, "topics for an empty list", len(sizes(4, req)), 0)
	equal(t, "topics", len(sizes(4, kmsg.NewPtrDescribeLogDirsRequest())), 2)
	must(t, h.replica.DeleteTopic(t.Context(), other.ID))
	equal(t, "topics after one was deleted", len(sizes(4, kmsg.NewPtrDescribeLogDirsRequest())), 1)
}
