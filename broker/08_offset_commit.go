package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// OffsetCommit (8), versions 2 to 10: sets the positions of a group, durably. v6 has leader epochs (KIP-320), v7 static
// members (KIP-345), v9 takes the epoch of a member of a consumer group for a generation, v10 has topic ids (KIP-848).
// Partitions that do not exist are refused each for itself.
//
// The retention time of v2 to v4 is ignored, where Kafka lets such an offset expire by it: offsets.retention.minutes
// applies to all, so that an old client does not lose what newer ones would keep.

func (b *Broker) offsetCommit(ctx context.Context, c *wire.Conn, req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	ctx, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	resp := respond[*kmsg.OffsetCommitResponse](req)
	commit := group.CommitRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: deref(req.InstanceID), Generation: group.Generation(req.Generation),
		MemberEpochs: req.Version >= 9,
	}
	type place struct{ topic, partition int }
	var places []place // places[i] is the answer to commit.Offsets[i]
	denied := !b.may(c, acl.Read, acl.Group, req.Group)
	reads := b.permits(c, acl.Read, acl.Topic)
	for _, asked := range req.Topics {
		topic := kmsg.NewOffsetCommitResponseTopic()
		topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
		t, err := b.topicOf(req.Version >= 10, asked.Topic, asked.TopicID)
		if denied {
			err = errGroupDenied
		} else if name := nameOf(t, asked.Topic); name != "" && !reads.allow(name) {
			err = errTopicDenied
		}
		for _, p := range asked.Partitions {
			answer := kmsg.NewOffsetCommitResponseTopicPartition()
			answer.Partition = p.Partition
			switch {
			case err != nil:
				answer.ErrorCode = code(err)
			case p.Partition < 0 || p.Partition >= t.Partitions:
				answer.ErrorCode = kerr.UnknownTopicOrPartition.Code
			default:
				places = append(places, place{len(resp.Topics), len(topic.Partitions)})
				commit.Offsets = append(commit.Offsets, group.CommitOffset{
					TopicPartition: metastore.TopicPartition{Topic: t.ID, Partition: p.Partition}, TopicName: t.Name,
					Offset: metastore.Offset(p.Offset), LeaderEpoch: p.LeaderEpoch, Metadata: deref(p.Metadata),
				})
			}
			topic.Partitions = append(topic.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if len(places) == 0 {
		return resp
	}
	outcomes, err := b.Groups.CommitOffsets(ctx, commit)
	for i, at := range places {
		outcome := err
		if err == nil && outcomes != nil {
			outcome = outcomes[i]
		}
		resp.Topics[at.topic].Partitions[at.partition].ErrorCode = commitCode(outcome, req.Version)
	}
	return resp
}

func commitCode(err error, version int16) int16 {
	if version < 9 && errors.Is(err, group.ErrGroupNotFound) {
		return kerr.IllegalGeneration.Code
	}
	return groupCode(err)
}

// topicOf finds the topic of requests that name it by its id from some version on.
func (b *Broker) topicOf(byID bool, name string, id [16]byte) (*metastore.Topic, error) {
	if byID {
		if t, ok := b.Topics.TopicByID(id); ok {
			return t, nil
		}
		return nil, errNoSuchID
	}
	if t, ok := b.Topics.Topic(name); ok {
		return t, nil
	}
	return nil, errNoSuchName
}
