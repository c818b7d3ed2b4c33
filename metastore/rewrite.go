package metastore

import (
	"errors"
	"fmt"
	"math"

	"github.com/runnel-io/runnel/planted"
)

// What one Swap may name, so that its entry has 3 MB at the most and every broker folds it within some ten milliseconds.
const (
	MaxSwapRuns     = 1 << 17 // old and new
	MaxSwapRewrites = 1 << 13
)

var (
	// ErrInvalidSwap: the request is not one that a broker makes; nothing of it was appended.
	ErrInvalidSwap = errors.New("invalid swap of runs")
	// ErrSegmentRefused: a segment of the swap is known to the log, or was made too long ago or in the future (MaxRewriteAge).
	// Nothing was appended: what is rewritten again must have ids of its own.
	ErrSegmentRefused = errors.New("segment cannot be put in place of others")
)

// RewrittenSegment is a segment whose runs take the place of others. Its object exists.
type RewrittenSegment struct {
	ID   SegmentID // of tier 1
	Size int64     // bytes of the whole object
}

// Rewrite puts runs in place of others of the same partition. A swap may have several of a partition, in the order of their
// offsets; each is accepted or refused by itself.
type Rewrite struct {
	TopicPartition
	// Old are consecutive runs as they were read, markers too, one at least.
	Old []Run
	// New are runs in segments of the swap, in order, within the offsets of Old; none if no record is left. They need not take
	// all of these offsets. Markers are not among them: what they say lies in the objects. SegmentSize is ignored.
	New []Run
	// CleanedTo is the offset that log compaction has got to with this; 0 says nothing.
	CleanedTo Offset
}

// checkSwap refuses what could not be encoded or folded, or would lose records. Whoever rewrites has made the objects by the
// same list, so a failure here is a defect, caught before it is in the log.
func checkSwap(segments []RewrittenSegment, rewrites []Rewrite) error {
	sizes := make(map[SegmentID]int64, len(segments))
	for _, g := range segments {
		if _, twice := sizes[g.ID]; twice || g.ID.Tier() != 1 || g.Size < 0 {
			return fmt.Errorf("%w: segment %s of %d bytes", ErrInvalidSwap, g.ID, g.Size)
		}
		sizes[g.ID] = g.Size
	}
	runs := 0
	ends := make(map[TopicPartition]Offset, len(rewrites)) // of the rewrite before of the same partition
	for i := range rewrites {
		w := &rewrites[i]
		if w.Partition < 0 || w.CleanedTo < 0 || len(w.Old) == 0 {
			return fmt.Errorf("%w: %s, %d runs, cleaned to %d", ErrInvalidSwap, w.TopicPartition, len(w.Old), w.CleanedTo)
		}
		end := ends[w.TopicPartition]
		for j := range w.Old {
			if !w.Old[j].follows(end) {
				return fmt.Errorf("%w: %s, old run %d: %+v", ErrInvalidSwap, w.TopicPartition, j, w.Old[j])
			}
			end = w.Old[j].End()
		}
		ends[w.TopicPartition] = end
		next := w.Old[0].Base
		for j := range w.New {
			r := &w.New[j]
			size, ours := sizes[r.Segment]
			if !r.follows(next) || r.End() > end || r.Marker != nil || !ours || r.Length == 0 || int64(r.Position)+int64(r.Length) > size {
				return fmt.Errorf("%w: %s, new run %d: %+v", ErrInvalidSwap, w.TopicPartition, j, *r)
			}
			next = r.End()
		}
		runs += len(w.Old) + len(w.New)
	}
	if runs > MaxSwapRuns || len(rewrites) > MaxSwapRewrites || len(segments) > MaxSwapRewrites {
		return fmt.Errorf("%w: %d runs in %d rewrites, and %d segments, are too many", ErrInvalidSwap, runs, len(rewrites), len(segments))
	}
	return nil
}

// End is the offset after the run.
func (r *Run) End() Offset { return r.Base + Offset(r.Records) }

// follows tells whether the run may come after an offset.
func (r *Run) follows(end Offset) bool {
	return r.Base >= end && r.Records > 0 && r.Base <= math.MaxInt64-Offset(r.Records)
}

// rewriteTooOld tells whether a segment can no longer be put in place of others, as tooOld does for commits.
func (s *State) rewriteTooOld(id SegmentID, now int64) bool {
	return outOfAge(id, max(now, s.time), MaxRewriteAge)
}

// decideSwap decides which rewrites are still of what is there, all of them apart. It is a pure function of state and
// request. ErrSegmentRefused.
func (s *State) decideSwap(segments []RewrittenSegment, rewrites []Rewrite, now int64) (swapRuns, error) {
	c := swapRuns{segments: segments}
	index := make(map[SegmentID]int, len(segments))
	for i, g := range segments {
		if _, known := s.table.find(g.ID); known {
			return swapRuns{}, fmt.Errorf("%w: %s is known", ErrSegmentRefused, g.ID)
		}
		if s.rewriteTooOld(g.ID, now) {
			return swapRuns{}, fmt.Errorf("%w: %s was made at %v", ErrSegmentRefused, g.ID, g.ID.Time())
		}
		index[g.ID] = i
	}
	for i := range rewrites {
		if swapped, ok := s.decideRewrite(&rewrites[i], index); ok {
			swapped.request = i
			c.swapped = append(c.swapped, swapped)
		}
	}
	return c, nil
}

// decideRewrite returns false if the old runs are not those that are there.
func (s *State) decideRewrite(w *Rewrite, index map[SegmentID]int) (swappedRuns, bool) {
	p := s.partition(w.TopicPartition)
	if p == nil {
		return swappedRuns{}, false
	}
	out := swappedRuns{TopicPartition: w.TopicPartition, cleanedTo: min(w.CleanedTo, p.high)}
	old := w.Old
	for len(old) > 0 && old[0].End() <= p.logStart {
		old = old[1:] // the log start has passed it
	}
	if len(old) == 0 {
		return out, true
	}
	from := p.runs.find(old[0].Base)
	if len(old) > p.runs.len()-from {
		return swappedRuns{}, false
	}
	for i, runs := range p.runs.between(from, from+len(old)) {
		for j := range runs {
			if !s.isRun(&runs[j], &old[i-from+j]) && !planted.Is(planted.SwapUnchecked) {
				return swappedRuns{}, false
			}
		}
	}
	out.from, out.end, out.count = old[0].Base, old[len(old)-1].End(), len(old)
	for i := range w.New {
		r := &w.New[i]
		if r.End() > p.logStart {
			out.runs = append(out.runs, run{
				base: r.Base, maxTimestamp: r.MaxTimestamp, segment: uint32(index[r.Segment]),
				position: r.Position, length: r.Length, records: r.Records,
			})
		}
	}
	return out, true
}

// isRun tells whether a run is the one that somebody read.
func (s *State) isRun(r *run, read *Run) bool {
	if r.base != read.Base || r.records != read.Records || r.length != read.Length || r.maxTimestamp != read.MaxTimestamp {
		return false
	}
	if r.segment == markerSegment {
		return read.Marker != nil && *read.Marker == *s.markers.at(r.position)
	}
	return read.Marker == nil && r.position == read.Position && s.table.at(r.segment).id == read.Segment
}
