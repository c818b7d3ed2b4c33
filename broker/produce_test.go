package broker

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

func TestProduceAtEveryVersion(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 2, 1)
	next := int64(0)
	h.versions(0, func(t *testing.T, version int16) {
		resp := ask[*kmsg.ProduceResponse](h.harness, version, produceRequest(topic, 1, testBatch(3)))
		equal(t, "topics", len(resp.Topics), 1)
		if version >= 13 {
			equal(t, "topic id", metastore.TopicID(resp.Topics[0].TopicID), topic.ID)
		} else {
			equal(t, "topic", resp.Topics[0].Topic, "events")
		}
		row := resp.Topics[0].Partitions[0]
		equal(t, "partition", row.Partition, 1)
		equal(t, "error", row.ErrorCode, 0)
		equal(t, "base offset", row.BaseOffset, next)
		equal(t, "log append time", row.LogAppendTime, -1)
		if version >= 5 {
			equal(t, "log start", row.LogStartOffset, 0)
		}
		next += 3
	})
}

func TestProduceRefusals(t *testing.T) {
	h := newRecordHarness(t, map[string]string{"message.max.bytes": "2000", "log.segment.bytes": "1048576"})
	topic := h.topicWith("events", 1, map[string]string{"message.timestamp.before.max.ms": "3600000000000"})
	compacted := h.topicWith("compacted", 1, map[string]string{"cleanup.policy": "compact"})
	large := h.topicWith("large", 1, map[string]string{"max.message.bytes": "5000000", "segment.bytes": "1048576"})
	plain := recordbatchtest.Options{}.NotIdempotent()
	encode := func(o recordbatchtest.Options, records ...recordbatch.Record) []byte {
		return recordbatchtest.Encode(records, o)
	}
	record := recordbatch.Record{Timestamp: 1000, Value: []byte("v")}
	spoiled := testBatch(1)
	spoiled[len(spoiled)-1] ^= 1
	old := testBatch(1)
	old[16] = 1
	offset := testBatch(1)
	binary.BigEndian.PutUint64(offset, 7)

	for _, tc := range []struct {
		name    string
		topic   *metastore.Topic
		batch   []byte
		version int16 // 0: 12
		change  func(*kmsg.ProduceRequest)
		want    *kerr.Error
		records []int32 // blamed
	}{
		{name: "acks 2", topic: topic, batch: testBatch(1), change: func(r *kmsg.ProduceRequest) { r.Acks = 2 }, want: kerr.InvalidRequiredAcks},
		{name: "unknown topic", topic: &metastore.Topic{Name: "nowhere"}, batch: testBatch(1), want: kerr.UnknownTopicOrPartition},
		{name: "unknown topic id", topic: &metastore.Topic{Name: "events", ID: metastore.TopicID{1}}, batch: testBatch(1), version: 13, want: kerr.UnknownTopicID},
		{name: "zero topic id", topic: &metastore.Topic{Name: "events"}, batch: testBatch(1), version: 13, want: kerr.UnknownTopicID},
		{name: "unknown partition", topic: topic, batch: testBatch(1), change: func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = 1 }, want: kerr.UnknownTopicOrPartition},
		{name: "negative partition", topic: topic, batch: testBatch(1), change: func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = -1 }, want: kerr.UnknownTopicOrPartition},
		{name: "no records", topic: topic, want: kerr.InvalidRecord},
		{name: "two batches", topic: topic, batch: append(testBatch(1), testBatch(1)...), want: kerr.InvalidRecord},
		{name: "magic 1", topic: topic, batch: old, want: kerr.InvalidRecord},
		{name: "bad CRC", topic: topic, batch: spoiled, want: kerr.CorruptMessage},
		{name: "base offset", topic: topic, batch: offset, want: kerr.InvalidRecord},
		{name: "zstd before v7", topic: topic, version: 6, batch: encode(recordbatchtest.Options{Codec: recordbatch.Zstd}.NotIdempotent(), record), want: kerr.UnsupportedCompressionType},
		{name: "over max.message.bytes", topic: topic, batch: encode(plain, recordbatch.Record{Value: make([]byte, 2000)}), want: kerr.MessageTooLarge},
		{name: "over segment.bytes", topic: large, batch: encode(plain, recordbatch.Record{Value: make([]byte, 2<<20)}), want: kerr.RecordListTooLarge},
		{name: "control batch", topic: topic, batch: encode(recordbatchtest.Options{Control: true}, record), want: kerr.InvalidRecord},
		{name: "transactional, without a transactional id", topic: topic, batch: encode(recordbatchtest.Options{Transactional: true}, record), want: kerr.TransactionalIDAuthorizationFailed},
		{name: "keys missing", topic: compacted, batch: encode(plain, recordbatch.Record{Key: []byte("k")}, record, record), want: kerr.InvalidRecord, records: []int32{1, 2}},
		{name: "timestamp far ahead", topic: topic, batch: encode(plain, record, recordbatch.Record{Timestamp: math.MaxInt64 / 2}), want: kerr.InvalidTimestamp, records: []int32{1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.version == 0 {
				tc.version = 12
			}
			req := produceRequest(tc.topic, 0, bytes.Clone(tc.batch))
			if tc.change != nil {
				tc.change(req)
			}
			resp := ask[*kmsg.ProduceResponse](h.harness, tc.version, req)
			row := resp.Topics[0].Partitions[0]
			if row.ErrorCode != tc.want.Code {
				t.Fatalf("error %d, want %d (%s)", row.ErrorCode, tc.want.Code, tc.want.Message)
			}
			equal(t, "base offset", row.BaseOffset, -1)
			equal(t, "log append time", row.LogAppendTime, -1)
			if tc.version >= 8 && (row.ErrorMessage == nil || *row.ErrorMessage == "") {
				t.Error("no error message")
			}
			equal(t, "records blamed", len(row.ErrorRecords), len(tc.records))
			for i, r := range row.ErrorRecords {
				equal(t, "record blamed", r.RelativeOffset, tc.records[i])
			}
		})
	}
	for _, topic := range []*metastore.Topic{topic, compacted, large} {
		if marks, _ := h.replica.Watermarks(metastore.TopicPartition{Topic: topic.ID}); marks.High != 0 {
			t.Errorf("%s holds %d refused records", topic.Name, marks.High)
		}
	}
}

