package metastore

import (
	"encoding/binary"
	"maps"
	"math"
	"time"
)

// MaxPartitions is the most partitions that one topic may have.
const MaxPartitions = 100_000

// createTopic makes a topic with empty partitions.
type createTopic struct {
	id                TopicID
	name              string
	partitions        int32
	replicationFactor int16
	configs           map[string]string
}

func (c createTopic) kind() kind { return kindCreateTopic }

func (c createTopic) append(b []byte) []byte {
	b = append(b, c.id[:]...)
	b = appendString(b, c.name)
	b = binary.AppendUvarint(b, uint64(c.partitions))
	b = binary.AppendUvarint(b, uint64(c.replicationFactor))
	return appendStringMap(b, c.configs)
}

func decodeCreateTopic(d *decoder) createTopic {
	return createTopic{
		id:                d.uuid(),
		name:              d.string(),
		partitions:        int32(d.uvarintMax(MaxPartitions, "partitions")),
		replicationFactor: int16(d.uvarintMax(math.MaxInt16, "replication factor")),
		configs:           d.stringMap(),
	}
}

func (c createTopic) apply(s *State, at int64, touched func(TopicPartition)) {
	s.addTopic(c, at)
	for i := range c.partitions {
		touched(TopicPartition{c.id, i})
	}
}

func (s *State) addTopic(c createTopic, at int64) *topicState {
	t := &topicState{
		Topic: &Topic{
			ID: c.id, Name: c.name, Partitions: c.partitions, ReplicationFactor: c.replicationFactor,
			Configs: c.configs, CreatedAt: time.UnixMilli(at),
		},
		partitions: make([]partition, c.partitions),
	}
	s.topics[c.id], s.names[c.name] = t, t
	s.dropped.number(s, t)
	return t
}

// deleteTopic removes a topic with all that the state knows of its partitions, all their runs at once. Its name is free.
type deleteTopic struct{ id TopicID }

func (c deleteTopic) kind() kind             { return kindDeleteTopic }
func (c deleteTopic) append(b []byte) []byte { return append(b, c.id[:]...) }
func (c deleteTopic) apply(s *State, _ int64, touched func(TopicPartition)) {
	t, ok := s.topics[c.id]
	if !ok {
		return
	}
	delete(s.topics, c.id)
	delete(s.names, t.Name)
	for i := range t.partitions {
		p := &t.partitions[i]
		s.replaceRuns(p, 0, p.runs.len(), nil, s.becomesGarbage)
	}
	s.dropped.add(s, t)
	for i := range t.Partitions {
		touched(TopicPartition{c.id, i})
	}
}

// createPartitions grows a topic to a number of partitions.
type createPartitions struct {
	id         TopicID
	partitions int32
}

func (c createPartitions) kind() kind { return kindCreatePartitions }

func (c createPartitions) append(b []byte) []byte {
	b = append(b, c.id[:]...)
	return binary.AppendUvarint(b, uint64(c.partitions))
}

func (c createPartitions) apply(s *State, _ int64, touched func(TopicPartition)) {
	t, ok := s.topics[c.id]
	if !ok || c.partitions <= t.Partitions {
		return
	}
	grown := *t.Topic
	grown.Partitions = c.partitions
	for i := t.Partitions; i < c.partitions; i++ {
		touched(TopicPartition{c.id, i})
	}
	t.partitions = append(t.partitions, make([]partition, c.partitions-t.Partitions)...)
	t.Topic = &grown
}

// alterTopicConfigs sets and removes overrides of one topic.
type alterTopicConfigs struct {
	id    TopicID
	set   map[string]string
	unset []string
}

func (c alterTopicConfigs) kind() kind { return kindAlterTopicConfigs }

func (c alterTopicConfigs) append(b []byte) []byte {
	b = append(b, c.id[:]...)
	b = appendStringMap(b, c.set)
	return appendStrings(b, c.unset)
}

func (c alterTopicConfigs) apply(s *State, _ int64, _ func(TopicPartition)) {
	t, ok := s.topics[c.id]
	if !ok {
		return
	}
	altered := *t.Topic
	altered.Configs = maps.Clone(altered.Configs)
	if altered.Configs == nil {
		altered.Configs = make(map[string]string)
	}
	maps.Copy(altered.Configs, c.set)
	for _, name := range c.unset {
		delete(altered.Configs, name)
	}
	t.Topic = &altered
}
