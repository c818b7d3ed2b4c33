package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DescribeLogDirs (35), versions 1 to 5: how many bytes partitions have. v2 is flexible, v3 has an error for the whole
// answer, v4 the size of the volume (KIP-827), which is unknown here: -1, v5 whether the directory is cordoned (KIP-1066),
// which it never is. Null topics are all; topics and partitions that do not exist are left out, as in Kafka.
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
	if !b.mayOnCluster(c, acl.Describe) {
		resp.ErrorCode = code(errClusterDenied)
		return resp
	}
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = b.LogDir, unknownBytes, unknownBytes
	placement := b.placement(c.Endpoint().Name, b.Zones.Agreed(c.ClientID(), c.ClientHost()))
	if req.Topics == nil {
		for _, t := range b.Topics.Topics() {
			dir.Topics = b.appendLogs(dir.Topics, t, nil, placement)
		}
	}
	for _, asked := range b.askedLogs(req) {
		dir.Topics = b.appendLogs(dir.Topics, asked.topic, asked.partitions, placement)
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp
}

// askedLog is a topic of which some partitions are asked for.
type askedLog struct {
	topic      *metastore.Topic
	partitions []bool // by number: whether it is asked for
}

// askedLogs are the partitions asked for that exist, in order of their topics, each topic once.
func (b *Broker) askedLogs(req *kmsg.DescribeLogDirsRequest) (asked []askedLog) {
	places := make(map[metastore.TopicID]int)
	for i := range req.Topics {
		t, ok := b.Topics.Topic(req.Topics[i].Topic)
		if !ok {
			continue
		}
		place, ok := places[t.ID]
		if !ok {
			place = len(asked)
			places[t.ID] = place
			asked = append(asked, askedLog{t, make([]bool, t.Partitions)})
		}
		for _, p := range req.Topics[i].Partitions {
			if p >= 0 && int(p) < len(asked[place].partitions) {
				asked[place].partitions[p] = true
			}
		}
	}
	return asked
}

// appendLogs appends a topic with its partitions that are wanted (nil: all) and that this broker leads, if there are any.
func (b *Broker) appendLogs(topics []kmsg.DescribeLogDirsResponseDirTopic, t *metastore.Topic, wanted []bool, placement *cluster.Placement) []kmsg.DescribeLogDirsResponseDirTopic {
	answer := kmsg.NewDescribeLogDirsResponseDirTopic()
	answer.Topic = t.Name
	self := b.Membership.Self().NodeID
	for i, size := range b.Topics.PartitionSizes(t.ID) {
		if wanted != nil && (i >= len(wanted) || !wanted[i]) {
			continue
		}
		if placement.Leader(metastore.TopicPartition{Topic: t.ID, Partition: int32(i)}).NodeID != self {
			continue
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size = int32(i), size
		answer.Partitions = append(answer.Partitions, p)
	}
	if len(answer.Partitions) == 0 {
		return topics
	}
	return append(topics, answer)
}
