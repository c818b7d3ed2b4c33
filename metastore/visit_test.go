package metastore_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// TestVisitsShowAllOnce has more partitions than are looked at under one lock, and of some nothing is shown.
func TestVisitsShowAllOnce(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	want := make(map[metastore.TopicPartition]metastore.SegmentID)
	for n := range 3 {
		topic := createTopic(t, r, fmt.Sprint("t", n), 5000)
		in := metastore.SegmentCommit{ID: metastore.NewSegmentID(time.Now()), Size: 1 << 30}
		for p := int32(0); p < topic.Partitions; p += 3 {
			tp := metastore.TopicPartition{Topic: topic.ID, Partition: p}
			in.Runs = append(in.Runs, plain(tp, 1).Runs...)
			want[tp] = in.ID
		}
		commit(t, r, in)
		createTopic(t, r, fmt.Sprint("empty", n), 7000)
	}
	for n := range 3000 {
		tp := metastore.TopicPartition{Topic: r.Topics()[3].ID, Partition: int32(n)}
		in := plain(tp, 1)
		if want[tp] == (metastore.SegmentID{}) {
			want[tp] = in.ID
		}
		commit(t, r, in)
	}
	shown := make(map[metastore.TopicPartition]bool)
	r.VisitPartitions(func(v *metastore.PartitionView) bool {
		if shown[v.TopicPartition] || v.Len() == 0 || v.Run(0).Segment != want[v.TopicPartition] || v.Topic.ID != v.TopicPartition.Topic {
			t.Fatalf("%v is shown as %+v", v.TopicPartition, v)
		}
		shown[v.TopicPartition] = true
		return true
	})
	if len(shown) != len(want) {
		t.Errorf("%d partitions are shown, of %d", len(shown), len(want))
	}
	live, runs, segments := int64(0), 0, make(map[metastore.SegmentID]bool)
	r.VisitSegments(func(u metastore.SegmentUse) bool {
		if segments[u.ID] {
			t.Fatalf("%s is shown twice", u.ID)
		}
		segments[u.ID] = true
		live += u.Live
		runs += u.Runs
		return true
	})
	if len(segments) != 3003 || runs != 3*1667+3000 || live != int64(100*runs) {
		t.Errorf("%d segments with %d runs and %d bytes are shown", len(segments), runs, live)
	}
	for _, most := range []int{1, 600} {
		seen := 0
		r.VisitPartitions(func(*metastore.PartitionView) bool { seen++; return seen < most })
		if seen != most {
			t.Errorf("%d partitions are shown after the end at %d", seen, most)
		}
		seen = 0
		r.VisitSegments(func(metastore.SegmentUse) bool { seen++; return seen < most })
		if seen != most {
			t.Errorf("%d segments are shown after the end at %d", seen, most)
		}
	}
}

// TestNothingIsLockedDuringVisits: whoever visits may ask, and append.
func TestNothingIsLockedDuringVisits(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	commit(t, r, plain(tp, 1))
	r.VisitPartitions(func(v *metastore.PartitionView) bool {
		if _, err := r.DeleteRecords(t.Context(), []metastore.RecordDeletion{deleteBefore(tp, 1)}); err != nil {
			t.Error(err)
		}
		commit(t, r, plain(tp, 1))
		if v.Len() != 1 || v.Run(0).Base != 0 || v.LogStart != 0 {
			t.Errorf("the view became %+v", v)
		}
		return true
	})
	r.VisitSegments(func(metastore.SegmentUse) bool {
		if err := r.Touch(t.Context()); err != nil {
			t.Error(err)
		}
		return true
	})
}

