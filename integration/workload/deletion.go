package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/history"
)

// deleteSome deletes some of what this worker has read of a partition whose records may be deleted, through any broker.
func (w *worker) deleteSome(ctx context.Context) error {
	var candidates []history.At
	for _, p := range w.keys.active() {
		if known := w.known[p]; known > 0 && kindOfTopic(p.Topic).deletable() {
			candidates = append(candidates, history.At{Partition: p, Offset: known})
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	at := candidates[w.rand.IntN(len(candidates))]
	at.Offset -= w.rand.Int64N(min(at.Offset, 10))
	p, err := w.newProbe(ctx, w.Brokers[w.rand.IntN(len(w.Brokers))], fmt.Sprintf("w%d-deleter", w.number))
	if err != nil {
		return err
	}
	defer p.abandon()
	w.deleteRecords(ctx, p, at)
	return nil
}

// deleteRecords asks a broker to delete what is before an offset.
func (w *worker) deleteRecords(ctx context.Context, p *probe, at history.At) {
	ctx, cancel := context.WithTimeout(ctx, w.Operation)
	defer cancel()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = int32(w.Operation / time.Millisecond)
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = at.Topic
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Partition, partition.Offset = at.Number, at.Offset
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	op := w.Recorder.Begin(history.Operation{Kind: history.DeleteRecords, Worker: w.number, Broker: p.address, Offsets: []history.At{at}})
	before := p.wire.sent(kmsg.DeleteRecords)
	answer, err := p.ask(ctx, req)
	if err == nil {
		err = recordsDeleted(answer.(*kmsg.DeleteRecordsResponse), at.Offset)
	}
	tries := attempts{left: p.wire.sent(kmsg.DeleteRecords) - before, all: ctx.Err() == nil}
	w.Recorder.End(op, tries.outcome(err), err)
}

func recordsDeleted(resp *kmsg.DeleteRecordsResponse, upTo int64) error {
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return errors.New("asked to delete records of one partition, told of others")
	}
	row := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(row.ErrorCode); err != nil {
		return err
	}
	if row.LowWatermark < upTo {
		return fmt.Errorf("asked to delete what is before %d, and told that the log starts at %d", upTo, row.LowWatermark)
	}
	return nil
}
