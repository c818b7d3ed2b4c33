package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/metastore"
)

// Whatever clients can make more of is bounded, so that none of them fills the memory of all brokers: topics and partitions
// here, transactional ids in InitProducerId, groups by their coordinator, producers by the replica, which forgets the oldest.
// What there is goes on working when a bound is reached, or set below it. Topics and partitions that are made at the same
// time are held to their bounds by the commit log (metastore.Room); transactional ids at the same time may exceed theirs by
// what each request makes.

// room is how many topics and partitions there may be.
func (b *Broker) room() metastore.Room {
	limits := b.Settings.Load()
	return metastore.Room{Topics: limits.MaxTopics, Partitions: limits.MaxPartitions}
}

// roomFor tells whether there may be so many topics and partitions more, as of what this broker knows: for requests that only
// ask, and so that what will be refused costs nothing.
func (b *Broker) roomFor(topics, partitions int) error {
	limits := b.Settings.Load()
	there := b.Topics.Topics()
	if topics > 0 && len(there)+topics > limits.MaxTopics {
		return refuse(kerr.PolicyViolation, fmt.Sprintf("there are %d topics, and runnel.topics.max is %d", len(there), limits.MaxTopics))
	}
	sum := partitions
	for _, t := range there {
		sum += int(t.Partitions)
	}
	if sum > limits.MaxPartitions {
		return refuse(kerr.PolicyViolation, fmt.Sprintf("there would be %d partitions, and runnel.partitions.max is %d", sum, limits.MaxPartitions))
	}
	return nil
}

// roomForTransactionalID tells whether a transactional id may be used: it is known, or there may be more.
func (b *Broker) roomForTransactionalID(id string) error {
	most := b.Settings.Load().MaxTransactionalIDs
	if b.States.TransactionalIDs() < most {
		return nil
	}
	if _, ok := b.States.TransactionHead(id); ok {
		return nil
	}
	return refuse(kerr.PolicyViolation, fmt.Sprintf("runnel.transactional.ids.max is %d", most))
}
