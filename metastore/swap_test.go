package metastore_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// runsOf returns all runs of a partition.
func runsOf(t *testing.T, r *metastore.Replica, tp metastore.TopicPartition) []metastore.Run {
	t.Helper()
	w, _ := r.Watermarks(tp)
	_, runs, err := r.Runs(tp, w.LogStart, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// rewritten is a run of a segment in place of others, which are one after the other.
func rewritten(in metastore.SegmentID, old ...metastore.Run) metastore.Run {
	run := metastore.Run{
		Base: old[0].Base, Records: int32(old[len(old)-1].End() - old[0].Base), Segment: in, Position: 16, Length: 100, MaxTimestamp: old[0].MaxTimestamp,
	}
	for i := range old {
		run.MaxTimestamp = max(run.MaxTimestamp, old[i].MaxTimestamp)
	}
	return run
}

func commit(t *testing.T, r *metastore.Replica, segments ...metastore.SegmentCommit) {
	t.Helper()
	if _, err := r.Commit(t.Context(), segments); err != nil {
		t.Fatal(err)
	}
}

// ids are those of garbage.
func ids(garbage []metastore.Garbage) []metastore.SegmentID {
	var list []metastore.SegmentID
	for _, g := range garbage {
		list = append(list, g.ID)
	}
	return list
}

func TestSwapPutsRunsInPlaceOfOthers(t *testing.T) {
	store := memory.New(memory.Options{})
	r := open(t, store, metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	var segments []metastore.SegmentID
	for range 4 {
		c := plain(tp, 2, 3)
		segments = append(segments, c.ID)
		commit(t, r, c)
	}
	old := runsOf(t, r, tp)
	merged := metastore.RewrittenSegment{ID: metastore.NewRewrittenID(time.Now()), Size: 500}
	run := rewritten(merged.ID, old[:3]...)
	accepted, err := r.Swap(t.Context(), []metastore.RewrittenSegment{merged}, []metastore.Rewrite{{TopicPartition: tp, Old: old[:3], New: []metastore.Run{run}}})
	if err != nil || !slices.Equal(accepted, []bool{true}) {
		t.Fatal(accepted, err)
	}
	if err := r.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	run.SegmentSize = merged.Size
	want := []metastore.Run{run, old[3]}
	for name, r := range map[string]*metastore.Replica{"the broker": r, "one that starts": open(t, store, metastore.ReplicaOptions{})} {
		if got := runsOf(t, r, tp); !slices.Equal(got, want) {
			t.Errorf("%s: runs %+v, want %+v", name, got, want)
		}
		garbage := r.Garbage(10)
		if !slices.Equal(ids(garbage), segments[:3]) || garbage[2].Number != 2 || garbage[2].Size != 1<<20 || !garbage[2].Since.Equal(r.LogTime()) {
			t.Errorf("%s: garbage %+v, want %v", name, garbage, segments[:3])
		}
		if n, bytes := r.GarbageTotal(); n != 3 || bytes != 3<<20 {
			t.Errorf("%s: %d of %d bytes", name, n, bytes)
		}
		if got := r.Known(append(segments, merged.ID, metastore.NewSegmentID(time.Now()))); !slices.Equal(got, []bool{true, true, true, true, true, false}) {
			t.Errorf("%s: knows %v", name, got)
		}
		if got := r.PartitionSizes(tp.Topic); !slices.Equal(got, []int64{300}) {
			t.Errorf("%s: sizes %v", name, got)
		}
		uses := make(map[metastore.SegmentID]metastore.SegmentUse)
		r.VisitSegments(func(u metastore.SegmentUse) bool { uses[u.ID] = u; return true })
		if u := uses[merged.ID]; len(uses) != 2 || u.Live != 100 || u.Runs != 1 || u.Size != 500 || u.Seq != 5 {
			t.Errorf("%s: segments %+v", name, uses)
		}
		shown := 0
		r.VisitPartitions(func(v *metastore.PartitionView) bool {
			shown++
			if v.TopicPartition != tp || v.Topic.Name != "t" || v.High != 20 || v.Bytes != 300 || v.Len() != 2 || v.Run(0) != want[0] || v.Run(1) != want[1] || v.RunSeq(0) != 5 || v.RunSeq(1) != 4 {
				t.Errorf("%s: shows %+v", name, v)
			}
			return true
		})
		if shown != 1 {
			t.Errorf("%s: shows %d partitions", name, shown)
		}
	}
	if err := r.Collected(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if garbage := r.Garbage(10); !slices.Equal(ids(garbage), segments[2:3]) || garbage[0].Number != 2 {
		t.Errorf("left is %+v", garbage)
	}
}

func TestSwapOfWhatIsNotThereAnyMoreIsRefused(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	topic := createTopic(t, r, "t", 3)
	var partitions []metastore.TopicPartition
	for p := range int32(3) {
		partitions = append(partitions, metastore.TopicPartition{Topic: topic.ID, Partition: p})
		for range 3 {
			commit(t, r, plain(partitions[p], 2, 3))
		}
	}
	swap := func(records metastore.Offset, partitions ...metastore.TopicPartition) []bool {
		t.Helper()
		merged := metastore.RewrittenSegment{ID: metastore.NewRewrittenID(time.Now()), Size: 500}
		var rewrites []metastore.Rewrite
		for _, tp := range partitions {
			_, runs, err := r.Runs(tp, 5, 101)
			if err != nil {
				t.Fatal(err)
			}
			runs[0].Base += records
			rewrites = append(rewrites, metastore.Rewrite{TopicPartition: tp, Old: runs, New: []metastore.Run{rewritten(merged.ID, runs...)}})
		}
		accepted, err := r.Swap(t.Context(), []metastore.RewrittenSegment{merged}, rewrites)
		if err != nil {
			t.Fatal(err)
		}
		if garbage := ids(r.Garbage(100)); slices.Contains(garbage, merged.ID) == slices.Contains(accepted, true) {
			t.Errorf("accepted are %v, and garbage is %v", accepted, garbage)
		}
		return accepted
	}
	if got := swap(1, partitions[0]); got[0] {
		t.Error("a swap of other runs is accepted")
	}
	if got := swap(0, partitions[0], partitions[1]); !got[0] || !got[1] {
		t.Errorf("accepted: %v", got)
	}
}

func TestSwapThatNoBrokerMakesIsAnError(t *testing.T) {
	now := time.Now()
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{Now: func() time.Time { return now }})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	for range 3 {
		commit(t, r, plain(tp, 2, 3))
	}
	old, at := runsOf(t, r, tp), r.Position()
	ours := metastore.RewrittenSegment{ID: metastore.NewRewrittenID(now), Size: 500}
	for name, tt := range map[string]struct {
		segment metastore.RewrittenSegment
		change  func(w *metastore.Rewrite)
		want    error
	}{
		"tier 0":                {metastore.RewrittenSegment{ID: metastore.NewSegmentID(now)}, nil, metastore.ErrInvalidSwap},
		"negative size":         {metastore.RewrittenSegment{ID: ours.ID, Size: -1}, nil, metastore.ErrInvalidSwap},
		"beyond its object":     {metastore.RewrittenSegment{ID: ours.ID, Size: 115}, nil, metastore.ErrInvalidSwap},
		"too old":               {metastore.RewrittenSegment{ID: metastore.NewRewrittenID(now.Add(-metastore.MaxRewriteAge - time.Millisecond)), Size: 500}, nil, metastore.ErrSegmentRefused},
		"of the future":         {metastore.RewrittenSegment{ID: metastore.NewRewrittenID(now.Add(metastore.MaxRewriteAge + time.Minute)), Size: 500}, nil, metastore.ErrSegmentRefused},
		"no old runs":           {ours, func(w *metastore.Rewrite) { w.Old = nil }, metastore.ErrInvalidSwap},
		"old runs out of order": {ours, func(w *metastore.Rewrite) { w.Old[0], w.Old[1] = w.Old[1], w.Old[0] }, metastore.ErrInvalidSwap},
		"a negative partition":  {ours, func(w *metastore.Rewrite) { w.Partition = -1 }, metastore.ErrInvalidSwap},
		"cleaned to nowhere":    {ours, func(w *metastore.Rewrite) { w.CleanedTo = -1 }, metastore.ErrInvalidSwap},
		"before the old runs":   {ours, func(w *metastore.Rewrite) { w.New[0].Base-- }, metastore.ErrInvalidSwap},
		"after the old runs":    {ours, func(w *metastore.Rewrite) { w.New[0].Records++ }, metastore.ErrInvalidSwap},
		"without records":       {ours, func(w *metastore.Rewrite) { w.New[0].Records = 0 }, metastore.ErrInvalidSwap},
		"without bytes":         {ours, func(w *metastore.Rewrite) { w.New[0].Length = 0 }, metastore.ErrInvalidSwap},
		"a marker":              {ours, func(w *metastore.Rewrite) { w.New[0].Marker = &metastore.Marker{} }, metastore.ErrInvalidSwap},
		"another's segment":     {ours, func(w *metastore.Rewrite) { w.New[0].Segment = w.Old[0].Segment }, metastore.ErrInvalidSwap},
		"new runs that overlap": {ours, func(w *metastore.Rewrite) { w.New = append(w.New, w.New[0]) }, metastore.ErrInvalidSwap},
		"offsets that run out":  {ours, func(w *metastore.Rewrite) { w.Old[1].Base = 1<<63 - 1 }, metastore.ErrInvalidSwap},
		"more runs than may be": {ours, func(w *metastore.Rewrite) { w.Old = manyRuns(w.Old[0].Base, metastore.MaxSwapRuns) }, metastore.ErrInvalidSwap},
	} {
		w := metastore.Rewrite{TopicPartition: tp, Old: slices.Clone(old[1:]), New: []metastore.Run{rewritten(tt.segment.ID, old[1:]...)}}
		if tt.change != nil {
			tt.change(&w)
		}
		if accepted, err := r.Swap(t.Context(), []metastore.RewrittenSegment{tt.segment}, []metastore.Rewrite{w}); !errors.Is(err, tt.want) || accepted != nil {
			t.Errorf("%s: %v, %v", name, accepted, err)
		}
	}
	if r.Position() != at || !slices.Equal(runsOf(t, r, tp), old) {
		t.Error("something was appended")
	}
}

func manyRuns(base metastore.Offset, n int) []metastore.Run {
	runs := make([]metastore.Run, n)
	for i := range runs {
		runs[i] = metastore.Run{Base: base + metastore.Offset(i), Records: 1}
	}
	return runs
}

func TestIDsTellTierAndTime(t *testing.T) {
	at := time.UnixMilli(1_790_000_000_123)
	for tier, id := range []metastore.SegmentID{metastore.NewSegmentID(at), metastore.NewRewrittenID(at)} {
		if id.Tier() != tier || !id.Time().Equal(at) {
			t.Errorf("%s is of tier %d and of %v", id, id.Tier(), id.Time())
		}
	}
}

func TestTouchLetsTheTimeOfTheLogPass(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_123)
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{Now: func() time.Time { return now }})
	if !r.LogTime().IsZero() {
		t.Errorf("the empty log is of %v", r.LogTime())
	}
	if err := r.Touch(t.Context()); err != nil || !r.LogTime().Equal(now) || r.Position().Seq != 1 {
		t.Errorf("%v, %+v, %v", r.LogTime(), r.Position(), err)
	}
}

// TestSwapTakesMarkersForWhatTheySay: the end of a transaction is a run like others, and goes with them if it is the one that was
// read.
func TestSwapTakesMarkersForWhatTheySay(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	for id, commits := range map[string]bool{"commits": true, "aborts": false} {
		fresh, err := r.NextProducerID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		in := plain(tp, 5)
		in.Runs[0].Batches[0].ProducerID, in.Runs[0].Batches[0].Transactional = fresh, true
		if _, err := r.Transact(t.Context(), []metastore.TxnRequest{
			metastore.InitTxn{ID: id, Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh},
			metastore.AddToTxn{ID: id, Producer: fresh, Partitions: []metastore.TopicPartition{tp}},
		}); err != nil {
			t.Fatal(err)
		}
		commit(t, r, in)
		if _, err := r.Transact(t.Context(), []metastore.TxnRequest{metastore.EndTxn{ID: id, Producer: fresh, Commit: commits, Version: 1, Fresh: metastore.NoProducerID}}); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, r, plain(tp, 5))
	old := runsOf(t, r, tp)
	w, _, aborted, err := r.CommittedRuns(tp, 0, 1<<30)
	if err != nil || len(old) != 5 || old[1].Marker == nil || old[3].Marker == nil || len(aborted) != 1 {
		t.Fatalf("%+v, %+v, %v", old, aborted, err)
	}
	swap := func(marker *metastore.Marker) []bool {
		t.Helper()
		read := slices.Clone(old)
		read[1].Marker = marker
		merged := metastore.RewrittenSegment{ID: metastore.NewRewrittenID(time.Now()), Size: 500}
		accepted, err := r.Swap(t.Context(), []metastore.RewrittenSegment{merged},
			[]metastore.Rewrite{{TopicPartition: tp, Old: read, New: []metastore.Run{rewritten(merged.ID, read...)}}})
		if err != nil {
			t.Fatal(err)
		}
		return accepted
	}
	is := *old[1].Marker
	for _, not := range []*metastore.Marker{
		nil, old[3].Marker, {Producer: is.Producer, Epoch: is.Epoch, Commit: !is.Commit}, {Producer: is.Producer, Epoch: is.Epoch + 1, Commit: is.Commit},
	} {
		if swap(not)[0] {
			t.Errorf("a swap of %+v is one of %+v", not, is)
		}
	}
	if !swap(&is)[0] {
		t.Error("a swap of what is there is refused")
	}
	after, runs, still, err := r.CommittedRuns(tp, 0, 1<<30)
	if err != nil || after != w || len(runs) != 1 || !slices.Equal(still, aborted) {
		t.Errorf("%+v, %+v, %+v, %v", after, runs, still, err)
	}
}
