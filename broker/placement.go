package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// leaderEpoch is that of every partition, for ever: there are no leaders to be elected.
const leaderEpoch = 0

// brokers are the live ones that clients of a listener can reach, or this one while no other is known. Host and Port are those
// of the listener.
func (b *Broker) brokers(listener string) []metastore.Broker {
	return b.reached(listener, b.Membership.Live())
}

// listed is brokers and those that are about to leave: clients close their connections to what is not listed.
func (b *Broker) listed(listener string) []metastore.Broker {
	return b.reached(listener, b.Membership.Listed())
}

// reached are those of the brokers that have a listener, where clients of it reach them. To who came by it the others are
// not there, as in Kafka.
func (b *Broker) reached(listener string, brokers []metastore.Broker) []metastore.Broker {
	if reached := at(listener, brokers); len(reached) > 0 {
		return reached
	}
	self := []metastore.Broker{b.Membership.Self()}
	if reached := at(listener, self); len(reached) > 0 {
		return reached
	}
	return self
}

// at returns the brokers that have a listener, with its address: the slice itself if it has all of them so already.
func at(listener string, brokers []metastore.Broker) []metastore.Broker {
	for i := range brokers {
		if l, ok := brokers[i].Listener(listener); !ok || l.Host != brokers[i].Host || l.Port != brokers[i].Port {
			return readdressed(listener, brokers)
		}
	}
	return brokers
}

func readdressed(listener string, brokers []metastore.Broker) []metastore.Broker {
	reached := make([]metastore.Broker, 0, len(brokers))
	for _, broker := range brokers {
		if l, ok := broker.Listener(listener); ok {
			broker.Host, broker.Port = l.Host, l.Port
			reached = append(reached, broker)
		}
	}
	return reached
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
func (b *Broker) zone(c *wire.Conn) string {
	return b.Zones.Of(c.ClientID(), c.ClientHost(), c.Endpoint().Zone)
}

// leader is the broker that clients of a listener in a zone are told to ask for a partition. Those of many partitions are asked
// of one placement.
func (b *Broker) leader(tp metastore.TopicPartition, listener, zone string) metastore.Broker {
	return *b.placement(listener, zone).Leader(tp)
}

// placement tells whom clients of a listener in a zone are told to ask, as of now.
func (b *Broker) placement(listener, zone string) *cluster.Placement {
	return cluster.Place(b.brokers(listener), zone)
}

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
