package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// OffsetForLeaderEpoch (23), versions 2 to 4 (KIP-320): where the log of a leader epoch ends. There is one epoch, 0, and
// it ends where the log does; nothing is ever truncated.
//
// Consumers ask whenever the leader changes, and go back to the end that they are told of if they were beyond it. So the
// end is told after a look at the commit log; if it cannot be read the answer is OFFSET_NOT_AVAILABLE, and clients try again.

func (b *Broker) offsetForLeaderEpoch(ctx context.Context, c *wire.Conn, req *kmsg.OffsetForLeaderEpochRequest) *kmsg.OffsetForLeaderEpochResponse {
	resp := respond[*kmsg.OffsetForLeaderEpochResponse](req)
	fresh := b.refreshed(ctx)
	all, describes := b.sees(c, acl.ClusterAction, acl.Cluster, acl.ClusterName), b.permits(c, acl.Describe, acl.Topic)
	for _, asked := range req.Topics {
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = asked.Topic
		for _, p := range asked.Partitions {
			if all || describes.allow(asked.Topic) {
				topic.Partitions = append(topic.Partitions, b.endOfEpoch(asked.Topic, p, fresh))
				continue
			}
			denied := noEndOfEpoch(p.Partition)
			denied.ErrorCode = code(errTopicDenied)
			topic.Partitions = append(topic.Partitions, denied)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func (b *Broker) endOfEpoch(topic string, asked kmsg.OffsetForLeaderEpochRequestTopicPartition, fresh bool) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	p := noEndOfEpoch(asked.Partition)
	if moved := b.moved(); moved != nil {
		p.ErrorCode = moved.Code
		return p
	}
	t, ok := b.Topics.Topic(topic)
	if !ok {
		p.ErrorCode = kerr.UnknownTopicOrPartition.Code
		return p
	}
	marks, ok := b.Topics.Watermarks(metastore.TopicPartition{Topic: t.ID, Partition: asked.Partition})
	if !ok {
		p.ErrorCode = kerr.UnknownTopicOrPartition.Code
		return p
	}
	if err := wrongEpoch(asked.CurrentLeaderEpoch); err != nil {
		p.ErrorCode = err.Code
		return p
	}
	switch {
	case asked.LeaderEpoch == leaderEpoch && !fresh:
		p.ErrorCode = kerr.OffsetNotAvailable.Code
	case asked.LeaderEpoch == leaderEpoch:
		p.LeaderEpoch, p.EndOffset = leaderEpoch, int64(marks.High)
	case asked.LeaderEpoch < -1: // before all epochs, as Kafka answers; -1 is none
		p.LeaderEpoch, p.EndOffset = asked.LeaderEpoch, int64(marks.LogStart)
	}
	return p
}

func noEndOfEpoch(partition int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
	p.Partition, p.LeaderEpoch, p.EndOffset = partition, -1, int64(metastore.NoOffset)
	return p
}

// wrongEpoch is what to tell a client that believes a partition to be in another leader epoch; -1 is no belief.
func wrongEpoch(current int32) *kerr.Error {
	switch {
	case current > leaderEpoch:
		return kerr.UnknownLeaderEpoch
	case current < -1:
		return kerr.FencedLeaderEpoch
	}
	return nil
}
