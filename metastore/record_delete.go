package metastore

import (
	"encoding/binary"
	"math"
)

// moveLogStarts raises where partitions begin: what lies below can not be read any more, and the runs that do as a whole go.
type moveLogStarts struct{ topics []movedTopic }

type movedTopic struct {
	id         TopicID
	partitions []movedPartition
}

type movedPartition struct {
	partition int32
	logStart  Offset
}

func (c moveLogStarts) kind() kind { return kindDeleteRecords }

func (c moveLogStarts) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.topics)))
	for _, t := range c.topics {
		b = append(b, t.id[:]...)
		b = binary.AppendUvarint(b, uint64(len(t.partitions)))
		for _, p := range t.partitions {
			b = binary.AppendUvarint(b, uint64(p.partition))
			b = binary.AppendUvarint(b, uint64(p.logStart))
		}
	}
	return b
}

func decodeMoveLogStarts(d *decoder) moveLogStarts {
	var c moveLogStarts
	for range d.count(17, "topics") {
		t := movedTopic{id: d.uuid()}
		for range d.count(2, "partitions") {
			t.partitions = append(t.partitions, movedPartition{
				partition: int32(d.uvarintMax(MaxPartitions, "partition")),
				logStart:  Offset(d.uvarintMax(math.MaxInt64, "log start")),
			})
		}
		c.topics = append(c.topics, t)
	}
	return c
}

func (c moveLogStarts) apply(s *State, _ int64, touched func(TopicPartition)) {
	for _, t := range c.topics {
		known := s.topics[t.id]
		for _, m := range t.partitions {
			p := known.partition(m.partition)
			if p == nil || m.logStart <= p.logStart || m.logStart > p.high {
				continue // deleted, or not what was decided
			}
			p.logStart = m.logStart
			s.replaceRuns(p, 0, p.runs.find(m.logStart), nil, s.becomesGarbage)
			s.forgetAborted(p)
			touched(TopicPartition{t.id, m.partition})
		}
	}
}

// setReplicationFactor changes how many replicas of a topic clients are told of.
type setReplicationFactor struct {
	id                TopicID
	replicationFactor int16
}

func (c setReplicationFactor) kind() kind { return kindReplicationFactor }

func (c setReplicationFactor) append(b []byte) []byte {
	b = append(b, c.id[:]...)
	return binary.AppendUvarint(b, uint64(c.replicationFactor))
}

func (c setReplicationFactor) apply(s *State, _ int64, _ func(TopicPartition)) {
	t, ok := s.topics[c.id]
	if !ok {
		return
	}
	changed := *t.Topic
	changed.ReplicationFactor = c.replicationFactor
	t.Topic = &changed
}
