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

// expireProducers forgets the sequences of producers that have been silent since before a time (Kafka's
// producer.id.expiration.ms).
type expireProducers struct {
	before int64 // ms
}

func (c expireProducers) kind() kind             { return kindExpireProducers }
func (c expireProducers) append(b []byte) []byte { return binary.AppendVarint(b, c.before) }

func (c expireProducers) apply(s *State, _ int64, _ func(TopicPartition)) {
	for _, t := range s.topics {
		for i := range t.partitions {
			for id, p := range t.partitions[i].producers {
				if p.lastSeen < c.before {
					delete(t.partitions[i].producers, id)
				}
			}
		}
	}
}
