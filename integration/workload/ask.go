package workload

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/history"
)

// marksByList asks for a partition's borders, each an observation.
func (o *observer) marksByList(ctx context.Context, p *probe, partition history.Partition) {
	none := history.Marks{Partition: partition, LogStart: -1, High: -1, Stable: -1}
	for _, isolation := range []history.Isolation{history.ReadCommitted, history.ReadUncommitted} {
		op, marks := o.begin(isolation), none
		end, err := p.latest(ctx, isolation, partition)
		if isolation == history.ReadCommitted {
			marks.Stable = end
		} else {
			marks.High = end
		}
		o.endMark(op, marks, err)
	}
	op, marks := o.begin(history.ReadUncommitted), none
	var err error
	marks.LogStart, _, err = p.list(ctx, history.ReadUncommitted, partition, earliest)
	o.endMark(op, marks, err)
}

func (o *observer) begin(isolation history.Isolation) *history.Operation {
	return o.Recorder.Begin(history.Operation{Kind: history.Observe, Worker: o.number, Broker: o.address, Isolation: isolation, Fresh: true})
}

// endOfEpoch asks for the end of the only leader epoch, which is the high watermark: an observation too.
func (o *observer) endOfEpoch(ctx context.Context, p *probe, partition history.Partition) {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
	topic.Topic = partition.Topic
	asked := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	asked.Partition = partition.Number
	topic.Partitions = append(topic.Partitions, asked)
	req.Topics = append(req.Topics, topic)
	op := o.begin(history.ReadUncommitted)
	marks := history.Marks{Partition: partition, LogStart: -1, High: -1, Stable: -1}
	answer, err := p.ask(ctx, req)
	if err == nil {
		resp := answer.(*kmsg.OffsetForLeaderEpochResponse)
		if len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) == 1 {
			row := resp.Topics[0].Partitions[0]
			marks.High, err = row.EndOffset, kerr.ErrorForCode(row.ErrorCode)
		} else {
			err = errors.New("asked for the epoch of one partition, told those of others")
		}
	}
	o.endMark(op, marks, err)
}

// findOffset asks for a record by its time; final: when nothing is written any more.
func (r *run) findOffset(ctx context.Context, number int, p *probe, partition history.Partition, timestamp int64, final bool) {
	op := r.Recorder.Begin(history.Operation{
		Kind: history.FindOffset, Worker: number, Broker: p.address, Isolation: history.ReadUncommitted, Asked: timestamp,
		Fresh: true, Final: final,
	})
	offset, told, err := p.list(ctx, history.ReadUncommitted, partition, timestamp)
	op.Offsets, op.Told = []history.At{{Partition: partition, Offset: offset}}, told
	outcome := history.OK
	if err != nil {
		outcome = history.Failed // a read changes nothing
	}
	r.Recorder.End(op, outcome, err)
}
