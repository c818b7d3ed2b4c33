package metastore

import (
	"context"
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/planted"
)

// Commit sequences uploaded segments: every batch gets its verdict and its offset, durably, in the order of the slice.
// It is idempotent by segment id for MaxSegmentAge: asked again, after any error and by any broker, it returns the first
// result. An error means that the outcome of every segment is unknown and that Commit should be asked again;
// ErrInvalidCommit alone says that nothing was or will be committed.
func (r *Replica) Commit(ctx context.Context, segments []SegmentCommit) ([]SegmentResult, error) {
	index, err := indexSegments(segments)
	if err != nil {
		return nil, err
	}
	var known map[SegmentID]Position
	landed, err := r.propose(ctx, func(s *State, before *commitDecision) (change, *commitDecision, error) {
		known = make(map[SegmentID]Position)
		var fresh []*SegmentCommit
		var lost lostBatches
		now := r.opts.Now()
		for i := range segments {
			if before.holds(segments[i].ID) {
				return nil, nil, errNotOnTop // its result is in the entry
			}
			if g, ok := s.committed(segments[i].ID); ok && !planted.Is(planted.CommitNotIdempotent) {
				known[g.id] = g.before
			} else if s.tooOld(segments[i].ID, now, before) {
				lost.add(&segments[i])
			} else {
				fresh = append(fresh, lost.mark(&segments[i]))
			}
		}
		if len(fresh) == 0 {
			return nil, nil, nil
		}
		c, decision := s.decideCommit(fresh, before)
		return c, decision, nil
	})
	if err != nil {
		return nil, err
	}
	results := make([]SegmentResult, len(segments))
	for i := range segments {
		results[i] = tooOldResult(&segments[i])
	}
	if c, ok := landed.(commitSegments); ok {
		for i := range c.segments {
			results[index[c.segments[i].id]] = c.segments[i].result(r.logStart)
		}
	}
	for id, before := range known {
		if results[index[id]], err = r.firstResult(ctx, id, before); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// lostBatches are those of segments that are too old, by whom. What the same producers send to the same partitions in
// later segments of the call is no beginning.
type lostBatches map[lostBatch]struct{}

type lostBatch struct {
	TopicPartition
	producer ProducerID
	epoch    ProducerEpoch
}

func (l *lostBatches) add(c *SegmentCommit) {
	if *l == nil {
		*l = make(lostBatches)
	}
	for i := range c.Runs {
		for _, b := range c.Runs[i].Batches {
			(*l)[lostBatch{c.Runs[i].TopicPartition, b.ProducerID, b.ProducerEpoch}] = struct{}{}
		}
	}
}

// mark returns the segment, or a copy in which the batches say so that come after a lost one.
func (l lostBatches) mark(c *SegmentCommit) *SegmentCommit {
	if len(l) == 0 {
		return c
	}
	marked := *c
	marked.Runs = slices.Clone(c.Runs)
	for i := range marked.Runs {
		run := &marked.Runs[i]
		run.Batches = slices.Clone(run.Batches)
		for j := range run.Batches {
			b := &run.Batches[j]
			if _, lost := l[lostBatch{run.TopicPartition, b.ProducerID, b.ProducerEpoch}]; lost && b.ProducerID != NoProducerID {
				b.AfterLoss = true
			}
		}
	}
	return &marked
}

// CheckCommit tells what Commit would refuse as invalid: ErrInvalidCommit.
func CheckCommit(segments []SegmentCommit) error {
	_, err := indexSegments(segments)
	return err
}

// indexSegments checks a request and tells where each segment stands in it.
func indexSegments(segments []SegmentCommit) (map[SegmentID]int, error) {
	index := make(map[SegmentID]int, len(segments))
	for i := range segments {
		if err := segments[i].check(); err != nil {
			return nil, err
		}
		if _, twice := index[segments[i].ID]; twice {
			return nil, fmt.Errorf("%w: segment %s is there twice", ErrInvalidCommit, segments[i].ID)
		}
		index[segments[i].ID] = i
	}
	return index, nil
}

// firstResult finds in the log what was answered when the segment was committed.
func (r *Replica) firstResult(ctx context.Context, id SegmentID, before Position) (SegmentResult, error) {
	entries, err := r.log.Read(ctx, before, 1)
	if err != nil {
		return SegmentResult{}, fmt.Errorf("find commit of segment %s: %w", id, err)
	}
	if len(entries) > 0 {
		rec, err := decodeRecord(entries[0].Payload)
		if err != nil {
			return SegmentResult{}, fmt.Errorf("find commit of segment %s: %w", id, err)
		}
		if c, ok := rec.change.(commitSegments); ok {
			for i := range c.segments {
				if c.segments[i].id == id {
					return c.segments[i].result(r.logStart), nil
				}
			}
		}
	}
	return SegmentResult{}, fmt.Errorf("find commit of segment %s: %w: not in entry %d", id, ErrCorrupt, before.Seq+1)
}

func (r *Replica) logStart(tp TopicPartition) Offset {
	if w, ok := r.Watermarks(tp); ok {
		return w.LogStart
	}
	return NoOffset
}

func tooOldResult(c *SegmentCommit) SegmentResult {
	res := SegmentResult{Runs: make([][]BatchResult, len(c.Runs))}
	for i := range c.Runs {
		res.Runs[i] = make([]BatchResult, len(c.Runs[i].Batches))
		for j := range res.Runs[i] {
			res.Runs[i][j] = BatchResult{Verdict: SegmentTooOld, Offset: NoOffset, LogStart: NoOffset}
		}
	}
	return res
}