func TestProduceTakesTheGoodPartitionsOfARequest(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 2, 1)
	req := produceRequest(topic, 1, testBatch(2))
	bad := produceRequest(topic, 7, testBatch(2)).Topics[0]
	req.Topics = append(req.Topics, bad, produceRequest(topic, 0, testBatch(2)).Topics[0])
	resp := ask[*kmsg.ProduceResponse](h.harness, 9, req)
	var codes []int16
	for _, topic := range resp.Topics {
		codes = append(codes, topic.Partitions[0].ErrorCode)
	}
	if len(codes) != 3 || codes[0] != 0 || codes[1] != kerr.UnknownTopicOrPartition.Code || codes[2] != 0 {
		t.Fatalf("errors %v", codes)
	}
}

func TestIdempotentProduce(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	send := func(epoch int16, sequence int32) kmsg.ProduceResponseTopicPartition {
		batch := recordbatchtest.Encode(testRecords(2, 0), recordbatchtest.Options{ProducerID: 7, ProducerEpoch: epoch, BaseSequence: sequence})
		return ask[*kmsg.ProduceResponse](h.harness, 9, produceRequest(topic, 0, batch)).Topics[0].Partitions[0]
	}
	for _, tc := range []struct {
		name     string
		epoch    int16
		sequence int32
		code     int16
		offset   int64
	}{
		{"first", 0, 0, 0, 0},
		{"next", 0, 2, 0, 2},
		{"repetition", 0, 0, 0, 0},
		{"gap", 0, 6, kerr.OutOfOrderSequenceNumber.Code, -1},
		{"new epoch not from 0", 1, 4, kerr.OutOfOrderSequenceNumber.Code, -1},
		{"new epoch", 1, 0, 0, 4},
		{"old epoch", 0, 4, kerr.InvalidProducerEpoch.Code, -1},
	} {
		row := send(tc.epoch, tc.sequence)
		equal(t, tc.name+": error", row.ErrorCode, tc.code)
		equal(t, tc.name+": offset", row.BaseOffset, tc.offset)
		equal(t, tc.name+": log start", row.LogStartOffset, 0)
	}
}

