package metastore

import (
	"context"
	"maps"
)

// HighWatermark as RecordDeletion.Before means all records that are there.
const HighWatermark Offset = -1

// RecordDeletion asks for a partition to begin at an offset: all records before it are deleted.
type RecordDeletion struct {
	TopicPartition
	Before Offset // or HighWatermark
	// By is the topic whose settings let the records go, nil if somebody asked for it. With others nothing is deleted: whoever
	// changed them was told that they are in effect.
	By *Topic
}

// DeletionResult tells where a partition begins now: NoOffset with an error.
type DeletionResult struct {
	LogStart Offset
	Err      error // ErrUnknownPartition, ErrOffsetOutOfRange, ErrTopicAltered
}

// DeleteRecords deletes the records before an offset of each partition, durably, in one entry. A partition that begins
// there or later already is left as it is: a log start never goes back. Results are in the order of what is asked for,
// each by itself; a partition that is named twice is judged twice.
//
// A broker that is behind may find an offset out of range which is not; Refresh before that counts.
func (r *Replica) DeleteRecords(ctx context.Context, asked []RecordDeletion) ([]DeletionResult, error) {
	var results []DeletionResult
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		var c moveLogStarts
		c, results = s.decideDeletion(asked)
		if len(c.topics) == 0 {
			return nil, nil
		}
		return c, nil
	}))
	if err != nil {
		return nil, err
	}
	return results, nil
}

// decideDeletion is a pure function of state and request.
func (s *State) decideDeletion(asked []RecordDeletion) (moveLogStarts, []DeletionResult) {
	var c moveLogStarts
	results := make([]DeletionResult, len(asked))
	places := make(map[TopicID]int)           // in c.topics
	starts := make(map[TopicPartition]Offset) // of partitions that move
	for i, a := range asked {
		p := s.partition(a.TopicPartition)
		if p == nil {
			results[i] = DeletionResult{NoOffset, ErrUnknownPartition}
			continue
		}
		if a.By != nil && !maps.Equal(a.By.Configs, s.topics[a.Topic].Configs) {
			results[i] = DeletionResult{NoOffset, ErrTopicAltered}
			continue
		}
		before := a.Before
		if before == HighWatermark {
			before = p.high
		}
		if before < 0 || before > p.high {
			results[i] = DeletionResult{NoOffset, ErrOffsetOutOfRange}
			continue
		}
		results[i].LogStart = max(p.logStart, starts[a.TopicPartition], before)
		if results[i].LogStart == max(p.logStart, starts[a.TopicPartition]) {
			continue
		}
		starts[a.TopicPartition] = before
		place, ok := places[a.Topic]
		if !ok {
			place = len(c.topics)
			places[a.Topic] = place
			c.topics = append(c.topics, movedTopic{id: a.Topic})
		}
		c.topics[place].partitions = append(c.topics[place].partitions, movedPartition{a.Partition, before})
	}
	return c, results
}

// SetReplicationFactor changes how many replicas of a topic clients are told of; there are none. The caller has validated
// it. ErrUnknownTopic.
func (r *Replica) SetReplicationFactor(ctx context.Context, id TopicID, replicationFactor int16) error {
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		t, ok := s.topics[id]
		if !ok {
			return nil, ErrUnknownTopic
		}
		if t.ReplicationFactor == replicationFactor {
			return nil, nil
		}
		return setReplicationFactor{id: id, replicationFactor: replicationFactor}, nil
	}))
	return err
}
