package broker

import (
	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/metastore"
)

// A consumer that names its rack (KIP-392) and asks a broker of another zone is sent to its own: the row has the preferred
// read replica, the watermarks, and no records, as when Kafka's leader sends a consumer to a follower. It is answered at
// once, and in a session every time, since the client comes back after a while (five minutes, or when its metadata gets
// old) to ask whether that is still so. Errors, divergence and offsets out of range are answered here.
//
// There is no way round in circles: a broker of the rack's zone serves whatever it is asked, and so does every broker if
// that zone has none that lives. And a consumer is only sent to a broker that is among the partition's replicas in every
// answer to Metadata, whatever zone the client counted as in: the Java client goes back to the leader otherwise, without a
// word, and would be sent away by it for ever. So topics need as many replicas as there are zones for all of their
// partitions to be read in the reader's zone, as in Kafka. A tag in the client id needs none.

// rackVersion is the first version of Fetch that carries a rack.
const rackVersion = 11

// nearer is the placement in the zone of a rack, nil if nobody there is nearer to the client than this broker.
func (b *Broker) nearer(c consumer, version int16, rack string) *cluster.Placement {
	if version < rackVersion || rack == "" || rack == b.Membership.Self().Zone {
		return nil
	}
	if placement := b.placement(c.Endpoint().Name, rack); placement.Local() {
		return placement
	}
	return nil
}

// sendNearer makes of a row that could be served one that sends the client to a broker of its zone, and tells whether it
// did.
func (f *fetch) sendNearer(row *fetchedPartition, tp metastore.TopicPartition) bool {
	if f.nearer == nil || row.err != nil || row.diverging != nil {
		return false
	}
	topic, ok := f.Topics.TopicByID(tp.Topic)
	if !ok || !f.nearer.Listed(tp, int(topic.ReplicationFactor)) {
		return false
	}
	id := int32(f.nearer.Leader(tp).NodeID)
	row.nearer = &id
	return true
}