// Requests of one connection are in the log in the order in which they arrived, although they are in flight together.
func TestPipelinedProduceKeepsItsOrder(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	const n = 40
	format := kmsg.NewRequestFormatter()
	for i := range int32(n) {
		batch := recordbatchtest.Encode(testRecords(1, 0), recordbatchtest.Options{ProducerID: 7, BaseSequence: i})
		req := produceRequest(topic, 0, batch)
		req.SetVersion(7)
		_, err := h.conn.Write(format.AppendRequest(nil, req, i))
		must(t, err)
	}
	must(t, h.conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	for i := range int32(n) {
		var head [8]byte
		_, err := io.ReadFull(h.conn, head[:])
		must(t, err)
		equal(t, "correlation id", int32(binary.BigEndian.Uint32(head[4:])), i)
		body := make([]byte, binary.BigEndian.Uint32(head[:4])-4)
		_, err = io.ReadFull(h.conn, body)
		must(t, err)
		resp := kmsg.NewPtrProduceResponse()
		resp.SetVersion(7)
		must(t, resp.ReadFrom(body))
		equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, 0)
		equal(t, "offset", resp.Topics[0].Partitions[0].BaseOffset, int64(i))
	}
}

func TestProduceWithLogAppendTime(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topicWith("events", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	before := time.Now().UnixMilli()
	row := ask[*kmsg.ProduceResponse](h.harness, 9, produceRequest(topic, 0, testBatch(2))).Topics[0].Partitions[0]
	equal(t, "error", row.ErrorCode, 0)
	if row.LogAppendTime < before || row.LogAppendTime > time.Now().UnixMilli() {
		t.Fatalf("log append time %d", row.LogAppendTime)
	}
	_, runs, err := h.replica.Runs(metastore.TopicPartition{Topic: topic.ID}, 0, 1)
	must(t, err)
	equal(t, "timestamp in the log", runs[0].MaxTimestamp, row.LogAppendTime)
}

func TestProduceWithoutAcknowledgement(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	silent := produceRequest(topic, 0, testBatch(2))
	silent.Acks = 0
	silent.SetVersion(9)
	_, err := h.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, silent, 99))
	must(t, err)
	row := ask[*kmsg.ProduceResponse](h.harness, 9, produceRequest(topic, 0, testBatch(1))).Topics[0].Partitions[0]
	equal(t, "offset after two silent records", row.BaseOffset, 2)

	silent.Topics[0].Partitions[0].Partition = 5
	_, err = h.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, silent, 100))
	must(t, err)
	must(t, h.conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	if n, err := h.conn.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes of an answer, want a closed connection", n)
	}
}

func TestProduceWithoutAcknowledgementThatIsRefusedAtTheCommit(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	reopen := h.objects.shut()
	silent := produceRequest(topic, 0, testBatch(2))
	silent.Acks = 0
	silent.SetVersion(9)
	_, err := h.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, silent, 99))
	must(t, err)
	<-h.objects.waiting
	must(t, h.replica.DeleteTopic(t.Context(), topic.ID))
	reopen()
	must(t, h.conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	if n, err := h.conn.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes of an answer, want a closed connection", n)
	}
}

func TestProduceTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		reopen := h.objects.shut()
		req := produceRequest(topic, 0, testBatch(2))
		req.TimeoutMillis = 5000
		req.SetVersion(9)
		begin := time.Now()
		resp := h.broker.produce(t.Context(), h.producer, req)(t.Context()).(*kmsg.ProduceResponse)
		equal(t, "waited", time.Since(begin), 5*time.Second)
		equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, kerr.RequestTimedOut.Code)
		equal(t, "offset", resp.Topics[0].Partitions[0].BaseOffset, -1)
		reopen()
		equal(t, "offset of the next", h.produce(topic, 0, testBatch(1)), 2)
	})
}

func TestProduceWaitsAsLongAsTheTopicSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		for name, want := range map[string]time.Duration{"-1": 0, "0": 0, "5000": 5 * time.Second} {
			topic := h.topicWith("linger"+name, 1, map[string]string{"runnel.linger.max.ms": name})
			time.Sleep(time.Second) // the broker is idle
			begin := time.Now()
			h.produce(topic, 0, testBatch(1))
			equal(t, "linger "+name, time.Since(begin), want)
		}
	})
}

