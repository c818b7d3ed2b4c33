package metastore

import (
	"context"
	"fmt"
	"slices"
)

// MaxForgotten is how many transactions one NoteCleaned may name.
const MaxForgotten = 1 << 16

// NoteCleaned notes, durably on nil, that log compaction has got to an offset of a partition, which never goes back, and
// forgets the aborted transactions with a marker at one of the offsets, which are in order: nothing is left of their
// records, so nobody needs to skip any. Their markers may go after that, and not before: a reader that is told of an aborted
// transaction takes what its producer wrote later for aborted, too, until it meets the marker.
//
// ErrUnknownPartition; ErrOffsetOutOfRange if the partition ends below the offset. Asked again it changes nothing.
func (r *Replica) NoteCleaned(ctx context.Context, tp TopicPartition, to Offset, forgotten []Offset) error {
	if len(forgotten) > MaxForgotten || len(forgotten) > 0 && forgotten[0] < 0 || !slices.IsSorted(forgotten) {
		return fmt.Errorf("%d transactions to be forgotten, at most %d may be, in order", len(forgotten), MaxForgotten)
	}
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		p := s.partition(tp)
		switch {
		case p == nil:
			return nil, ErrUnknownPartition
		case to < 0 || to > p.high:
			return nil, ErrOffsetOutOfRange
		case to <= p.cleanedTo && !p.txns.ends(forgotten):
			return nil, nil
		}
		return noteCleaned{TopicPartition: tp, to: to, forgotten: forgotten}, nil
	}))
	return err
}
