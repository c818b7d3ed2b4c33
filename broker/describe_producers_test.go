package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

func describeProducersRequest(topic string, partitions ...int32) *kmsg.DescribeProducersRequest {
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: partitions}}
	return req
}

func TestDescribeProducers(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 2, 1)
	began := time.Now().UnixMilli()
	h.produce(topic, 0, testBatch(3))
	h.produce(topic, 0, recordbatchtest.Encode(testRecords(2, 0), recordbatchtest.Options{ProducerID: 1 << 40, ProducerEpoch: 4, BaseSequence: 8}))
	c := h.txnClient("payments")
	describe := func(partition int32) kmsg.DescribeProducersResponseTopicPartition {
		resp := ask[*kmsg.DescribeProducersResponse](h.harness, 0, describeProducersRequest("events", partition))
		equal(t, "topic", resp.Topics[0].Topic, "events")
		equal(t, "partition", resp.Topics[0].Partitions[0].Partition, partition)
		return resp.Topics[0].Partitions[0]
	}
	check := func(open, lastSequence int64) {
		t.Helper()
		row := describe(0)
		equal(t, "error", row.ErrorCode, 0)
		equal(t, "producers", len(row.ActiveProducers), 2)
		for _, p := range row.ActiveProducers {
			if p.LastTimestamp < began || p.LastTimestamp > time.Now().UnixMilli() {
				t.Errorf("last timestamp %d", p.LastTimestamp)
			}
			p.LastTimestamp = 0
			switch want := (kmsg.DescribeProducersResponseTopicPartitionActiveProducer{ProducerID: p.ProducerID, CoordinatorEpoch: -1, CurrentTxnStartOffset: -1}); p.ProducerID {
			case 1 << 40:
				want.ProducerEpoch, want.LastSequence = 4, 9
				equal(t, "idempotent producer", producerRow(p), producerRow(want))
			case int64(c.producer):
				want.ProducerEpoch, want.LastSequence, want.CurrentTxnStartOffset = int32(c.epoch), int32(lastSequence), open
				equal(t, "transactional producer", producerRow(p), producerRow(want))
			default:
				t.Errorf("producer %+v", p)
			}
		}
	}
	c.add(metastore.TopicPartition{Topic: topic.ID})
	equal(t, "error", c.send(9, topic, 0, testRecords(2, 0)).ErrorCode, 0)
	check(5, 1)
	c.end(true, 1)
	check(-1, 1)
	equal(t, "producers of an empty partition", len(describe(1).ActiveProducers), 0)
	equal(t, "partition that is not there", describe(2).ErrorCode, kerr.UnknownTopicOrPartition.Code)
	equal(t, "negative partition", describe(-1).ErrorCode, kerr.UnknownTopicOrPartition.Code)
	resp := ask[*kmsg.DescribeProducersResponse](h.harness, 0, describeProducersRequest("nowhere", 0))
	equal(t, "topic that is not there", resp.Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
	h.withNeighbor()
	h.handOver()
	equal(t, "partition that was handed over", describe(0).ErrorCode, kerr.NotLeaderForPartition.Code)
}

// producerRow is what of a row can be compared.
func producerRow(p kmsg.DescribeProducersResponseTopicPartitionActiveProducer) [6]int64 {
	return [6]int64{p.ProducerID, int64(p.ProducerEpoch), int64(p.LastSequence), p.LastTimestamp, int64(p.CoordinatorEpoch), p.CurrentTxnStartOffset}
}
