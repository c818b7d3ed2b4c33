package rebuild

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// rewrite makes tier-1 objects of runs of some partitions, as the compactor does: cut at any place, and now and then it dies
// before all are uploaded, or before they take the place of the others, or these are deleted.
func (w *world) rewrite() {
	var rewrites []metastore.Rewrite
	chosen := make(map[metastore.TopicPartition][]*entry)
	for range 1 + w.rng.IntN(3) {
		tp := w.anyPartition()
		_, runs, err := w.replica.Runs(tp, w.logStart(tp), 1<<40)
		w.must(err)
		if chosen[tp] != nil || len(runs) == 0 {
			continue
		}
		from := w.rng.IntN(len(runs))
		to := from + 1 + w.rng.IntN(len(runs)-from)
		if w.rng.IntN(2) == 0 {
			from = 0
		}
		if w.rng.IntN(3) > 0 {
			to = len(runs)
		}
		old := runs[from:to]
		end := old[len(old)-1].End()
		for _, e := range w.logs[tp] {
			if e.offset < old[0].Base || e.offset >= end {
				continue
			}
			if e.end < end && w.cleans(tp, e) {
				e.cleaned = true
				continue
			}
			chosen[tp] = append(chosen[tp], e)
		}
		rewrites = append(rewrites, metastore.Rewrite{TopicPartition: tp, Old: old})
	}
	slices.SortFunc(rewrites, func(a, b metastore.Rewrite) int { return comparePartitions(a.TopicPartition, b.TopicPartition) })
	segments, indexes := w.build(rewrites, chosen)
	for i := range rewrites {
		rewrites[i].New = newRuns(rewrites[i].TopicPartition, indexes)
	}
	if len(segments) == 0 || len(indexes) > 0 && w.rng.IntN(6) == 0 {
		return // it died before the swap
	}
	accepted, err := w.replica.Swap(w.t.Context(), segments, rewrites)
	w.must(err)
	if slices.Contains(accepted, false) {
		w.t.Fatal("a swap was refused")
	}
	w.collect(2)
}

// cleans tells whether log compaction takes a batch out: any that is of no open transaction, but for ends.
func (w *world) cleans(tp metastore.TopicPartition, e *entry) bool {
	t, _ := w.replica.TopicByID(tp.Topic)
	return t.Configs["cleanup.policy"] == "compact" && (e.cleaned || !e.control && (e.txn == nil || e.txn.ended) && w.rng.IntN(3) == 0)
}

// build uploads objects. None is returned if it dies before the last.
func (w *world) build(rewrites []metastore.Rewrite, chosen map[metastore.TopicPartition][]*entry) ([]metastore.RewrittenSegment, []segment.Index) {
	var segments []metastore.RewrittenSegment
	var indexes []segment.Index
	var objects [][][]byte
	var builder *segment.Builder
	holds := make(map[*entry]bool)
	flush := func() {
		if builder != nil && builder.Size() > segment.MinSize {
			object, x := builder.Finish()
			objects = append(objects, object)
			indexes = append(indexes, x)
			segments = append(segments, metastore.RewrittenSegment{ID: x.ID, Size: x.Size})
			w.holds[x.ID] = holds
		}
		builder, holds = nil, make(map[*entry]bool)
	}
	for _, r := range rewrites {
		if builder != nil {
			w.must(builder.Begin(r.Topic, r.Partition))
		}
		for _, e := range chosen[r.TopicPartition] {
			if builder != nil && w.rng.IntN(8) == 0 {
				flush()
			}
			if builder == nil {
				id := metastore.NewRewrittenID(time.Now())
				builder = segment.NewBuilder(id, id.Time())
				w.must(builder.Begin(r.Topic, r.Partition))
			}
			h, err := recordbatch.ParseHeader(e.bytes)
			w.must(err)
			w.must(builder.Add([][]byte{e.bytes}, segment.InfoOf(h, int64(e.offset))))
			holds[e] = true
		}
	}
	flush()
	dies := w.rng.IntN(6) == 0
	for i, object := range objects {
		if dies && w.rng.IntN(2) == 0 {
			delete(w.holds, segments[i].ID)
			segments[i].ID = metastore.SegmentID{}
			continue
		}
		w.must(w.objects.Put(w.t.Context(), segment.Key(segments[i].ID), object))
	}
	if slices.ContainsFunc(segments, func(s metastore.RewrittenSegment) bool { return s.ID == metastore.SegmentID{} }) {
		return nil, indexes
	}
	return segments, indexes
}

func newRuns(tp metastore.TopicPartition, indexes []segment.Index) (runs []metastore.Run) {
	for _, x := range indexes {
		if r, ok := x.Find(tp.Topic, tp.Partition); ok {
			runs = append(runs, metastore.Run{
				Base: metastore.Offset(r.Base), Records: r.Offsets, Segment: x.ID, SegmentSize: x.Size, Position: r.Position, Length: r.Length, MaxTimestamp: r.MaxTimestamp,
			})
		}
	}
	slices.SortFunc(runs, func(a, b metastore.Run) int { return cmp.Compare(a.Base, b.Base) })
	return runs
}

// collect deletes about one of so many objects that are garbage.
func (w *world) collect(one int) {
	for _, g := range w.replica.Garbage(1 << 20) {
		if w.rng.IntN(one) == 0 {
			w.must(w.objects.Delete(w.t.Context(), []string{segment.Key(g.ID)}))
			delete(w.holds, g.ID)
		}
	}
}

// lose takes an object away that the log names.
func (w *world) lose() {
	var named []metastore.SegmentID
	w.replica.VisitSegments(func(u metastore.SegmentUse) bool {
		named = append(named, u.ID)
		return true
	})
	if len(named) == 0 {
		return
	}
	slices.SortFunc(named, func(a, b metastore.SegmentID) int { return bytes.Compare(a[:], b[:]) })
	id := named[w.rng.IntN(len(named))]
	w.must(w.objects.Delete(w.t.Context(), []string{segment.Key(id)}))
	delete(w.holds, id)
}
