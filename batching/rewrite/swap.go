package rewrite

import (
	"context"
	"fmt"

	"github.com/runnel-io/runnel/metastore"
)

// Log replaces runs; a metastore.Replica does. Swap tells of each rewrite whether it was accepted, which is durable on nil.
// After an error it may be that all were, or none.
type Log interface {
	Swap(ctx context.Context, segments []metastore.RewrittenSegment, rewrites []metastore.Rewrite) ([]bool, error)
}

// swap has the log replace the runs of the group, whose objects are all stored.
func (o *output) swap(ctx context.Context) error {
	if len(o.group) == 0 {
		return nil
	}
	var segments []metastore.RewrittenSegment
	rewrites := make([]metastore.Rewrite, len(o.group))
	for i, done := range o.group {
		part := &o.parts[done.part]
		w := metastore.Rewrite{TopicPartition: part.TopicPartition, Old: part.Runs, CleanedTo: part.CleanedTo}
		w.New = make([]metastore.Run, len(done.runs))
		for j, r := range done.runs {
			w.New[j] = r.run
			w.New[j].Base, w.New[j].Records = r.base, int32(r.end-r.base)
			if n := len(segments); n == 0 || segments[n-1].ID != r.run.Segment { // objects are filled one after the other
				segments = append(segments, metastore.RewrittenSegment{ID: r.run.Segment, Size: r.run.SegmentSize})
			}
		}
		rewrites[i] = w
	}
	accepted, err := o.engine.log.Swap(ctx, segments, rewrites)
	if err != nil {
		return fmt.Errorf("replace runs of %d partitions: %w", len(rewrites), err)
	}
	for i, done := range o.group {
		if accepted[i] {
			o.report.Results[done.part] = nil
			o.engine.metrics.parts.WithLabelValues(string(replaced)).Inc()
		} else {
			o.report.Results[done.part] = ErrRefused
			o.engine.metrics.parts.WithLabelValues(string(refused)).Inc()
		}
	}
	return nil
}
