package metastore

import "context"

// producerIDBlockSize is how many producer ids a broker reserves at a time; as Kafka.
const producerIDBlockSize = 1000

// producerIDBlock is what is left of the ids that this broker reserved.
type producerIDBlock struct {
	turn chan struct{} // held by the caller that takes an id or reserves more
	next ProducerID
	left int64
}

// NextProducerID returns an id that nobody has had before. Most calls need no I/O.
func (r *Replica) NextProducerID(ctx context.Context) (ProducerID, error) {
	select {
	case r.ids.turn <- struct{}{}:
		defer func() { <-r.ids.turn }()
	case <-ctx.Done():
		return NoProducerID, ctx.Err()
	}
	if r.ids.left == 0 {
		landed, err := r.propose(ctx, alone(func(s *State) (change, error) {
			return allocateProducerIDs{first: s.nextProducerID, count: producerIDBlockSize}, nil
		}))
		if err != nil {
			return NoProducerID, err
		}
		block := landed.(allocateProducerIDs)
		r.ids.next, r.ids.left = block.first, block.count
	}
	id := r.ids.next
	r.ids.next++
	r.ids.left--
	return id, nil
}
