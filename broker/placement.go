package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// leaderEpoch is that of every partition, for ever: there are no leaders to be elected.
const leaderEpoch = 0

// brokers are the live ones, or this one while no other is known.
func (b *Broker) brokers() []metastore.Broker {
	if live := b.Membership.Live(); len(live) > 0 {
		return live
	}
	return []metastore.Broker{b.Membership.Self()}
}

// listed is brokers and those that are about to leave: clients close their connections to what is not listed.
func (b *Broker) listed() []metastore.Broker {
	if listed := b.Membership.Listed(); len(listed) > 0 {
		return listed
	}
	return []metastore.Broker{b.Membership.Self()}
}

// moved is what clients are told of every partition when this broker has handed its own over, nil before. They look for
// the leader then, which all brokers know by that time, and show their users nothing. The answer does not name it
// (KIP-951): a hint counts only at a newer leader epoch, which there never is, and franz-go takes one at the same epoch
// for a reason not to ask for metadata and to come back.
func (b *Broker) moved() *kerr.Error {
	if b.Membership.Elsewhere() {
		return kerr.NotLeaderForPartition
	}
	return nil
}

// controller is a broker that takes administrative requests: this one, as it is certainly there, if it is listed.
func (b *Broker) controller(live []metastore.Broker) int32 {
	self := b.Membership.Self().NodeID
	for _, l := range live {
		if l.NodeID == self {
			return int32(self)
		}
	}
	return int32(live[0].NodeID)
}

// zone is where a client is, "" if that is unknown.
func (b *Broker) zone(c *wire.Conn) string { return b.Zones.Of(c.ClientID(), c.ClientHost()) }

// leader is the broker that clients in a zone are told to ask for a partition. Those of many partitions are asked of one
// placement.
func (b *Broker) leader(tp metastore.TopicPartition, zone string) metastore.Broker {
	return *b.placement(zone).Leader(tp)
}

// placement tells whom clients in a zone are told to ask, as of now.
func (b *Broker) placement(zone string) *cluster.Placement { return cluster.Place(b.brokers(), zone) }

// replicaLists are the replicas of partitions of a topic that clients are told of, from `first` on. They are as long as
// the topic's replication factor, since tools compare it with what they asked for, and begin with the leader. Beyond the
// number of live brokers the ids repeat. Clients keep such lists in arrays and only count them or look for racks in them
// (the Java client, librdkafka, sarama, kafkajs, franz-go); ids that no broker has would be shown as offline replicas
// instead.
func replicaLists(t *metastore.Topic, first int32, n int, placement *cluster.Placement) [][]int32 {
	length := int(max(t.ReplicationFactor, 1))
	ids, lists := make([]int32, n*length), make([][]int32, n)
	for i := range lists {
		lists[i] = ids[i*length : (i+1)*length : (i+1)*length]
		placement.Replicas(metastore.TopicPartition{Topic: t.ID, Partition: first + int32(i)}, lists[i])
	}
	return lists
}

// orNil is the pointer that the protocol wants for a text that may be missing.
func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