// TestViewsDoNotChange visits while the log goes on: numbers of segments, and memory of runs, are used again all the time. The
// size of a segment says where its run is.
func TestViewsDoNotChange(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Now().UnixMilli())
	now := func() time.Time { return time.UnixMilli(clock.Load()) }
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{Now: now})
	const partitions = 8
	topic := createTopic(t, r, "t", partitions)
	ended := make(chan struct{})
	var visitors sync.WaitGroup
	for range 2 {
		visitors.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				r.VisitPartitions(func(v *metastore.PartitionView) bool {
					end := v.LogStart
					for i := range v.Len() {
						run := v.Run(i)
						if run.SegmentSize != 1<<20+int64(run.Base) || run.Base > end && run.Base != v.LogStart || run.End() > v.High || v.RunSeq(i) < 1 {
							t.Errorf("run %d of %d, from %d to %d: %+v", i, v.Len(), v.LogStart, v.High, run)
							return false
						}
						end = run.End()
						runtime.Gosched()
					}
					return true
				})
				r.VisitSegments(func(u metastore.SegmentUse) bool { return u.Live > 0 && u.Runs > 0 })
			}
		})
	}
	high := make([]metastore.Offset, partitions)
	for n := range 4000 {
		p := n % partitions
		tp := metastore.TopicPartition{Topic: topic.ID, Partition: int32(p)}
		in := plain(tp, 2)
		in.ID, in.Size = metastore.NewSegmentID(now()), 1<<20+int64(high[p])
		clock.Add(10_000) // so that the log forgets segments
		commit(t, r, in)
		high[p] += 2
		if n%50 < partitions && high[p] > 20 {
			runs := runsOf(t, r, tp)
			old := runs[1:min(len(runs), 8)]
			merged := metastore.RewrittenSegment{ID: metastore.NewRewrittenID(now()), Size: 1<<20 + int64(old[0].Base)}
			if _, err := r.Swap(t.Context(), []metastore.RewrittenSegment{merged}, []metastore.Rewrite{{TopicPartition: tp, Old: old, New: []metastore.Run{rewritten(merged.ID, old...)}}}); err != nil {
				t.Fatal(err)
			}
		}
		if n%97 == 0 {
			if _, err := r.DeleteRecords(t.Context(), []metastore.RecordDeletion{deleteBefore(tp, max(0, high[p]-30))}); err != nil {
				t.Fatal(err)
			}
			if err := r.Collected(t.Context(), 1<<40); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(ended)
	visitors.Wait()
}

// TestRunsOfAViewAreTheCallers: what a plan keeps is asked for later, markers too.
func TestRunsOfAViewAreTheCallers(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	producer, err := r.NextProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	transact := func(requests ...metastore.TxnRequest) {
		t.Helper()
		if _, err := r.Transact(context.Background(), requests); err != nil {
			t.Fatal(err)
		}
	}
	transact(metastore.InitTxn{ID: "a", Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: producer})
	for n := range 100 {
		in := plain(tp, 1)
		b := &in.Runs[0].Batches[0]
		b.ProducerID, b.Transactional, b.Implicit, b.BaseSequence = producer, true, true, int32(n)
		commit(t, r, in)
		transact(metastore.EndTxn{ID: "a", Producer: producer, Commit: n%3 == 0, Version: 1, Number: metastore.TxnNumber(n), Fresh: metastore.NoProducerID})
	}
	var kept []metastore.Run
	allocated := testing.AllocsPerRun(10, func() {
		r.VisitPartitions(func(v *metastore.PartitionView) bool {
			kept = slices.Grow(kept[:0], v.Len())
			for i := range v.Len() {
				kept = append(kept, v.Run(i))
			}
			return true
		})
	})
	if len(kept) != 200 || allocated > 30 {
		t.Errorf("%v allocations for %d runs", allocated, len(kept))
	}
	commit(t, r, plain(tp, 1))
	merged := metastore.RewrittenSegment{ID: metastore.NewRewrittenID(time.Now()), Size: 500}
	accepted, err := r.Swap(t.Context(), []metastore.RewrittenSegment{merged}, []metastore.Rewrite{{TopicPartition: tp, Old: kept, New: []metastore.Run{rewritten(merged.ID, kept...)}}})
	if err != nil || !accepted[0] {
		t.Errorf("%v, %v", accepted, err)
	}
}
