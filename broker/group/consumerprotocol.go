package group

import (
	"encoding/binary"
	"errors"
)

// What members of a classic group of protocol type "consumer" tell each other through the broker: subscriptions and
// assignments, in the encoding of Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment, versions 0 to 3. A
// broker reads them when it takes the assignment over from the members' leader (KIP-848).

// errNotConsumerProtocol: the bytes are not what they should be.
var errNotConsumerProtocol = errors.New("not the consumer protocol")

// topicPartitions names partitions of one topic as clients do.
type topicPartitions struct {
	topic      string
	partitions []int32
}

// subscriptionBytes is a decoded ConsumerProtocolSubscription.
type consumerSubscription struct {
	version int16
	topics  []string
	owned   []topicPartitions // from version 1 on
	rack    string            // from version 3 on
}

// maxConsumerVersion is the last version of the encoding. Later ones append only, and what they append is ignored.
const maxConsumerVersion = 3

// decodeSubscription reads what a member said about itself in JoinGroup.
func decodeSubscription(b []byte) (consumerSubscription, error) {
	r := kafkaReader{rest: b}
	s := consumerSubscription{version: r.int16()}
	for range r.count(2) {
		s.topics = append(s.topics, r.name())
	}
	r.bytes() // user data, the assignor's own
	if s.version >= 1 {
		s.owned = r.topics()
	}
	if s.version >= 2 {
		r.int32() // generation of what is owned
	}
	if s.version >= 3 {
		s.rack = r.text()
	}
	if r.failed || s.version < 0 {
		return consumerSubscription{}, errNotConsumerProtocol
	}
	return s, nil
}

// decodeAssignment reads what the leader assigned to a member. No bytes are no partitions.
func decodeAssignment(b []byte) ([]topicPartitions, error) {
	if len(b) == 0 {
		return nil, nil
	}
	r := kafkaReader{rest: b}
	version := r.int16()
	all := r.topics()
	if r.failed || version < 0 {
		return nil, errNotConsumerProtocol
	}
	return all, nil
}

// encodeAssignment makes the bytes of an assignment at a version that the member understands.
func encodeAssignment(version int16, all []topicPartitions) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(min(version, maxConsumerVersion)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(all)))
	for _, t := range all {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(t.topic))), t.topic...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(t.partitions)))
		for _, p := range t.partitions {
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		}
	}
	return binary.BigEndian.AppendUint32(b, uint32(0xffff_ffff)) // no user data
}

// kafkaReader reads Kafka's encoding of before KIP-482. After the first failure it returns zero values.
type kafkaReader struct {
	rest   []byte
	failed bool
}

func (r *kafkaReader) take(n int) []byte {
	if r.failed || n < 0 || n > len(r.rest) {
		r.failed = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *kafkaReader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *kafkaReader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// count reads the length of a list whose elements take at least size bytes each, so that a lie costs no memory. Null is
// the empty list.
func (r *kafkaReader) count(size int) int {
	n := int(r.int32())
	if n > len(r.rest)/size {
		r.failed = true
		return 0
	}
	return max(n, 0)
}

// text reads a string; null is the empty one.
func (r *kafkaReader) text() string { return string(r.take(max(int(r.int16()), 0))) }

// name reads a string that may not be null.
func (r *kafkaReader) name() string { return string(r.take(int(r.int16()))) }

// bytes reads bytes; null is none.
func (r *kafkaReader) bytes() []byte { return r.take(max(int(r.int32()), 0)) }

func (r *kafkaReader) topics() []topicPartitions {
	var all []topicPartitions
	for range r.count(2 + 4) {
		t := topicPartitions{topic: r.name()}
		for range r.count(4) {
			t.partitions = append(t.partitions, r.int32())
		}
		all = append(all, t)
	}
	return all
}
