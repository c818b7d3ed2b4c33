package metastore

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

var (
	// ErrTopicExists: a topic has the name.
	ErrTopicExists = errors.New("topic exists")
	// ErrUnknownTopic: no topic has the id.
	ErrUnknownTopic = errors.New("unknown topic")
	// ErrPartitionCount: the number of partitions is not above the present one, or not between 1 and MaxPartitions.
	ErrPartitionCount = errors.New("invalid number of partitions")
)

// NewTopic is a topic to be created. Name and configs have been validated by the caller.
type NewTopic struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Configs           map[string]string
}

// CreateTopic makes a topic. ErrTopicExists, ErrPartitionCount.
func (r *Replica) CreateTopic(ctx context.Context, t NewTopic) (*Topic, error) {
	if t.Partitions < 1 || t.Partitions > MaxPartitions {
		return nil, ErrPartitionCount
	}
	id := TopicID(uuid.New())
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		if _, ok := s.names[t.Name]; ok {
			return nil, ErrTopicExists
		}
		return createTopic{
			id: id, name: t.Name, partitions: t.Partitions,
			replicationFactor: max(t.ReplicationFactor, 1), configs: t.Configs,
		}, nil
	}))
	if err != nil {
		return nil, err
	}
	if created, ok := r.TopicByID(id); ok {
		return created, nil
	}
	return nil, ErrUnknownTopic // deleted by somebody else in the meantime
}

// DeleteTopic removes a topic and all it holds; the name is free at once. ErrUnknownTopic.
func (r *Replica) DeleteTopic(ctx context.Context, id TopicID) error {
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		if _, ok := s.topics[id]; !ok {
			return nil, ErrUnknownTopic
		}
		return deleteTopic{id: id}, nil
	}))
	return err
}

// CreatePartitions grows a topic to count partitions. ErrUnknownTopic, ErrPartitionCount.
func (r *Replica) CreatePartitions(ctx context.Context, id TopicID, count int32) error {
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		t, ok := s.topics[id]
		if !ok {
			return nil, ErrUnknownTopic
		}
		if count <= t.Partitions || count > MaxPartitions {
			return nil, ErrPartitionCount
		}
		return createPartitions{id: id, partitions: count}, nil
	}))
	return err
}

// AlterTopicConfigs sets and removes overrides of a topic's configs; the caller has validated them. ErrUnknownTopic.
func (r *Replica) AlterTopicConfigs(ctx context.Context, id TopicID, set map[string]string, unset []string) error {
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		if _, ok := s.topics[id]; !ok {
			return nil, ErrUnknownTopic
		}
		return alterTopicConfigs{id: id, set: set, unset: unset}, nil
	}))
	return err
}
