package group

import "encoding/binary"

// consumerType is the protocol type of consumers, the only one whose metadata a broker looks into.
const consumerType = "consumer"

// subscription tells which topics the members consume. ErrNonEmptyGroup if there are members and it cannot be known.
func (m *machine) subscription() (func(topic string) bool, error) {
	switch {
	case m.state == Dead:
		return nil, ErrGroupNotFound
	case m.state == Empty:
		return func(string) bool { return false }, nil
	case m.protocolType != consumerType:
		return nil, ErrNonEmptyGroup
	}
	topics := make(map[string]bool)
	for _, mb := range m.order {
		for _, p := range mb.protocols {
			subscribed, ok := subscribedTopics(p.Metadata)
			if !ok {
				return func(string) bool { return true }, nil // as Kafka: who knows
			}
			for _, t := range subscribed {
				topics[t] = true
			}
		}
	}
	return func(topic string) bool { return topics[topic] }, nil
}

// subscribedTopics reads the beginning of a ConsumerProtocolSubscription: int16 version, then an int32-counted array of
// int16-counted strings. Later versions only append.
func subscribedTopics(b []byte) ([]string, bool) {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b)) < 0 {
		return nil, false
	}
	count := int32(binary.BigEndian.Uint32(b[2:]))
	var topics []string
	for b = b[6:]; count > 0; count-- {
		if len(b) < 2 {
			return nil, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b)-2 < n {
			return nil, false
		}
		topics = append(topics, string(b[2:2+n]))
		b = b[2+n:]
	}
	return topics, true
}
