package broker

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// withNeighbor registers another broker, node 1.
func (h *recordHarness) withNeighbor() metastore.Broker {
	h.t.Helper()
	other, err := h.store.RegisterBroker(h.t.Context(), metastore.Broker{NodeID: 1, Host: "other", Port: 9093}, time.Hour)
	must(h.t, err)
	must(h.t, h.membership.Join(h.t.Context()))
	return other
}

// handOver gives all that the broker has to the other one.
func (h *recordHarness) handOver() {
	h.t.Helper()
	if !h.membership.Leave(h.t.Context()) {
		h.t.Fatal("nobody takes the keys")
	}
	h.membership.HandOver()
}

func TestProduceToABrokerThatHandedOverIsRefusedAndNotAppended(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	h.withNeighbor()
	h.handOver()
	h.versions(0, func(t *testing.T, version int16) {
		resp := ask[*kmsg.ProduceResponse](h.harness, version, produceRequest(topic, 0, testBatch(3)))
		row := resp.Topics[0].Partitions[0]
		equal(t, "error", row.ErrorCode, kerr.NotLeaderForPartition.Code)
		equal(t, "base offset", row.BaseOffset, -1)
		// A hint at the same leader epoch keeps franz-go from asking for metadata.
		equal(t, "leader named", row.CurrentLeader.LeaderID, -1)
		equal(t, "endpoints named", len(resp.Brokers), 0)
	})
	marks, _ := h.replica.Watermarks(metastore.TopicPartition{Topic: topic.ID})
	equal(t, "high watermark", marks.High, 0)
}

// A refusal would say that the batch was not written, and its sequence is free.
func TestCopiesAreKnownToABrokerThatHandedOver(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 2, 1)
	sent := func(sequence int32) []byte {
		return recordbatchtest.Encode(testRecords(3, 1_000_000), recordbatchtest.Options{ProducerID: 7, BaseSequence: sequence})
	}
	h.produce(topic, 0, testBatch(2))
	h.produce(topic, 0, sent(0))
	h.commitBatchElsewhere(metastore.TopicPartition{Topic: topic.ID, Partition: 1}, metastore.BatchCommit{Length: 100, Records: 3, ProducerID: 7, BaseSequence: 3})
	h.withNeighbor()
	h.handOver()
	h.versions(0, func(t *testing.T, version int16) {
		for _, tc := range []struct {
			name      string
			partition int32
			batch     []byte
			err       int16
			offset    int64
		}{
			{"written here", 0, sent(0), 0, 2},
			{"written elsewhere", 1, sent(3), 0, 0},
			{"next", 0, sent(3), kerr.NotLeaderForPartition.Code, -1},
			{"of another length", 0, recordbatchtest.Encode(testRecords(2, 1_000_000), recordbatchtest.Options{ProducerID: 7}), kerr.NotLeaderForPartition.Code, -1},
			{"of another producer", 0, recordbatchtest.Encode(testRecords(3, 1_000_000), recordbatchtest.Options{ProducerID: 8}), kerr.NotLeaderForPartition.Code, -1},
			{"without a producer", 0, testBatch(2), kerr.NotLeaderForPartition.Code, -1},
		} {
			row := ask[*kmsg.ProduceResponse](h.harness, version, produceRequest(topic, tc.partition, tc.batch)).Topics[0].Partitions[0]
			equal(t, tc.name+": error", row.ErrorCode, tc.err)
			equal(t, tc.name+": base offset", row.BaseOffset, tc.offset)
		}
	})
}

func TestFetchFromABrokerThatHandedOverIsRefused(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	h.produce(topic, 0, testBatch(3))
	h.withNeighbor()
	h.handOver()
	h.versions(1, func(t *testing.T, version int16) {
		row := ask[*kmsg.FetchResponse](h.harness, version, fetchRequest(topic, 0)).Topics[0].Partitions[0]
		equal(t, "error", row.ErrorCode, kerr.NotLeaderForPartition.Code)
		equal(t, "high watermark", row.HighWatermark, -1)
		equal(t, "records", len(row.RecordBatches), 0)
	})
}

func TestFetchSessionTellsOfEveryPartitionThatWasHandedOver(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 3, 1)
	h.withNeighbor()
	req := fetchRequest(topic, 0, 1, 2)
	req.SessionEpoch = 0
	begun := ask[*kmsg.FetchResponse](h.harness, 13, req)
	h.handOver()
	for epoch := range int32(2) { // and again, for a client that does not hear
		next := fetchRequest(topic)
		next.Topics, next.SessionID, next.SessionEpoch = nil, begun.SessionID, epoch+1
		resp := ask[*kmsg.FetchResponse](h.harness, 13, next)
		equal(t, "session", resp.ErrorCode, 0)
		equal(t, "partitions", len(resp.Topics[0].Partitions), 3)
		for _, row := range resp.Topics[0].Partitions {
			equal(t, "error", row.ErrorCode, kerr.NotLeaderForPartition.Code)
		}
	}
}

