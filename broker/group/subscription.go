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
	topics, known := m.subscribedTopics()
	return func(topic string) bool { return !known || topics[topic] }, nil // as Kafka: who knows
}

// subscribedTopics returns the topics that consumers want by what they say for the protocol that was chosen, or for all if
// none was yet. False if one says what cannot be understood.
func (m *machine) subscribedTopics() (topics map[string]bool, known bool) {
	topics = make(map[string]bool)
	for _, mb := range m.order {
		for _, p := range mb.protocols {
			if p.Name != m.protocol && m.protocol != "" {
				continue
			}
			wanted, ok := readSubscription(p.Metadata)
			if !ok {
				return nil, false
			}
			for _, t := range wanted {
				topics[t] = true
			}
		}
	}
	return topics, true
}

// readSubscription reads the beginning of a ConsumerProtocolSubscription: int16 version, then an int32-counted array of
// int16-counted strings. Later versions only append.
func readSubscription(b []byte) ([]string, bool) {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b)) < 0 {
		return nil, false
	}
	count := int32(binary.BigEndian.Uint32(b[2:]))
	var topics []string
	for b = b[6:]; count > 0; count-- {
		if len(b) < 2 {
			return nil, false
		}
		n := int(int16(binary.BigEndian.Uint16(b)))
		if n < 0 || len(b)-2 < n { // a name is not null
			return nil, false
		}
		topics = append(topics, string(b[2:2+n]))
		b = b[2+n:]
	}
	return topics, true
}
