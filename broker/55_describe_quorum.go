package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// DescribeQuorum (55), versions 0 to 2 (KIP-595; KIP-836 brings times, KIP-853 directories, texts and listeners): who keeps
// the cluster's metadata. Here it is the commit log, of which there is one copy, the metastore's. So that tools have
// something to show, the answer says of it what can be said in these words: every live broker may append to it and is a
// voter; the leader is the one with the lowest id, so that every broker names the same, at the epoch of its registration; the
// high watermark is the last entry plus one, and so is every broker's end of the log, since there is no copy that could lag
// behind. When others last read is unknown: -1.
//
// The request names the one partition of __cluster_metadata; everything else is UNKNOWN_TOPIC_OR_PARTITION.

const metadataLog = "__cluster_metadata"

func (b *Broker) describeQuorum(_ context.Context, c *wire.Conn, req *kmsg.DescribeQuorumRequest) *kmsg.DescribeQuorumResponse {
	resp := respond[*kmsg.DescribeQuorumResponse](req)
	if !b.mayOnCluster(c, acl.Describe) {
		resp.ErrorCode, resp.ErrorMessage = failure(errClusterDenied)
		return resp
	}
	resp.ErrorMessage = kmsg.StringPtr("") // none, as Kafka says it
	if len(req.Topics) != 1 || req.Topics[0].Topic != metadataLog || len(req.Topics[0].Partitions) != 1 || req.Topics[0].Partitions[0].Partition != 0 {
		for _, asked := range req.Topics {
			topic := kmsg.NewDescribeQuorumResponseTopic()
			topic.Topic = asked.Topic
			for _, partition := range asked.Partitions {
				p := kmsg.NewDescribeQuorumResponseTopicPartition()
				p.Partition, p.LeaderID, p.LeaderEpoch, p.HighWatermark = partition.Partition, 0, 0, 0
				p.ErrorCode, p.ErrorMessage = failure(refuse(kerr.UnknownTopicOrPartition, "the only log is partition 0 of "+metadataLog))
				topic.Partitions = append(topic.Partitions, p)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp
	}
	via := c.Endpoint().Name
	p := b.describeMetadataLog(via)
	topic := kmsg.NewDescribeQuorumResponseTopic()
	topic.Topic, topic.Partitions = metadataLog, append(topic.Partitions, p)
	resp.Topics = append(resp.Topics, topic)
	for _, l := range b.listed(via) {
		node := kmsg.NewDescribeQuorumResponseNode()
		listener := kmsg.NewDescribeQuorumResponseNodeListener()
		listener.Name, listener.Host, listener.Port = via, l.Host, uint16(l.Port)
		node.NodeID, node.Listeners = int32(l.NodeID), append(node.Listeners, listener)
		resp.Nodes = append(resp.Nodes, node)
	}
	return resp
}

func (b *Broker) describeMetadataLog(listener string) kmsg.DescribeQuorumResponseTopicPartition {
	const unknownTime = -1
	end := int64(b.Topics.Position().Seq) + 1
	now := b.Now().UnixMilli()
	live := b.brokers(listener)
	p := kmsg.NewDescribeQuorumResponseTopicPartition()
	p.ErrorMessage = kmsg.StringPtr("")
	p.LeaderID, p.HighWatermark = int32(live[0].NodeID), end
	for _, l := range live {
		voter := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		voter.ReplicaID, voter.LogEndOffset = int32(l.NodeID), end
		voter.LastFetchTimestamp, voter.LastCaughtUpTimestamp = unknownTime, unknownTime
		if voter.ReplicaID == p.LeaderID {
			p.LeaderEpoch = int32(l.Epoch)
			voter.LastFetchTimestamp, voter.LastCaughtUpTimestamp = now, now
		}
		p.CurrentVoters = append(p.CurrentVoters, voter)
	}
	return p
}
