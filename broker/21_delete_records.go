package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DeleteRecords (21), versions 0 to 2 (KIP-107): raises the log start of partitions to an offset, all of a request in one
// commit; -1 is the high watermark. The answer tells where they begin now. v2 is flexible.
//
// A log start never goes back: an offset below it is a success that changes nothing. An offset above the high watermark is
// OFFSET_OUT_OF_RANGE, a topic whose cleanup.policy lacks delete POLICY_VIOLATION. Of a partition that is named twice the
// last offset counts, as in Kafka. Every broker can do it, whoever leads; the records are gone for all readers at once. What
// they took in the object store is not freed by this: objects go once nothing names them, after a grace (batching/garbage).

func (b *Broker) deleteRecords(ctx context.Context, c *wire.Conn, req *kmsg.DeleteRecordsRequest) *kmsg.DeleteRecordsResponse {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	resp := respond[*kmsg.DeleteRecordsResponse](req)
	rows := make(map[fetchKey]int) // in asked
	var asked []partitionDeletion
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			key := fetchKey{topic: t.Topic, partition: p.Partition}
			row, twice := rows[key]
			if !twice {
				row = len(asked)
				rows[key] = row
				asked = append(asked, partitionDeletion{})
			}
			asked[row] = partitionDeletion{topic: t.Topic, partition: p.Partition, before: metastore.Offset(p.Offset)}
		}
	}
	b.deletePartitionRecords(ctx, c, asked)
	topics := make(map[string]int) // in the answer
	for _, a := range asked {
		at, known := topics[a.topic]
		if !known {
			at = len(resp.Topics)
			topics[a.topic] = at
			topic := kmsg.NewDeleteRecordsResponseTopic()
			topic.Topic = a.topic
			resp.Topics = append(resp.Topics, topic)
		}
		p := kmsg.NewDeleteRecordsResponseTopicPartition()
		p.Partition, p.LowWatermark, p.ErrorCode = a.partition, int64(a.logStart), code(a.err)
		resp.Topics[at].Partitions = append(resp.Topics[at].Partitions, p)
	}
	return resp
}

// partitionDeletion is what is asked of a partition, and its outcome.
type partitionDeletion struct {
	topic     string
	partition int32
	before    metastore.Offset

	logStart metastore.Offset
	err      error
}

// deletePartitionRecords fills in the outcomes.
func (b *Broker) deletePartitionRecords(ctx context.Context, c *wire.Conn, asked []partitionDeletion) {
	if len(asked) == 0 {
		return
	}
	fresh := b.refreshed(ctx) // else a broker that is behind would find offsets beyond the high watermark
	var changes []metastore.RecordDeletion
	var rows []int
	deletes, moves := b.permits(c, acl.Delete, acl.Topic), newLogStarts(b.Topics)
	for i := range asked {
		a := &asked[i]
		a.logStart = metastore.NoOffset
		t, ok := b.Topics.Topic(a.topic)
		switch {
		case !deletes.allow(a.topic):
			a.err = errTopicDenied
		case !ok || a.partition < 0 || a.partition >= t.Partitions:
			a.err = errNoSuchName
		case !b.Settings.Load().Topic(t.Configs).Deleted:
			a.err = refuse(kerr.PolicyViolation, "the cleanup.policy of the topic lacks delete")
		case !fresh:
			a.err = refuse(kerr.RequestTimedOut, "the commit log cannot be read")
		default:
			changes = append(changes, metastore.RecordDeletion{
				TopicPartition: metastore.TopicPartition{Topic: t.ID, Partition: a.partition}, Before: a.before,
			})
			rows = append(rows, i)
			moves.note(t, a.partition)
		}
	}
	if len(changes) == 0 {
		return
	}
	results, err := b.Changes.DeleteRecords(ctx, changes)
	told := make(map[string]bool)
	for i, row := range rows {
		if err != nil {
			asked[row].err = err
			if topic := asked[row].topic; !told[topic] {
				told[topic] = true
				b.mayHaveChanged(c, "DeleteRecords", topicResource(topic), err)
			}
			continue
		}
		asked[row].logStart, asked[row].err = results[i].LogStart, results[i].Err
		if results[i].Err == nil {
			moves.moved(asked[row].topic, asked[row].partition, results[i].LogStart)
		}
	}
	for _, topic := range moves.topics {
		b.changed(c, "DeleteRecords", topicResource(topic), moves.before[topic], moves.after[topic])
	}
}
