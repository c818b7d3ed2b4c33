package fuzztest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

// witness is a client that does nothing wrong, on a topic that nobody else can name. What it was told holds, whatever
// others send.
type witness struct {
	client *client
	topic  string
	log    []byte // of its one partition, as it was first read
	next   int64  // offset
	last   int64  // base offset of the last batch
}

const committedOffset = 3

func newWitness(address string) (*witness, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	var name [12]byte
	_, _ = rand.Read(name[:])
	w := &witness{client: c, topic: hex.EncodeToString(name[:])}
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = w.topic, 1, 1
	create.Topics = append(create.Topics, topic)
	if _, err := ask[*kmsg.CreateTopicsResponse](c, 5, create); err != nil {
		return nil, err
	}
	for _, codec := range codecs {
		if err := w.produce(codec); err != nil {
			return nil, err
		}
	}
	if refused, err := commitOffset(c, w.topic, w.topic, committedOffset); refused != nil || err != nil {
		return nil, fmt.Errorf("commit: %w, %w", refused, err)
	}
	return w, nil
}

// produce appends two records, which must get the next offsets and be there at once.
func (w *witness) produce(codec recordbatch.Codec) error {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 30_000
	p := kmsg.NewProduceRequestTopicPartition()
	now := time.Now().UnixMilli()
	p.Records = recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: []byte("one")}, {Timestamp: now, Key: []byte("k"), Value: []byte("two")}},
		recordbatchtest.Options{Codec: codec}.NotIdempotent())
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: w.topic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	resp, err := ask[*kmsg.ProduceResponse](w.client, 9, req)
	if err != nil {
		return err
	}
	row := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(row.ErrorCode); err != nil || row.BaseOffset != w.next {
		return fmt.Errorf("a right batch got offset %d, want %d (%w)", row.BaseOffset, w.next, err)
	}
	added, err := w.read(w.next, w.next+2)
	if err != nil {
		return err
	}
	w.log, w.last, w.next = append(w.log, added...), w.next, w.next+2
	return nil
}

// read returns what stands from an offset on, and that the high watermark is what it has to be.
func (w *witness) read(from, high int64) ([]byte, error) {
	row, err := fetch(w.client, w.topic, 0, from)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(row.ErrorCode); err != nil || row.HighWatermark != high || row.LastStableOffset != high || row.LogStartOffset != 0 {
		return nil, fmt.Errorf("read from %d: %w, high watermark %d, last stable offset %d, want %d, log start %d, want 0", from, err, row.HighWatermark, row.LastStableOffset, high, row.LogStartOffset)
	}
	return row.RecordBatches, nil
}

func fetch(c *client, topic string, partition int32, from int64) (row kmsg.FetchResponseTopicPartition, err error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch = 64<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, from, 64<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	resp, err := ask[*kmsg.FetchResponse](c, 11, req)
	if err != nil {
		return row, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return row, fmt.Errorf("fetch answered %+v", resp)
	}
	return resp.Topics[0].Partitions[0], nil
}

// look asks whether all is as it was: quickly, or all of it.
func (w *witness) look(all bool) error {
	tail, err := w.read(w.last, w.next)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(w.log, tail) || len(tail) == 0 {
		return fmt.Errorf("the last batch has changed to\n%x", tail)
	}
	if !all {
		return nil
	}
	log, err := w.read(0, w.next)
	if err != nil {
		return err
	}
	if !bytes.Equal(log, w.log) {
		return fmt.Errorf("the log has changed from\n%x to\n%x", w.log, log)
	}
	if err := w.offset(); err != nil {
		return err
	}
	return w.produce(codecs[w.next%int64(len(codecs))])
}

func (w *witness) offset() error {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = w.topic
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: w.topic, Partitions: []int32{0}}}
	resp, err := ask[*kmsg.OffsetFetchResponse](w.client, 5, req)
	if err != nil {
		return err
	}
	if row := resp.Topics[0].Partitions[0]; row.Offset != committedOffset || row.Metadata == nil || *row.Metadata != "as it was" {
		return fmt.Errorf("committed offset is now %+v", row)
	}
	return nil
}
