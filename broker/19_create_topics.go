package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// CreateTopics (19), versions 2 to 7: makes topics, each for itself. -1 partitions or replicas are the defaults
// (KIP-464). v5 answers partitions, replication factor and configs (KIP-525), v7 the topic id (KIP-516).
//
// Any replication factor is fine and is remembered: durability is the object store's, and tools that find another than
// they asked for create the topic again. A replica assignment counts as a number of partitions; where the replicas are
// to be is not kept.

// maxTopicsCreated bounds the topics of a request, and with them its answer, which has all settings of each. Kafka has the
// same bound for their partitions.
const maxTopicsCreated = 10_000

// maxReplicationFactor and maxReplicas, of all partitions of a topic together, keep the replica lists of answers within
// reason: Metadata names each twice, with four bytes.
const (
	maxReplicationFactor = 128
	maxReplicas          = 1_000_000
)

func (b *Broker) createTopics(ctx context.Context, c *wire.Conn, req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	tooMany := refuse(kerr.PolicyViolation, fmt.Sprintf("a request creates at most %d topics", maxTopicsCreated))
	times := make(map[string]int)
	for _, t := range req.Topics {
		times[t.Topic]++
	}
	resp := respond[*kmsg.CreateTopicsResponse](req)
	all, creates := b.sees(c, acl.Create, acl.Cluster, acl.ClusterName), b.permits(c, acl.Create, acl.Topic)
	for _, asked := range req.Topics {
		answer := kmsg.NewCreateTopicsResponseTopic()
		answer.Topic, answer.Configs = asked.Topic, []kmsg.CreateTopicsResponseTopicConfig{}
		switch n := times[asked.Topic]; {
		case n == 0: // answered already
			continue
		case len(times) > maxTopicsCreated:
			answer.ErrorCode, answer.ErrorMessage = failure(tooMany)
		case n > 1:
			answer.ErrorCode, answer.ErrorMessage = failure(refuse(kerr.InvalidRequest, "the request names the topic twice"))
		case !all && !creates.allow(asked.Topic):
			answer.ErrorCode, answer.ErrorMessage = failure(errTopicDenied)
		default:
			b.createTopic(ctx, c, asked, req.ValidateOnly, &answer)
		}
		times[asked.Topic] = 0
		resp.Topics = append(resp.Topics, answer)
	}
	return resp
}

func (b *Broker) createTopic(ctx context.Context, c *wire.Conn, asked kmsg.CreateTopicsRequestTopic, validateOnly bool, answer *kmsg.CreateTopicsResponseTopic) {
	plan, err := b.planTopic(asked)
	if err == nil && !validateOnly {
		err = tollOf(ctx).change(plan.Partitions)
	}
	if err == nil && !validateOnly {
		var t *metastore.Topic
		if t, err = b.Changes.CreateTopic(ctx, plan); err == nil {
			answer.TopicID = t.ID
			b.Logger.Info("created topic", "topic", t.Name, "topic_id", t.ID.String(), "partitions", t.Partitions)
			b.changed(c, "CreateTopics", topicResource(t.Name), nil, topicFacts(t))
		}
	}
	if err != nil {
		b.mayHaveChanged(c, "CreateTopics", topicResource(asked.Topic), err)
		answer.ErrorCode, answer.ErrorMessage = failure(err)
		return
	}
	if !b.sees(c, acl.DescribeConfigs, acl.Topic, asked.Topic) {
		answer.ConfigErrorCode = code(errTopicDenied)
		return
	}
	answer.NumPartitions, answer.ReplicationFactor = plan.Partitions, plan.ReplicationFactor
	for _, e := range b.Settings.Load().DescribeTopic(plan.Configs) {
		config := kmsg.NewCreateTopicsResponseTopicConfig()
		config.Name, config.Value, config.ReadOnly = e.Name, e.Value, e.ReadOnly
		config.Source, config.IsSensitive = int8(e.Source), e.Sensitive
		answer.Configs = append(answer.Configs, config)
	}
}

