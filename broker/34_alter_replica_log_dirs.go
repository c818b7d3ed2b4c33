package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// AlterReplicaLogDirs (34), versions 1 and 2 (KIP-113): where a broker keeps its replicas. There is one log directory, the
// object store: to put a partition there is a success that changes nothing, and every other directory is
// LOG_DIR_NOT_FOUND. v2 is flexible.

func (b *Broker) alterReplicaLogDirs(_ context.Context, c *wire.Conn, req *kmsg.AlterReplicaLogDirsRequest) *kmsg.AlterReplicaLogDirsResponse {
	resp := respond[*kmsg.AlterReplicaLogDirsResponse](req)
	denied := !b.mayOnCluster(c, acl.Alter)
	for _, dir := range req.Dirs {
		for _, asked := range dir.Topics {
			topic := kmsg.NewAlterReplicaLogDirsResponseTopic()
			topic.Topic = asked.Topic
			for _, partition := range asked.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition = partition
				switch {
				case denied:
					p.ErrorCode = code(errClusterDenied)
				case dir.Dir != b.LogDir:
					p.ErrorCode = kerr.LogDirNotFound.Code
				case !b.hasPartition(asked.Topic, partition):
					p.ErrorCode = kerr.UnknownTopicOrPartition.Code
				}
				topic.Partitions = append(topic.Partitions, p)
			}
			resp.Topics = append(resp.Topics, topic)
		}
	}
	return resp
}

func (b *Broker) hasPartition(topic string, partition int32) bool {
	t, ok := b.Topics.Topic(topic)
	if !ok {
		return false
	}
	_, ok = b.Topics.Watermarks(metastore.TopicPartition{Topic: t.ID, Partition: partition})
	return ok
}
