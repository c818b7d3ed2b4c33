package broker

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

func listOffsetsRequest(topic string, partition int32, timestamp int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, timestamp
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func TestListOffsets(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 2, 1)
	encode := func(codec recordbatch.Codec, timestamps ...int64) []byte {
		var records []recordbatch.Record
		for _, ts := range timestamps {
			records = append(records, recordbatch.Record{Timestamp: ts, Value: []byte("v")})
		}
		return recordbatchtest.Encode(records, recordbatchtest.Options{Codec: codec}.NotIdempotent())
	}
	h.produce(topic, 0, encode(recordbatch.None, 1000, 1010, 1020))
	h.produce(topic, 0, encode(recordbatch.Gzip, 2000, 2050, 2020))
	h.produce(topic, 0, encode(recordbatch.LZ4, 1500, 1600))

	h.versions(2, func(t *testing.T, version int16) {
		for _, tc := range []struct {
			name             string
			partition        int32
			asked            int64
			since            int16
			offset, returned int64
		}{
			{"latest", 0, -1, 1, 8, -1},
			{"earliest", 0, -2, 1, 0, -1},
			{"max timestamp", 0, -3, 7, 4, 2050},
			{"earliest local", 0, -4, 8, 0, -1},
			{"latest tiered", 0, -5, 9, -1, -1},
			{"earliest pending upload", 0, -6, 11, -1, -1},
			{"unheard of", 0, -7, 99, -1, -1},
			{"before all", 0, 0, 1, 0, 1000},
			{"between records", 0, 1011, 1, 2, 1020},
			{"between batches", 0, 1021, 1, 3, 2000},
			{"inside a compressed batch", 0, 2001, 1, 4, 2050},
			{"after all", 0, 2051, 1, -1, -1},
			{"empty: latest", 1, -1, 1, 0, -1},
			{"empty: earliest", 1, -2, 1, 0, -1},
			{"empty: max timestamp", 1, -3, 7, -1, -1},
			{"empty: by time", 1, 5, 1, -1, -1},
		} {
			for isolation := range int8(2) {
				req := listOffsetsRequest("events", tc.partition, tc.asked)
				req.IsolationLevel = isolation
				row := ask[*kmsg.ListOffsetsResponse](h.harness, version, req).Topics[0].Partitions[0]
				code, offset, returned := int16(0), tc.offset, tc.returned
				if version < tc.since {
					code, offset, returned = kerr.UnsupportedVersion.Code, -1, -1
				}
				equal(t, tc.name+": error", row.ErrorCode, code)
				equal(t, tc.name+": offset", row.Offset, offset)
				equal(t, tc.name+": timestamp", row.Timestamp, returned)
				if version >= 4 {
					equal(t, tc.name+": leader epoch", row.LeaderEpoch, int32(min(offset, 0)))
				}
			}
		}
	})
}

func TestListOffsetsErrors(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 2, 1)
	commitMissing(t, h, topic, 1)
	for _, tc := range []struct {
		name   string
		change func(*kmsg.ListOffsetsRequestTopic)
		want   *kerr.Error
	}{
		{"unknown topic", func(t *kmsg.ListOffsetsRequestTopic) { t.Topic = "nowhere" }, kerr.UnknownTopicOrPartition},
		{"unknown partition", func(t *kmsg.ListOffsetsRequestTopic) { t.Partitions[0].Partition = 9 }, kerr.UnknownTopicOrPartition},
		{"negative partition", func(t *kmsg.ListOffsetsRequestTopic) { t.Partitions[0].Partition = -1 }, kerr.UnknownTopicOrPartition},
		{"newer leader epoch", func(t *kmsg.ListOffsetsRequestTopic) { t.Partitions[0].CurrentLeaderEpoch = 1 }, kerr.UnknownLeaderEpoch},
		{"older leader epoch", func(t *kmsg.ListOffsetsRequestTopic) { t.Partitions[0].CurrentLeaderEpoch = -2 }, kerr.FencedLeaderEpoch},
		{"twice", func(t *kmsg.ListOffsetsRequestTopic) { t.Partitions = append(t.Partitions, t.Partitions[0]) }, kerr.InvalidRequest},
		{"object missing", func(t *kmsg.ListOffsetsRequestTopic) { t.Partitions[0].Partition, t.Partitions[0].Timestamp = 1, 0 }, kerr.KafkaStorageError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := listOffsetsRequest("events", 0, -1)
			tc.change(&req.Topics[0])
			rows := ask[*kmsg.ListOffsetsResponse](h.harness, 7, req).Topics[0].Partitions
			equal(t, "rows", len(rows), 1)
			for _, row := range rows {
				equal(t, "error", row.ErrorCode, tc.want.Code)
				equal(t, "offset", row.Offset, -1)
				equal(t, "timestamp", row.Timestamp, -1)
			}
		})
	}
	t.Run("the others are answered", func(t *testing.T) {
		req := listOffsetsRequest("events", 0, -1)
		req.Topics = append(req.Topics, listOffsetsRequest("nowhere", 0, -1).Topics...)
		resp := ask[*kmsg.ListOffsetsResponse](h.harness, 7, req)
		equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, 0)
		equal(t, "error of the unknown", resp.Topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
	})
}

// TestSearchOverABadBatchOfAProducerIsNoErrorOfTheBroker: records are stored as they came, so whoever sends some that are none,
// and asks for them, must not be able to call an operator.
func TestSearchOverABadBatchOfAProducerIsNoErrorOfTheBroker(t *testing.T) {
	h := newRecordHarness(t, nil)
	var lines bytes.Buffer
	h.broker.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	topic := h.topic("events", 1, 1)
	bad := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: 1000, Value: []byte("v")}}, recordbatchtest.Options{Codec: recordbatch.Zstd}.NotIdempotent())
	for i := recordbatch.HeaderSize + 4; i < len(bad); i++ {
		bad[i] = 0xff
	}
	recordbatchtest.Seal(bad)
	h.produce(topic, 0, testBatch(1)) // at 1,000,000
	h.produce(topic, 0, bad)
	h.produce(topic, 0, testBatch(1))
	find := func(timestamp int64) *kmsg.ListOffsetsResponseTopicPartition {
		return &ask[*kmsg.ListOffsetsResponse](h.harness, 7, listOffsetsRequest("events", 0, timestamp)).Topics[0].Partitions[0]
	}
	for range 3 {
		row := find(500)
		equal(t, "before the batch: offset", row.Offset, 0)
	}
	equal(t, "lines", lines.String(), "")
	_, err := h.replica.DeleteRecords(t.Context(), []metastore.RecordDeletion{{TopicPartition: metastore.TopicPartition{Topic: topic.ID}, Before: 1}})
	must(t, err)
	for range 3 {
		row := find(500)
		equal(t, "error", errorOf(row.ErrorCode), "CORRUPT_MESSAGE")
		equal(t, "offset", row.Offset, -1)
	}
	if got := lines.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "topic=events partition=0") {
		t.Errorf("logged %q, want one warning that names the partition", got)
	}
	equal(t, "beyond the batch", find(1001).Offset, 2)
}
