package broker

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

// fetched is the batches of a partition from its start.
func (h *recordHarness) fetched(topic *metastore.Topic) []byte {
	h.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.ReplicaID, req.SessionEpoch = 1<<20, -1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic.Name, topic.ID
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes, p.CurrentLeaderEpoch = 1<<20, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	got := ask[*kmsg.FetchResponse](h.harness, 12, req).Topics[0].Partitions[0]
	equal(h.t, "fetch error", got.ErrorCode, 0)
	return got.RecordBatches
}

func TestTopicsAreCompressedWithTheirOwnCodec(t *testing.T) {
	for name, want := range map[string]recordbatch.Codec{
		"uncompressed": recordbatch.None, "gzip": recordbatch.Gzip, "snappy": recordbatch.Snappy, "lz4": recordbatch.LZ4, "zstd": recordbatch.Zstd,
	} {
		h := newRecordHarness(t, nil)
		topic := h.topicWith("events", 1, map[string]string{"compression.type": name})
		records := testRecords(20, 1_000_000)
		for sequence, from := range []recordbatch.Codec{recordbatch.None, recordbatch.Gzip, recordbatch.Snappy, recordbatch.LZ4, recordbatch.Zstd} {
			batch := recordbatchtest.Encode(records, recordbatchtest.Options{Codec: from, ProducerID: 9, BaseSequence: int32(20 * sequence)})
			for range 2 { // the second is a duplicate
				got := ask[*kmsg.ProduceResponse](h.harness, 12, produceRequest(topic, 0, bytes.Clone(batch))).Topics[0].Partitions[0]
				equal(t, name+": error", errorOf(got.ErrorCode), "")
				equal(t, name+": base offset", got.BaseOffset, int64(20*sequence))
			}
		}
		n := 0
		for b, err := range recordbatch.Split(h.fetched(topic)) {
			must(t, err)
			header, err := recordbatch.ParseHeader(b)
			must(t, err)
			equal(t, name+": codec", header.Codec(), want)
			equal(t, name+": sequence", header.BaseSequence, int32(20*n))
			equal(t, name+": checksum", recordbatch.Checksum(b), header.CRC)
			var got []recordbatch.Record
			for r, err := range recordbatch.Records(b, 1<<20) {
				must(t, err)
				r.Offset -= header.BaseOffset
				got = append(got, r)
			}
			for i := range records {
				records[i].Offset = int64(i)
			}
			if !reflect.DeepEqual(got, records) {
				t.Errorf("%s: records differ", name)
			}
			n++
		}
		equal(t, name+": batches", n, 5)
	}
}

func TestRecompressionCanBeTurnedOnForAllTopics(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	equal(t, "set", h.alter(1, ofBroker, "", "compression.type=zstd"), "")
	h.produce(topic, 0, testBatch(20))
	header, err := recordbatch.ParseHeader(h.fetched(topic))
	must(t, err)
	equal(t, "codec", header.Codec(), recordbatch.Zstd)
}

func TestWhatGrowsByRecompressionIsBounded(t *testing.T) {
	h := newRecordHarness(t, nil)
	zeros := func(size int) []byte {
		return recordbatchtest.Encode([]recordbatch.Record{{Timestamp: 1, Value: make([]byte, size)}}, recordbatchtest.Options{Codec: recordbatch.Gzip}.NotIdempotent())
	}
	small := h.topicWith("small", 1, map[string]string{"compression.type": "uncompressed"})
	got := ask[*kmsg.ProduceResponse](h.harness, 12, produceRequest(small, 0, zeros(2<<20))).Topics[0].Partitions[0]
	equal(t, "beyond max.message.bytes", errorOf(got.ErrorCode), "MESSAGE_TOO_LARGE")
	equal(t, "offset of what was refused", got.BaseOffset, -1)

	const each = 10 << 20
	large := h.topicWith("large", 4, map[string]string{"compression.type": "uncompressed", "max.message.bytes": "20000000"})
	req := produceRequest(large, 0, zeros(each))
	for i := range int32(3) {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = i+1, zeros(each)
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
	}
	for i, p := range ask[*kmsg.ProduceResponse](h.harness, 12, req).Topics[0].Partitions {
		want := ""
		if i == 3 {
			want = "MESSAGE_TOO_LARGE"
		}
		equal(t, "beyond what a request may hold", errorOf(p.ErrorCode), want)
	}
	if n := len(h.broker.recompressing); n != 0 {
		t.Errorf("%d places are still held", n)
	}
}
