package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DescribeLogDirs (35), versions 1 to 4: how many bytes partitions have. v2 is flexible, v3 has an error for the whole
// answer, v4 the size of the volume (KIP-827), which is unknown here: -1. Null topics are all; topics and partitions that
// do not exist are left out, as in Kafka.
//
// There is one log directory, the object store, that all brokers share. Tools ask every broker and add up. So a partition
// is reported by one broker alone, the leader that Metadata names to the client, and counts once. The zone of the listener
// must not matter for it, since other brokers may have other ones: the client's zone is what all brokers agree on. A tool
// that looks for replicas finds each partition at its leader and nowhere else.
//
// The size is that of the batches as producers made them, before the object store's own redundancy.

// defaultLogDir is the log directory of a Broker that is not told another.
const defaultLogDir = "/"

// unknownBytes is a size of a volume that cannot be told.
const unknownBytes = -1

func (b *Broker) describeLogDirs(_ context.Context, c *wire.Conn, req *kmsg.DescribeLogDirsRequest) *kmsg.DescribeLogDirsResponse {
	resp := respond[*kmsg.DescribeLogDirsResponse](req)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = b.LogDir, unknownBytes, unknownBytes
	placement := b.placement(b.Zones.Agreed(c.ClientID(), c.ClientHost()))
	describe := func(t *metastore.Topic, wanted func(int32) bool) {
		if described := b.describedLogs(t, wanted, placement); len(described.Partitions) > 0 {
			dir.Topics = append(dir.Topics, described)
		}
	}
	if req.Topics == nil {
		for _, t := range b.Topics.Topics() {
			describe(t, func(int32) bool { return true })
		}
	}
	partitions := askedLogs(req)
	for _, asked := range once(req.Topics, func(t kmsg.DescribeLogDirsRequestTopic) string { return t.Topic }) {
		if t, ok := b.Topics.Topic(asked.Topic); ok {
			describe(t, func(i int32) bool { return partitions[t.Name][i] })
		}
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp
}

// askedLogs are the partitions asked for by topic, each once.
func askedLogs(req *kmsg.DescribeLogDirsRequest) map[string]map[int32]bool {
	asked := make(map[string]map[int32]bool, len(req.Topics))
	for _, t := range req.Topics {
		if asked[t.Topic] == nil {
			asked[t.Topic] = make(map[int32]bool, len(t.Partitions))
		}
		for _, p := range t.Partitions {
			asked[t.Topic][p] = true
		}
	}
	return asked
}

// describedLogs are the partitions of a topic that are wanted and that this broker leads.
func (b *Broker) describedLogs(t *metastore.Topic, wanted func(int32) bool, placement *cluster.Placement) kmsg.DescribeLogDirsResponseDirTopic {
	answer := kmsg.NewDescribeLogDirsResponseDirTopic()
	answer.Topic = t.Name
	self := b.Membership.Self().NodeID
	for i, size := range b.Topics.PartitionSizes(t.ID) {
		tp := metastore.TopicPartition{Topic: t.ID, Partition: int32(i)}
		if !wanted(tp.Partition) || placement.Leader(tp).NodeID != self {
			continue
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size = tp.Partition, size
		answer.Partitions = append(answer.Partitions, p)
	}
	return answer
}
