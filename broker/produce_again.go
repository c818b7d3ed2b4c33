package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
)

// copies are batches that the log has already, and whose producers ask again because they have heard no answer. A broker that
// takes nothing any more says where they are all the same: franz-go concludes from a refusal that the batch was never
// written, and gives its sequence to other records once its time is over, which would then be taken for copies.
type copies struct {
	*Broker
	looked bool // at the commit log, once for a request
}

// find answers the row if the log has a copy of its batch.
func (c *copies) find(ctx context.Context, row *kmsg.ProduceResponseTopicPartition, topic *metastore.Topic, rules recordbatch.Rules, records []byte) bool {
	h, err := recordbatch.PeekHeader(records)
	if err != nil || h.ProducerID < 0 || h.Size() != len(records) {
		return false
	}
	if !c.looked {
		c.looked = true
		c.refreshed(ctx)
	}
	tp := metastore.TopicPartition{Topic: topic.ID, Partition: row.Partition}
	offset, ok := c.Topics.Written(tp, &metastore.BatchCommit{
		ProducerID: metastore.ProducerID(h.ProducerID), ProducerEpoch: metastore.ProducerEpoch(h.ProducerEpoch),
		BaseSequence: h.BaseSequence, Records: h.LastOffsetDelta + 1,
	})
	if !ok {
		return false
	}
	row.BaseOffset = int64(offset)
	if marks, known := c.Topics.Watermarks(tp); known {
		row.LogStartOffset = int64(marks.LogStart)
	}
	if rules.LogAppendTime {
		row.LogAppendTime = rules.Now
	}
	return true
}