func TestWaitingFetchIsAnsweredWhenTheBrokerHandsOver(t *testing.T) {
	for _, tc := range []struct {
		name  string
		alone bool // the other broker is gone when it does
		took  time.Duration
		want  *kerr.Error
	}{
		{"to another", false, 10 * time.Millisecond, kerr.NotLeaderForPartition},
		{"to nobody", true, time.Minute, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newRecordBroker(t, nil)
				topic := h.topic("events", 1, 1)
				other := h.withNeighbor()
				go func() {
					h.handOverOnce(t, tc.alone, other)
				}()
				req := fetchRequest(topic, 0)
				req.SetVersion(13)
				req.MaxWaitMillis = 60_000
				begin := time.Now()
				resp := h.broker.fetch(t.Context(), nil, anyTopic, nil, req)
				if took := time.Since(begin); took > tc.took || took < tc.took-longestStep {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				equal(t, "error", resp.rows[0].err, tc.want)
			})
		})
	}
}

// handOverOnce hands over, if need be after the other broker has gone.
func (h *recordHarness) handOverOnce(t *testing.T, alone bool, other metastore.Broker) {
	if !h.membership.Leave(t.Context()) {
		t.Error("nobody takes the keys")
	}
	if alone {
		if err := h.store.UnregisterBroker(t.Context(), other.NodeID, other.Epoch); err != nil {
			t.Error(err)
		}
		h.membership.Leave(t.Context())
	}
	h.membership.HandOver()
}

func TestOffsetsOfABrokerThatHandedOver(t *testing.T) {
	h := newRecordHarness(t, nil)
	h.topic("events", 1, 1)
	h.withNeighbor()
	h.handOver()
	h.versions(2, func(t *testing.T, version int16) {
		req := kmsg.NewPtrListOffsetsRequest()
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = "events"
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Timestamp = latestOffset
		topic.Partitions = append(topic.Partitions, partition)
		req.Topics = append(req.Topics, topic)
		row := ask[*kmsg.ListOffsetsResponse](h.harness, version, req).Topics[0].Partitions[0]
		equal(t, "error", row.ErrorCode, kerr.NotLeaderForPartition.Code)
		equal(t, "offset", row.Offset, -1)
	})
	h.versions(23, func(t *testing.T, version int16) {
		row := ask[*kmsg.OffsetForLeaderEpochResponse](h.harness, version, endOfEpochRequest("events")).Topics[0].Partitions[0]
		equal(t, "error", row.ErrorCode, kerr.NotLeaderForPartition.Code)
		equal(t, "end", row.EndOffset, -1)
	})
}

func TestBrokerThatLeavesIsListedAndNamedForNothing(t *testing.T) {
	h := newRecordHarness(t, nil)
	h.topic("events", 8, 2)
	h.withNeighbor()
	check := func(step string) {
		t.Helper()
		meta := ask[*kmsg.MetadataResponse](h.harness, 12, kmsg.NewPtrMetadataRequest())
		equal(t, step+": brokers", len(meta.Brokers), 2)
		equal(t, step+": controller", meta.ControllerID, 1)
		for _, p := range meta.Topics[0].Partitions {
			equal(t, step+": leader", p.Leader, 1)
		}
		equal(t, step+": brokers described", len(ask[*kmsg.DescribeClusterResponse](h.harness, 0, kmsg.NewPtrDescribeClusterRequest()).Brokers), 2)
		for _, group := range []string{"a", "b", "c", "d", "e", "f"} {
			equal(t, step+": coordinator", h.broker.coordinator(new(wire.Conn), groupCoordinator, group).NodeID, 1)
		}
	}
	if !h.membership.Leave(t.Context()) {
		t.Fatal("nobody takes the keys")
	}
	check("leaving")
	topic, _ := h.replica.Topic("events")
	equal(t, "offset of what is produced meanwhile", h.produce(topic, 0, testBatch(1)), 0)
	h.membership.HandOver()
	check("handed over")
	equal(t, "join", h.join(5, "a", "").ErrorCode, kerr.NotCoordinator.Code)
}

func TestBrokerThatHandedOverServesAgainWhenTheOthersLeave(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	other := h.withNeighbor()
	h.handOver()
	must(t, h.store.LeaveBroker(t.Context(), other.NodeID, other.Epoch))
	if h.membership.Leave(t.Context()) { // looks, among other things
		t.Error("a broker that leaves takes the keys of another")
	}
	equal(t, "offset", h.produce(topic, 0, testBatch(1)), 0)
	meta := ask[*kmsg.MetadataResponse](h.harness, 12, kmsg.NewPtrMetadataRequest())
	equal(t, "brokers", len(meta.Brokers), 2)
}

