package metastore

import (
	"slices"
	"time"

	"pgregory.net/rapid"
)

// pendingSwap is one that was planned, to be asked for at some later time.
type pendingSwap struct {
	segments []RewrittenSegment
	rewrites []Rewrite
}

// drawSwap draws a swap of some of the runs of partitions. Now and then it is of runs that are not quite those.
func drawSwap(t *rapid.T, at int64, partitions []TopicPartition, of func(TopicPartition) []Run) pendingSwap {
	var plan pendingSwap
	for range rapid.IntRange(0, 3).Draw(t, "segments") {
		plan.segments = append(plan.segments, RewrittenSegment{NewRewrittenID(time.UnixMilli(at)), rapid.Int64Range(1<<20, 1<<30).Draw(t, "size")})
	}
	for _, tp := range partitions {
		runs := of(tp)
		for at := 0; at < len(runs) && rapid.IntRange(0, 2).Draw(t, "rewrite") > 0; {
			from := rapid.IntRange(at, len(runs)-1).Draw(t, "from")
			at = rapid.IntRange(from+1, len(runs)).Draw(t, "to")
			w := Rewrite{TopicPartition: tp, Old: slices.Clone(runs[from:at])}
			next, end := w.Old[0].Base, w.Old[len(w.Old)-1].End()
			for next < end && len(plan.segments) > 0 && rapid.IntRange(0, 3).Draw(t, "run") > 0 {
				base := Offset(rapid.Int64Range(int64(next), int64(end-1)).Draw(t, "base"))
				r := Run{
					Base: base, Records: rapid.Int32Range(1, int32(end-base)).Draw(t, "records"),
					Segment: rapid.SampledFrom(plan.segments).Draw(t, "segment").ID, Position: rapid.Uint32Range(0, 1000).Draw(t, "position"),
					Length: rapid.Uint32Range(1, 300).Draw(t, "length"), MaxTimestamp: rapid.Int64Range(-5, 50).Draw(t, "timestamp"),
				}
				w.New, next = append(w.New, r), r.End()
			}
			if rapid.IntRange(0, 3).Draw(t, "cleaned") == 0 {
				w.CleanedTo = end
			}
			if rapid.IntRange(0, 7).Draw(t, "spoilt") == 0 {
				spoil(t, &w.Old[rapid.IntRange(0, len(w.Old)-1).Draw(t, "which")])
			}
			plan.rewrites = append(plan.rewrites, w)
		}
	}
	return plan
}

// spoil makes another run of one.
func spoil(t *rapid.T, r *Run) {
	switch rapid.IntRange(0, 5).Draw(t, "spoil") {
	case 0:
		r.Length++
	case 1:
		r.Position++
	case 2:
		r.MaxTimestamp++
	case 3:
		r.Segment[15]++
	case 4:
		if r.Marker == nil {
			r.Marker = &Marker{Producer: 1}
		} else {
			r.Marker = &Marker{Producer: r.Marker.Producer, Epoch: r.Marker.Epoch, Commit: !r.Marker.Commit}
		}
	case 5:
		r.Marker = nil
	}
}
