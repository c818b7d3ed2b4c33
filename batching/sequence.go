package batching

import (
	"hash/maphash"

	"github.com/runnel-io/runnel/metastore"
)

// sequence keeps sealed segments in order as far as they must be: those that share a source and partition (promise 4:
// requests of a connection), or a producer and partition (its sequence numbers). Guarded by Writer.mu.
//
// For every such pair it knows the last segment that has it, so that a segment's forerunners are found when it is
// sealed, at the price of one look-up per pair. Each waits for its forerunners alone; they wait for theirs.
type sequence struct {
	last map[sequenceKey]*segmentWrite // that are sealed and not taken by the committer
}

// sequenceKey is a hash: where two pairs share one, a segment waits in vain, and nothing breaks.
type sequenceKey uint64

var sequenceSeed = maphash.MakeSeed()

func sourceKey(source int64, tp metastore.TopicPartition) sequenceKey {
	return sequenceKey(maphash.Comparable(sequenceSeed, struct {
		source int64
		tp     metastore.TopicPartition
	}{source, tp}))
}

func producerKey(producer int64, tp metastore.TopicPartition) sequenceKey {
	return sequenceKey(maphash.Comparable(sequenceSeed, struct {
		tp       metastore.TopicPartition
		producer int64
	}{tp, producer}))
}

// sealed puts a segment behind all that were sealed before and share a pair with it.
func (q *sequence) sealed(seg *segmentWrite) {
	if q.last == nil {
		q.last = make(map[sequenceKey]*segmentWrite)
	}
	for key := range seg.keys {
		if before := q.last[key]; before != nil {
			if seg.after == nil {
				seg.after = make(map[*segmentWrite]struct{})
			}
			seg.after[before] = struct{}{}
		}
		q.last[key] = seg
	}
}

// taken lets go of a segment that the committer has. Those behind it may follow it, in its own commit or a later one.
func (q *sequence) taken(seg *segmentWrite) {
	for key := range seg.keys {
		if q.last[key] == seg {
			delete(q.last, key)
		}
	}
	seg.keys, seg.after, seg.taken = nil, nil, true
}

// free tells whether all that a segment must come after was taken.
func (s *segmentWrite) free() bool {
	for before := range s.after {
		if !before.taken {
			return false
		}
		delete(s.after, before)
	}
	return true
}
