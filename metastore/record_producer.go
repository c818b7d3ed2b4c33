package metastore

import "encoding/binary"

// allocateProducerIDs reserves count ids from first on for the broker that asked.
type allocateProducerIDs struct {
	first ProducerID
	count int64
}

func (c allocateProducerIDs) kind() kind { return kindAllocateProducerIDs }

func (c allocateProducerIDs) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.first))
	return binary.AppendUvarint(b, uint64(c.count))
}

func (c allocateProducerIDs) apply(s *State, _ int64, _ func(TopicPartition)) {
	s.nextProducerID = max(s.nextProducerID, c.first+ProducerID(c.count))
}

// expireProducers forgets the sequences of producers that have been silent since before a time: for Kafka's
// producer.id.expiration.ms, or because there are too many. Those in the middle of a transaction stay.
type expireProducers struct {
	before int64 // ms
}

func (c expireProducers) kind() kind             { return kindExpireProducers }
func (c expireProducers) append(b []byte) []byte { return binary.AppendVarint(b, c.before) }

func (c expireProducers) apply(s *State, _ int64, _ func(TopicPartition)) {
	t := &s.producers
	for i, oldest := range t.oldest {
		if oldest >= c.before {
			continue
		}
		for n := uint32(i) * slabItems; n < uint32(i+1)*slabItems; n++ {
			if known := t.at(n); known.id != NoProducerID && known.lastSeen < c.before {
				if in := s.numbered[known.topic]; in != nil { // else it goes with its topic
					if p := &in.partitions[known.partition]; p.txns.openAt(known.id) == NoOffset {
						t.remove(p, n)
					}
				}
			}
		}
	}
}
