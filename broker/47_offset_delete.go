package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// OffsetDelete (47), version 0 (KIP-496): forgets positions of a group, except in topics that its members are subscribed
// to. What an ongoing transaction holds stays held, where Kafka forgets it, too.

func (b *Broker) offsetDelete(ctx context.Context, c *wire.Conn, req *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	ctx, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	resp := respond[*kmsg.OffsetDeleteResponse](req)
	if !b.may(c, acl.Delete, acl.Group, req.Group) {
		resp.ErrorCode = code(errGroupDenied)
		return resp
	}
	reads := b.permits(c, acl.Read, acl.Topic)
	type place struct{ topic, partition int }
	var places []place // places[i] is the answer to forget[i]
	var forget []group.PartitionOf
	for _, asked := range req.Topics {
		topic := kmsg.NewOffsetDeleteResponseTopic()
		topic.Topic = asked.Topic
		t, known := b.Topics.Topic(asked.Topic)
		for _, p := range asked.Partitions {
			answer := kmsg.NewOffsetDeleteResponseTopicPartition()
			answer.Partition = p.Partition
			switch {
			case !reads.allow(asked.Topic):
				answer.ErrorCode = code(errTopicDenied)
			case known && p.Partition >= 0 && p.Partition < t.Partitions:
				places = append(places, place{len(resp.Topics), len(topic.Partitions)})
				forget = append(forget, group.PartitionOf{
					TopicPartition: metastore.TopicPartition{Topic: t.ID, Partition: p.Partition}, TopicName: t.Name,
				})
			default:
				answer.ErrorCode = kerr.UnknownTopicOrPartition.Code
			}
			topic.Partitions = append(topic.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if req.Group == "" {
		resp.ErrorCode, resp.Topics = kerr.InvalidGroupID.Code, nil
		return resp
	}
	outcomes, err := b.Groups.DeleteOffsets(ctx, req.Group, forget)
	if err != nil {
		b.mayHaveChanged(c, "OffsetDelete", groupResource(req.Group), err)
		resp.ErrorCode, resp.Topics = groupCode(err), nil
		return resp
	}
	gone := make(map[string]string)
	for i, at := range places {
		resp.Topics[at.topic].Partitions[at.partition].ErrorCode = groupCode(outcomes[i])
		if outcomes[i] == nil {
			tellPartition(gone, forget[i].TopicName, forget[i].Partition, "committed")
		}
	}
	if len(gone) > 0 {
		b.changed(c, "OffsetDelete", groupResource(req.Group), gone, nil)
	}
	return resp
}
