package fuzztest

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
)

// clean checks what the requests left behind and puts it away.
func (w *world) clean() error {
	c, err := dial(w.address)
	if err != nil {
		return err
	}
	defer c.close()
	if err := w.readable(c); err != nil {
		return err
	}
	if err := w.deleteTopics(c); err != nil {
		return err
	}
	if err := w.prepare(c); err != nil {
		return err
	}
	c.close()
	return errors.Join(w.calm(), w.errors.err(), lean())
}

// mayHold is what a broker may hold when nothing is asked and only our topics are left: its caches, and the log and the
// objects of stores in memory, which nothing removes.
const mayHold = 1 << 30

func lean() error {
	runtime.GC()
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc > mayHold {
		return fmt.Errorf("%d bytes are still held", m.HeapAlloc)
	}
	return nil
}

// readable reads all that requests produced: what the broker took, it can give, in order and without gaps.
func (w *world) readable(c *client) error {
	for _, t := range w.topics {
		for partition := range int32(4) {
			if err := readThrough(c, t.name, partition); err != nil {
				return fmt.Errorf("%s-%d: %w", t.name, partition, err)
			}
		}
	}
	return nil
}

func readThrough(c *client, topic string, partition int32) error {
	row, err := fetch(c, topic, partition, 1<<62)
	if err != nil {
		return err
	}
	switch err := kerr.ErrorForCode(row.ErrorCode); err {
	case kerr.UnknownTopicOrPartition: // a request deleted it
		return nil
	case kerr.OffsetOutOfRange:
	default:
		return fmt.Errorf("beyond the end: %w", err)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, -2
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	listed, err := ask[*kmsg.ListOffsetsResponse](c, 5, req)
	if err != nil {
		return err
	}
	next := listed.Topics[0].Partitions[0].Offset
	for first := true; ; first = false {
		if row, err = fetch(c, topic, partition, next); err != nil {
			return err
		}
		if err := kerr.ErrorForCode(row.ErrorCode); err != nil {
			return fmt.Errorf("read from %d: %w", next, err)
		}
		if next == row.HighWatermark {
			return nil
		}
		if len(row.RecordBatches) == 0 {
			return fmt.Errorf("nothing at %d, and the high watermark is %d", next, row.HighWatermark)
		}
		for batch, err := range recordbatch.Split(row.RecordBatches) {
			if err != nil {
				return err
			}
			h, err := recordbatch.ParseHeader(batch)
			if err != nil {
				return err
			}
			if h.BaseOffset != next && !(first && h.BaseOffset < next && next <= h.LastOffset()) {
				return fmt.Errorf("a batch at %d, want %d", h.BaseOffset, next)
			}
			next, first = h.LastOffset()+1, false
		}
	}
}

func (w *world) deleteTopics(c *client) error {
	all := kmsg.NewPtrMetadataRequest()
	meta, err := ask[*kmsg.MetadataResponse](c, 9, all)
	if err != nil {
		return err
	}
	keep := map[string]bool{w.witness.topic: true}
	for _, t := range w.topics {
		keep[t.name] = true
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	for _, t := range meta.Topics {
		if !keep[*t.Topic] || len(t.Partitions) > 100 {
			req.TopicNames = append(req.TopicNames, *t.Topic)
		}
	}
	_, err = ask[*kmsg.DeleteTopicsResponse](c, 4, req)
	return err
}