// planTopic validates what is asked for and resolves its defaults.
func (b *Broker) planTopic(asked kmsg.CreateTopicsRequestTopic) (metastore.NewTopic, error) {
	plan := metastore.NewTopic{Name: asked.Topic, Configs: make(map[string]string)}
	if err := b.checkNewName(asked.Topic); err != nil {
		return plan, err
	}
	var err error
	if plan.Partitions, plan.ReplicationFactor, err = b.planLayout(asked); err != nil {
		return plan, err
	}
	if err := b.roomFor(1, int(plan.Partitions)); err != nil {
		return plan, err
	}
	plan.Room = b.room()
	for _, c := range asked.Configs {
		if c.Value == nil {
			return plan, refuse(kerr.InvalidConfig, fmt.Sprintf("null is no value for %s", c.Name))
		}
		plan.Configs[c.Name] = *c.Value
	}
	return plan, settings.ValidateTopic(plan.Configs)
}

func (b *Broker) checkNewName(name string) error {
	if err := settings.ValidTopicName(name); err != nil {
		return refuse(kerr.InvalidTopicException, err.Error())
	}
	if _, ok := b.Topics.Topic(name); ok {
		return refuse(kerr.TopicAlreadyExists, fmt.Sprintf("topic %q exists already", name))
	}
	for _, t := range b.Topics.Topics() {
		if settings.CollidesWith(t.Name, name) {
			return refuse(kerr.InvalidTopicException, fmt.Sprintf("topic %q collides with %q: '.' and '_' count as one character", name, t.Name))
		}
	}
	return nil
}

func (b *Broker) planLayout(asked kmsg.CreateTopicsRequestTopic) (partitions int32, replicationFactor int16, err error) {
	partitions, replicationFactor = asked.NumPartitions, asked.ReplicationFactor
	if len(asked.ReplicaAssignment) > 0 {
		if partitions != -1 || replicationFactor != -1 {
			return 0, 0, refuse(kerr.InvalidRequest, "with a replica assignment, the number of partitions and the replication factor must be -1")
		}
		if partitions, replicationFactor, err = layoutOf(asked.ReplicaAssignment); err != nil {
			return 0, 0, err
		}
	}
	if partitions == -1 {
		partitions = b.Settings.Load().NumPartitions
	}
	if replicationFactor == -1 {
		replicationFactor = b.Settings.Load().DefaultReplicationFactor
	}
	switch {
	case partitions < 1 || partitions > metastore.MaxPartitions:
		return 0, 0, refuse(kerr.InvalidPartitions, fmt.Sprintf("the number of partitions must be 1 to %d, or -1", metastore.MaxPartitions))
	case replicationFactor < 1 || replicationFactor > maxReplicationFactor:
		return 0, 0, refuse(kerr.InvalidReplicationFactor, fmt.Sprintf("the replication factor must be 1 to %d, or -1", maxReplicationFactor))
	case int(partitions)*int(replicationFactor) > maxReplicas:
		return 0, 0, refuse(kerr.InvalidReplicationFactor, tooManyReplicas)
	}
	return partitions, replicationFactor, nil
}

var tooManyReplicas = fmt.Sprintf("a topic has at most %d replicas: partitions times the replication factor", maxReplicas)

// layoutOf counts what a replica assignment describes: partitions 0 to n-1, each with as many replicas.
func layoutOf(assignment []kmsg.CreateTopicsRequestTopicReplicaAssignment) (partitions int32, replicationFactor int16, err error) {
	replicas := len(assignment[0].Replicas)
	seen := make(map[int32]bool)
	for _, a := range assignment {
		switch {
		case len(a.Replicas) == 0 || len(a.Replicas) > maxReplicationFactor || len(a.Replicas) != replicas:
			return 0, 0, refuse(kerr.InvalidReplicaAssignment, "every partition must be assigned the same number of replicas, 1 at least")
		case a.Partition < 0 || int(a.Partition) >= len(assignment) || seen[a.Partition]:
			return 0, 0, refuse(kerr.InvalidReplicaAssignment, "the partitions assigned must be 0, 1, 2, ... without a gap")
		}
		seen[a.Partition] = true
	}
	return int32(len(assignment)), int16(replicas), nil
}

// withTimeout bounds a request by what its client is ready to wait. Clients that say 0 get some time all the same: with
// none, what they ask for would be reported as timed out and happen.
func withTimeout(ctx context.Context, millis int32) (context.Context, context.CancelFunc) {
	const shortest, longest = time.Second, time.Minute
	return context.WithTimeout(ctx, min(max(time.Duration(millis)*time.Millisecond, shortest), longest))
}
