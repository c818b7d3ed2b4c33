package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DescribeProducers (61), version 0 (KIP-664): the idempotent and transactional producers that partitions know, with where
// the open transaction of each begins. kafka-transactions finds hanging transactions with it. The answer is made after a
// look at the commit log; if that cannot be read, of what the broker knows.
//
// Different from Kafka: producers come by id; the last timestamp is when a batch was committed, by the brokers' clocks, and
// not the batch's own; coordinators have no epochs, which is -1, as for a producer without a marker.

func (b *Broker) describeProducers(ctx context.Context, c *wire.Conn, req *kmsg.DescribeProducersRequest) *kmsg.DescribeProducersResponse {
	resp := respond[*kmsg.DescribeProducersResponse](req)
	b.refreshed(ctx)
	reads := b.permits(c, acl.Read, acl.Topic)
	answered := make(map[namedPartition]bool) // a partition may have very many producers, and its name takes four bytes
	resp.Topics = make([]kmsg.DescribeProducersResponseTopic, len(req.Topics))
	for i := range req.Topics {
		from, to := &req.Topics[i], &resp.Topics[i]
		to.Topic = from.Topic
		for _, partition := range from.Partitions {
			at := namedPartition{from.Topic, partition}
			if answered[at] {
				continue
			}
			answered[at] = true
			row := kmsg.NewDescribeProducersResponseTopicPartition()
			row.Partition = partition
			producers, err := []metastore.PartitionProducer(nil), errTopicDenied
			if reads.allow(from.Topic) {
				producers, err = b.producersOf(from.Topic, partition)
			}
			row.ErrorCode, row.ErrorMessage = failure(err)
			row.ActiveProducers = activeProducers(producers)
			to.Partitions = append(to.Partitions, row)
		}
	}
	return resp
}

func (b *Broker) producersOf(topic string, partition int32) ([]metastore.PartitionProducer, error) {
	if b.moved() != nil {
		return nil, errMoved
	}
	t, err := b.topicByNameOrID(topic, [16]byte{}, false)
	if err != nil {
		return nil, err
	}
	producers, ok := b.Partitions.PartitionProducers(metastore.TopicPartition{Topic: t.ID, Partition: partition})
	if !ok {
		return nil, refuse(kerr.UnknownTopicOrPartition, fmt.Sprintf("topic has %d partitions", t.Partitions))
	}
	return producers, nil
}

func activeProducers(producers []metastore.PartitionProducer) []kmsg.DescribeProducersResponseTopicPartitionActiveProducer {
	rows := make([]kmsg.DescribeProducersResponseTopicPartitionActiveProducer, len(producers))
	for i := range producers {
		p := &producers[i]
		rows[i] = kmsg.DescribeProducersResponseTopicPartitionActiveProducer{
			ProducerID: int64(p.Producer), ProducerEpoch: int32(p.Epoch), LastSequence: p.LastSequence, LastTimestamp: p.LastSeen.UnixMilli(),
			CoordinatorEpoch: -1, CurrentTxnStartOffset: int64(p.TxnStart),
		}
	}
	return rows
}
