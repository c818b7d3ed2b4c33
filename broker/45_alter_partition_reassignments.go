package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// AlterPartitionReassignments (45), versions 0 and 1 (KIP-455; v1, KIP-860, can forbid another replication factor): moves
// replicas. There are none, and where they are to be is not kept: what is asked for is checked as Kafka does, and is done at
// once, so that no reassignment is ever in progress and there is none to be cancelled.
//
// How many replicas there are is kept, as tools that change it look afterwards. It is one number for all partitions of a topic,
// the greatest that the request gives to one of them: who changes it partition by partition has it with the first.

func (b *Broker) alterPartitionReassignments(ctx context.Context, c *wire.Conn, req *kmsg.AlterPartitionAssignmentsRequest) *kmsg.AlterPartitionAssignmentsResponse {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	resp := respond[*kmsg.AlterPartitionAssignmentsResponse](req)
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	if !b.mayOnCluster(c, acl.Alter) {
		resp.ErrorCode, resp.ErrorMessage = failure(errClusterDenied)
		return resp
	}
	for _, asked := range req.Topics {
		topic := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		topic.Topic = asked.Topic
		for i, err := range b.reassign(ctx, c, asked, req.Version == 0 || req.AllowReplicationFactorChange) {
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition = asked.Partitions[i].Partition
			p.ErrorCode, p.ErrorMessage = failure(err)
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

// reassign returns what became of each partition asked for.
func (b *Broker) reassign(ctx context.Context, c *wire.Conn, asked kmsg.AlterPartitionAssignmentsRequestTopic, mayChangeFactor bool) []error {
	errs, factor := make([]error, len(asked.Partitions)), 0
	t, ok := b.Topics.Topic(asked.Topic)
	for i, p := range asked.Partitions {
		switch {
		case !ok:
			errs[i] = errNoSuchName
		case p.Partition < 0 || p.Partition >= t.Partitions:
			errs[i] = refuse(kerr.UnknownTopicOrPartition, fmt.Sprintf("topic %q has no partition %d", t.Name, p.Partition))
		case p.Replicas == nil:
			errs[i] = refuse(kerr.NoReassignmentInProgress, "no reassignment is in progress")
		default:
			errs[i] = b.checkReplicas(p.Replicas)
		}
		if errs[i] != nil {
			continue
		}
		if n := len(p.Replicas); n != int(t.ReplicationFactor) && !mayChangeFactor {
			errs[i] = refuse(kerr.InvalidReplicationFactor, fmt.Sprintf("the replication factor is %d, and is not to become %d", t.ReplicationFactor, n))
			continue
		}
		if len(p.Replicas)*int(t.Partitions) > maxReplicas {
			errs[i] = refuse(kerr.InvalidReplicationFactor, tooManyReplicas)
			continue
		}
		factor = max(factor, len(p.Replicas))
	}
	if factor == 0 || factor == int(t.ReplicationFactor) {
		return errs
	}
	if err := b.Changes.SetReplicationFactor(ctx, t.ID, int16(factor)); err != nil {
		b.mayHaveChanged(c, "AlterPartitionReassignments", topicResource(t.Name), err)
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
		return errs
	}
	b.changed(c, "AlterPartitionReassignments", topicResource(t.Name),
		map[string]string{"replication.factor": strconv.Itoa(int(t.ReplicationFactor))}, map[string]string{"replication.factor": strconv.Itoa(factor)})
	b.Logger.Info("changed the replication factor of a topic", "topic", t.Name, "topic_id", t.ID.String(), "replication_factor", factor)
	return errs
}

// checkReplicas refuses a list of replicas that Kafka would: brokers that are there, each once.
func (b *Broker) checkReplicas(replicas []int32) error {
	if len(replicas) == 0 || len(replicas) > maxReplicationFactor {
		return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("a partition has 1 to %d replicas", maxReplicationFactor))
	}
	listed := b.Membership.Listed()
	for i, id := range replicas {
		if slices.Contains(replicas[:i], id) {
			return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("broker %d is named twice", id))
		}
		if !slices.ContainsFunc(listed, func(l metastore.Broker) bool { return int32(l.NodeID) == id }) {
			return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("there is no broker %d", id))
		}
	}
	return nil
}
