package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DescribeTopicPartitions (75), version 0 (KIP-966): Metadata of topics in pages, in the order of their names, with the
// leaders and replicas of Metadata. No topics asked for are all topics that the client may describe. The answer holds partitions
// up to the limit, and a cursor to the first one left out.

// maxPartitionsPerPage is Kafka's max.request.partition.size.limit.
const maxPartitionsPerPage = 2000

func (b *Broker) describeTopicPartitions(_ context.Context, c *wire.Conn, req *kmsg.DescribeTopicPartitionsRequest) *kmsg.DescribeTopicPartitionsResponse {
	resp := respond[*kmsg.DescribeTopicPartitionsResponse](req)
	if err := checkCursor(req); err != nil {
		for _, t := range req.Topics {
			refused := kmsg.NewDescribeTopicPartitionsResponseTopic()
			refused.Topic, refused.ErrorCode = &t.Topic, code(err)
			resp.Topics = append(resp.Topics, refused)
		}
		return resp
	}
	placement := b.placement(c.Endpoint().Name, b.zone(c))
	left := int(min(max(req.ResponsePartitionLimit, 1), maxPartitionsPerPage))
	names, denied := b.pageTopics(c, req)
	for i := range denied {
		refused := kmsg.NewDescribeTopicPartitionsResponseTopic()
		refused.Topic, refused.ErrorCode = &denied[i], code(errTopicDenied)
		resp.Topics = append(resp.Topics, refused)
	}
	for _, name := range names {
		if left == 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name}
			return resp
		}
		t, ok := b.Topics.Topic(name)
		if !ok {
			missing := kmsg.NewDescribeTopicPartitionsResponseTopic()
			missing.Topic, missing.ErrorCode, missing.AuthorizedOperations = &name, kerr.UnknownTopicOrPartition.Code, b.operations(c, acl.Topic, name)
			if settings.ValidTopicName(name) != nil {
				missing.ErrorCode = kerr.InvalidTopicException.Code
			}
			resp.Topics = append(resp.Topics, missing)
			continue
		}
		var first int32
		if req.Cursor != nil && req.Cursor.Topic == name {
			first = req.Cursor.Partition
		}
		described := describedTopic(t, first, left, placement)
		described.AuthorizedOperations = b.operations(c, acl.Topic, name)
		resp.Topics = append(resp.Topics, described)
		left -= len(described.Partitions)
		if next := first + int32(len(described.Partitions)); next < t.Partitions {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: next}
			return resp
		}
	}
	return resp
}

// checkCursor finds a cursor that no answer to such a request can have held.
func checkCursor(req *kmsg.DescribeTopicPartitionsRequest) error {
	if req.Cursor == nil {
		return nil
	}
	named := func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == req.Cursor.Topic }
	switch {
	case req.Cursor.Partition < 0:
		return refuse(kerr.InvalidRequest, "the cursor is before the first partition")
	case len(req.Topics) > 0 && !slices.ContainsFunc(req.Topics, named):
		return refuse(kerr.InvalidRequest, "the cursor is at a topic that is not asked for")
	}
	return nil
}

// pageTopics are the names asked for, from that of the cursor on, and of those that are named the ones that the client may not
// describe.
func (b *Broker) pageTopics(c *wire.Conn, req *kmsg.DescribeTopicPartitionsRequest) (names, denied []string) {
	shown := b.permits(c, acl.Describe, acl.Topic)
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(req.Topics) == 0 {
		shown.quiet = true
		for _, t := range b.Topics.Topics() {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor != nil {
		at, _ := slices.BinarySearch(names, req.Cursor.Topic)
		names = names[at:]
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		if shown.allow(name) {
			return false
		}
		if !shown.quiet {
			denied = append(denied, name)
		}
		return true
	})
	return names, denied
}

func describedTopic(t *metastore.Topic, first int32, limit int, placement *cluster.Placement) kmsg.DescribeTopicPartitionsResponseTopic {
	answer := kmsg.NewDescribeTopicPartitionsResponseTopic()
	answer.Topic, answer.TopicID = &t.Name, t.ID
	n := min(int(max(t.Partitions-first, 0)), limit)
	for i, replicas := range replicaLists(t, first, n, placement) {
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.Replicas, p.ISR = first+int32(i), replicas, replicas
		p.LeaderID, p.LeaderEpoch = replicas[0], leaderEpoch
		p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{} // null is legal, and the Java client trips over it
		answer.Partitions = append(answer.Partitions, p)
	}
	return answer
}