// What is produced with acks=0 is nowhere else, and nobody would send it again.
func TestProduceWithoutAcknowledgementIsTakenAfterTheHandOverAndTheConnectionEnded(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	h.withNeighbor()
	h.handOver()
	silent := produceRequest(topic, 0, testBatch(2))
	silent.Acks = 0
	silent.SetVersion(9)
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, silent, 99)
	_, err := h.conn.Write(frame)
	must(t, err)
	must(t, h.conn.SetDeadline(time.Now().Add(20*time.Second)))
	if n, err := h.conn.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read %d bytes, %v; want the end of the stream", n, err)
	}
	for range 3 { // the client has not noticed yet
		_, err = h.conn.Write(frame)
		must(t, err)
	}
	must(t, h.conn.Close())
	tp := metastore.TopicPartition{Topic: topic.ID}
	watch := h.replica.Watch([]metastore.TopicPartition{tp})
	defer watch.Close()
	late := time.After(20 * time.Second)
	for {
		if marks, _ := h.replica.Watermarks(tp); marks.High == 8 {
			return
		}
		select {
		case <-watch.C:
		case <-late:
			t.Fatal("records are missing")
		}
	}
}

// TestRetryElsewhereOfWhatIsStillCommittedHere: a connection broke while the broker that handed over stored a batch, and the
// client sends it to the other broker.
func TestRetryElsewhereOfWhatIsStillCommittedHere(t *testing.T) {
	batch := func(sequence int32) []byte {
		return recordbatchtest.Encode([]recordbatch.Record{{Timestamp: 1000, Value: []byte("v")}},
			recordbatchtest.Options{ProducerID: 7, BaseSequence: sequence})
	}
	for _, first := range []string{"the retry is committed first", "the first attempt is committed first"} {
		t.Run(first, func(t *testing.T) {
			store, objects := memory.New(memory.Options{}), objmemory.New()
			t.Cleanup(func() { _ = store.Close() })
			a, b := newRecordBrokerOn(t, nil, store, objects, 0), newRecordBrokerOn(t, nil, store, objects, 1)
			topic := a.topic("events", 1, 1)
			must(t, b.replica.CatchUp(t.Context()))
			must(t, a.membership.Join(t.Context())) // sees b

			req := produceRequest(topic, 0, batch(0))
			req.SetVersion(9)
			reopen := a.objects.shut()
			pending := a.broker.produce(t.Context(), a.producer, req)
			<-a.objects.waiting
			a.handOver()
			answer := func() *kmsg.ProduceResponseTopicPartition {
				return &pending(t.Context()).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
			}
			var row *kmsg.ProduceResponseTopicPartition
			if first != "the retry is committed first" {
				reopen()
				row = answer()
			}
			equal(t, "offset of the retry", b.produce(topic, 0, batch(0)), 0)
			equal(t, "offset of the next", b.produce(topic, 0, batch(1)), 1)
			if row == nil {
				reopen()
				row = answer()
			}
			equal(t, "error of the first attempt", row.ErrorCode, 0)
			equal(t, "offset of the first attempt", row.BaseOffset, 0)
			must(t, b.replica.CatchUp(t.Context()))
			marks, _ := b.replica.Watermarks(metastore.TopicPartition{Topic: topic.ID})
			equal(t, "high watermark", marks.High, 2)
		})
	}
}

// A consumer that comes from a broker which has heard more is not out of range, and nothing was truncated.
func TestConsumerThatIsAheadOfTheBroker(t *testing.T) {
	store, objects := memory.New(memory.Options{}), objmemory.New()
	t.Cleanup(func() { _ = store.Close() })
	a, b := newRecordBrokerOn(t, nil, store, objects, 0), newRecordBrokerOn(t, nil, store, objects, 1)
	topic := a.topic("events", 1, 1)
	must(t, b.replica.CatchUp(t.Context()))
	b.serve()
	ahead := func(version int16, offset int64, lastEpoch int32) kmsg.FetchResponseTopicPartition {
		req := fetchRequest(topic, 0)
		req.Topics[0].Partitions[0].FetchOffset, req.Topics[0].Partitions[0].LastFetchedEpoch = offset, lastEpoch
		return ask[*kmsg.FetchResponse](b.harness, version, req).Topics[0].Partitions[0]
	}
	for i, lastEpoch := range []int32{-1, 0} {
		end := a.produce(topic, 0, testBatch(3)) + 3
		row := ahead(13, end, lastEpoch)
		equal(t, "error", row.ErrorCode, 0)
		equal(t, "high watermark", row.HighWatermark, int64(3*(i+1)))
		equal(t, "end of the epoch", row.DivergingEpoch.EndOffset, -1)
	}
	a.produce(topic, 0, testBatch(3))
	end := ask[*kmsg.OffsetForLeaderEpochResponse](b.harness, 4, endOfEpochRequest("events")).Topics[0].Partitions[0]
	equal(t, "end of the epoch", end.EndOffset, 9)
	equal(t, "far beyond the end", ahead(13, 1000, -1).ErrorCode, kerr.OffsetOutOfRange.Code)

	must(t, store.Close())
	equal(t, "error while the log cannot be asked", ahead(13, 1000, -1).ErrorCode, kerr.OffsetNotAvailable.Code)
	equal(t, "error of a consumer at the end", ahead(13, 9, 0).ErrorCode, 0)
	end = ask[*kmsg.OffsetForLeaderEpochResponse](b.harness, 4, endOfEpochRequest("events")).Topics[0].Partitions[0]
	equal(t, "error of the end of the epoch", end.ErrorCode, kerr.OffsetNotAvailable.Code)
}