// The client would send again what waits here by choice, and a producer that is not idempotent have it twice.
func TestProduceDoesNotWaitForCompanyUntilTheRequestTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topicWith("lazy", 1, map[string]string{"runnel.linger.max.ms": "60000"})
		for offset, timeout := range []int32{30_000, 10_000, 0} {
			req := produceRequest(topic, 0, testBatch(1))
			req.TimeoutMillis = timeout
			req.SetVersion(9)
			begin := time.Now()
			resp := h.broker.produce(t.Context(), h.producer, req)(t.Context()).(*kmsg.ProduceResponse)
			equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, 0)
			equal(t, "offset", resp.Topics[0].Partitions[0].BaseOffset, int64(offset))
			equal(t, "waited", time.Since(begin), max(time.Duration(timeout)*time.Millisecond, leastProduceTimeout)/2)
		}
	})
}

func TestProduceToATopicThatIsDeletedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		for _, tc := range []struct {
			version int16
			want    *kerr.Error
		}{{12, kerr.UnknownTopicOrPartition}, {13, kerr.UnknownTopicID}} {
			topic := h.topic("events", 1, 1)
			reopen := h.objects.shut()
			req := produceRequest(topic, 0, testBatch(2))
			req.SetVersion(tc.version)
			pending := h.broker.produce(t.Context(), new(wire.Conn), req)
			must(t, h.replica.DeleteTopic(t.Context(), topic.ID))
			reopen()
			resp := pending(t.Context()).(*kmsg.ProduceResponse)
			equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, tc.want.Code)
		}
	})
}

// The frame is used again for another request when the handler has returned.
func TestProduceKeepsNothingOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		sent := testBatch(50)
		req := produceRequest(topic, 0, bytes.Clone(sent))
		req.SetVersion(9)
		frame := req.AppendTo(nil)
		decoded := kmsg.NewPtrProduceRequest()
		decoded.SetVersion(9)
		must(t, decoded.ReadFrom(frame))
		pending := h.broker.produce(t.Context(), new(wire.Conn), decoded)
		for i := range frame {
			frame[i] = 0xDB
		}
		*decoded = kmsg.ProduceRequest{}
		resp := pending(t.Context()).(*kmsg.ProduceResponse)
		equal(t, "topic", resp.Topics[0].Topic, "events")
		equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, 0)
		_, runs, err := h.replica.Runs(metastore.TopicPartition{Topic: topic.ID}, 0, 1)
		must(t, err)
		stored, err := h.objects.Get(t.Context(), segment.Key(runs[0].Segment), int64(runs[0].Position), int64(runs[0].Length))
		must(t, err)
		if !bytes.Equal(stored, sent) {
			t.Error("other bytes were stored than were sent")
		}
	})
}

// The one copy of records is that of the write path, so decoding must not make another.
func TestDecodingDoesNotCopyRecords(t *testing.T) {
	for _, version := range []int16{3, 9, 13} {
		req := produceRequest(&metastore.Topic{Name: "events"}, 0, testBatch(10))
		req.SetVersion(version)
		frame := req.AppendTo(nil)
		decoded := kmsg.NewPtrProduceRequest()
		decoded.SetVersion(version)
		must(t, decoded.ReadFrom(frame))
		records := decoded.Topics[0].Partitions[0].Records
		at := uintptr(unsafe.Pointer(&records[0])) - uintptr(unsafe.Pointer(&frame[0]))
		if at >= uintptr(len(frame)) {
			t.Errorf("v%d: records were copied", version)
		}
	}
}

func TestProduceKnowsWhatAnotherBrokerHasJustMade(t *testing.T) {
	h := newRecordHarness(t, nil)
	other := metastore.NewReplica(h.store, metastore.ReplicaOptions{})
	must(t, other.Open(t.Context()))
	topic, err := other.CreateTopic(t.Context(), metastore.NewTopic{Name: "fresh", Partitions: 1})
	must(t, err)
	resp := ask[*kmsg.ProduceResponse](h.harness, 12, produceRequest(topic, 0, testBatch(3)))
	equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, 0)
	must(t, other.CatchUp(t.Context()))
	must(t, other.CreatePartitions(t.Context(), topic.ID, 2, metastore.Room{}))
	resp = ask[*kmsg.ProduceResponse](h.harness, 13, produceRequest(topic, 1, testBatch(3)))
	equal(t, "error of a new partition", resp.Topics[0].Partitions[0].ErrorCode, 0)
	gone := &metastore.Topic{ID: metastore.TopicID{1}, Name: "never", Partitions: 1}
	resp = ask[*kmsg.ProduceResponse](h.harness, 13, produceRequest(gone, 0, testBatch(1)))
	equal(t, "error of a topic that nobody made", resp.Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicID.Code)
}
