package metastore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

var (
	// ErrTopicExists: a topic has the name.
	ErrTopicExists = errors.New("topic exists")
	// ErrUnknownTopic: no topic has the id.
	ErrUnknownTopic = errors.New("unknown topic")
	// ErrPartitionCount: the number of partitions is not above the present one, or not between 1 and MaxPartitions.
	ErrPartitionCount = errors.New("invalid number of partitions")
	// ErrNoRoom: there would be more topics, or partitions of all topics, than there may be.
	ErrNoRoom = errors.New("too many topics or partitions")
)

// Room is how many topics and partitions there may be in all, once a topic is made or has grown; 0 is no bound. It holds
// also when others make topics at the same time, here or elsewhere: it is looked at on top of what the log has by then.
type Room struct{ Topics, Partitions int }

// has tells whether there may be so many more.
func (m Room) has(s *State, topics, partitions int) error {
	if there := len(s.topics); m.Topics > 0 && topics > 0 && there+topics > m.Topics {
		return fmt.Errorf("%w: there are %d topics, and there may be %d", ErrNoRoom, there, m.Topics)
	}
	if m.Partitions <= 0 {
		return nil
	}
	for _, t := range s.topics {
		partitions += int(t.Partitions)
	}
	if partitions > m.Partitions {
		return fmt.Errorf("%w: there would be %d partitions, and there may be %d", ErrNoRoom, partitions, m.Partitions)
	}
	return nil
}

// NewTopic is a topic to be created. Name and configs have been validated by the caller.
type NewTopic struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Configs           map[string]string
	Room              Room
}

// CreateTopic makes a topic. ErrTopicExists, ErrPartitionCount, ErrNoRoom.
func (r *Replica) CreateTopic(ctx context.Context, t NewTopic) (*Topic, error) {
	if t.Partitions < 1 || t.Partitions > MaxPartitions {
		return nil, ErrPartitionCount
	}
	id := TopicID(uuid.New())
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		if _, ok := s.names[t.Name]; ok {
			return nil, ErrTopicExists
		}
		if err := t.Room.has(s, 1, int(t.Partitions)); err != nil {
			return nil, err
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

// CreatePartitions grows a topic to count partitions. ErrUnknownTopic, ErrPartitionCount, ErrNoRoom.
func (r *Replica) CreatePartitions(ctx context.Context, id TopicID, count int32, room Room) error {
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		t, ok := s.topics[id]
		if !ok {
			return nil, ErrUnknownTopic
		}
		if count <= t.Partitions || count > MaxPartitions {
			return nil, ErrPartitionCount
		}
		if err := room.has(s, 0, int(count-t.Partitions)); err != nil {
			return nil, err
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
