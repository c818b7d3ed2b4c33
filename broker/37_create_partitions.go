package broker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// CreatePartitions (37), versions 0 to 3 (KIP-195): grows topics, each for itself. An assignment must have an entry per
// new partition; where the replicas are to be is not kept.

func (b *Broker) createPartitions(ctx context.Context, c *wire.Conn, req *kmsg.CreatePartitionsRequest) *kmsg.CreatePartitionsResponse {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	times := make(map[string]int)
	for _, t := range req.Topics {
		times[t.Topic]++
	}
	resp := respond[*kmsg.CreatePartitionsResponse](req)
	alters := b.permits(c, acl.Alter, acl.Topic)
	for _, asked := range req.Topics {
		var err error
		switch n := times[asked.Topic]; {
		case n == 0: // answered already
			continue
		case n > 1:
			err = refuse(kerr.InvalidRequest, "the request names the topic twice")
		case !alters.allow(asked.Topic):
			err = errTopicDenied
		default:
			err = b.growTopic(ctx, c, asked, req.ValidateOnly)
		}
		times[asked.Topic] = 0
		answer := kmsg.NewCreatePartitionsResponseTopic()
		answer.Topic = asked.Topic
		answer.ErrorCode, answer.ErrorMessage = failure(err)
		resp.Topics = append(resp.Topics, answer)
	}
	return resp
}

func (b *Broker) growTopic(ctx context.Context, c *wire.Conn, asked kmsg.CreatePartitionsRequestTopic, validateOnly bool) error {
	t, ok := b.Topics.Topic(asked.Topic)
	switch {
	case !ok:
		return errNoSuchName
	case asked.Count <= t.Partitions:
		return refuse(kerr.InvalidPartitions, fmt.Sprintf("topic %q has %d partitions, so %d would not be an increase", t.Name, t.Partitions, asked.Count))
	case asked.Count > metastore.MaxPartitions:
		return refuse(kerr.InvalidPartitions, fmt.Sprintf("a topic has at most %d partitions", metastore.MaxPartitions))
	case int(asked.Count)*int(t.ReplicationFactor) > maxReplicas:
		return refuse(kerr.InvalidPartitions, tooManyReplicas)
	case asked.Assignment != nil && len(asked.Assignment) != int(asked.Count-t.Partitions):
		return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("%d partitions are to be added, but %d are assigned", asked.Count-t.Partitions, len(asked.Assignment)))
	}
	for _, a := range asked.Assignment {
		if len(a.Replicas) != int(t.ReplicationFactor) {
			return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("the replication factor is %d, but %d replicas are assigned", t.ReplicationFactor, len(a.Replicas)))
		}
	}
	if err := b.roomFor(0, int(asked.Count-t.Partitions)); err != nil {
		return err
	}
	if validateOnly {
		return nil
	}
	if err := tollOf(ctx).change(asked.Count - t.Partitions); err != nil {
		return err
	}
	if err := b.Changes.CreatePartitions(ctx, t.ID, asked.Count, b.room()); err != nil {
		b.mayHaveChanged(c, "CreatePartitions", topicResource(t.Name), err)
		return err
	}
	b.changed(c, "CreatePartitions", topicResource(t.Name),
		map[string]string{"partitions": strconv.Itoa(int(t.Partitions))}, map[string]string{"partitions": strconv.Itoa(int(asked.Count))})
	return nil
}
