package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// swapAnswer is what Swap returned.
type swapAnswer struct {
	accepted []bool
	err      error
}

// swapLater merges what it is given, in two runs of one segment, the first of so many of the old.
func swapLater(r *metastore.Replica, tp metastore.TopicPartition, old []metastore.Run, first int) (metastore.SegmentID, <-chan swapAnswer) {
	merged := metastore.RewrittenSegment{ID: metastore.NewRewrittenID(time.Now()), Size: 500}
	w := metastore.Rewrite{TopicPartition: tp, Old: old, New: []metastore.Run{rewritten(merged.ID, old[:first]...), rewritten(merged.ID, old[first:]...)}}
	done := make(chan swapAnswer, 1)
	go func() {
		accepted, err := r.Swap(context.Background(), []metastore.RewrittenSegment{merged}, []metastore.Rewrite{w})
		done <- swapAnswer{accepted, err}
	}()
	return merged.ID, done
}

// TestSwapMeetsWhatAnotherBrokerDidMeanwhile: the swap is decided and on its way when another broker is faster.
func TestSwapMeetsWhatAnotherBrokerDidMeanwhile(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(ctx context.Context, other *metastore.Replica, tp metastore.TopicPartition, old []metastore.Run) error
		accepted  bool
		bases     []metastore.Offset // of the runs there are then
		garbage   []int              // which of the old segments are; -1 is the swap's own
	}{
		"the log start passes some of the old runs": {deletion(7), true, []metastore.Offset{0, 10, 15}, []int{0, 1, 2}},
		"the log start passes a new run":            {deletion(10), true, []metastore.Offset{10, 15}, []int{0, 1, 2}},
		"the log start passes all":                  {deletion(15), true, []metastore.Offset{15}, []int{0, 1, 2, -1}},
		"a swap of some of them": {func(ctx context.Context, other *metastore.Replica, tp metastore.TopicPartition, old []metastore.Run) error {
			_, err := other.Swap(ctx, []metastore.RewrittenSegment{{ID: metastore.NewRewrittenID(time.Now()), Size: 500}}, []metastore.Rewrite{{TopicPartition: tp, Old: old[1:2]}})
			return err
		}, false, []metastore.Offset{0, 10, 15}, []int{1, -2, -1}},
		"the topic is deleted": {func(ctx context.Context, other *metastore.Replica, tp metastore.TopicPartition, _ []metastore.Run) error {
			return other.DeleteTopic(ctx, tp.Topic)
		}, false, nil, []int{0, 1, 2, 3, -1}},
		"a commit": {func(ctx context.Context, other *metastore.Replica, tp metastore.TopicPartition, _ []metastore.Run) error {
			_, err := other.Commit(ctx, []metastore.SegmentCommit{plain(tp, 5)})
			return err
		}, true, []metastore.Offset{0, 10, 15, 20}, []int{0, 1, 2}},
	} {
		for _, lost := range []bool{false, true} { // whether the answer to the append is a conflict, or lost
			t.Run(fmt.Sprintf("%s, answer lost %v", name, lost), func(t *testing.T) {
				pipelined(t, func(t *testing.T, store *memory.Store, gate *gated, _ *metastore.Replica, tp metastore.TopicPartition) {
					other := open(t, store, metastore.ReplicaOptions{})
					for range 4 {
						commit(t, other, plain(tp, 2, 3))
					}
					r := open(t, gate, metastore.ReplicaOptions{})
					old := runsOf(t, r, tp)
					own, done := swapLater(r, tp, old[:3], 2)
					<-gate.begun
					if err := tt.meanwhile(t.Context(), other, tp, old); err != nil {
						t.Fatal(err)
					}
					if lost {
						gate.leave <- errLost
					} else {
						gate.leave <- nil
					}
					<-gate.begun
					gate.leave <- nil
					if got := <-done; got.err != nil || !slices.Equal(got.accepted, []bool{tt.accepted}) {
						t.Fatalf("%+v", got)
					}
					if err := other.CatchUp(t.Context()); err != nil {
						t.Fatal(err)
					}
					sameDigest(t, []*metastore.Replica{r, other})
					if tt.bases != nil {
						var bases []metastore.Offset
						for _, run := range runsOf(t, r, tp) {
							bases = append(bases, run.Base)
						}
						if !slices.Equal(bases, tt.bases) {
							t.Errorf("runs begin at %v, want %v", bases, tt.bases)
						}
					}
					garbage := ids(r.Garbage(100))
					if len(garbage) != len(tt.garbage) {
						t.Fatalf("garbage is %v", garbage)
					}
					for i, which := range tt.garbage {
						if which >= 0 && garbage[i] != old[which].Segment || which == -1 && garbage[i] != own {
							t.Errorf("garbage %d is %s", i, garbage[i])
						}
					}
				})
			})
		}
	}
}

func deletion(before metastore.Offset) func(context.Context, *metastore.Replica, metastore.TopicPartition, []metastore.Run) error {
	return func(ctx context.Context, other *metastore.Replica, tp metastore.TopicPartition, _ []metastore.Run) error {
		_, err := other.DeleteRecords(ctx, []metastore.RecordDeletion{deleteBefore(tp, before)})
		return err
	}
}

// TestSwapWithALostAnswerIsOne: it is found in the log, and not decided again.
func TestSwapWithALostAnswerIsOne(t *testing.T) {
	pipelined(t, func(t *testing.T, store *memory.Store, gate *gated, _ *metastore.Replica, tp metastore.TopicPartition) {
		other := open(t, store, metastore.ReplicaOptions{})
		for range 3 {
			commit(t, other, plain(tp, 2, 3))
		}
		r := open(t, gate, metastore.ReplicaOptions{})
		own, done := swapLater(r, tp, runsOf(t, r, tp), 1)
		entry := <-gate.begun
		if err := store.Append(t.Context(), r.Position(), entry); err != nil {
			t.Fatal(err)
		}
		gate.leave <- errLost
		if got := <-done; got.err != nil || !slices.Equal(got.accepted, []bool{true}) {
			t.Fatalf("%+v", got)
		}
		for _, run := range runsOf(t, r, tp) {
			if run.Segment != own {
				t.Errorf("run %+v", run)
			}
		}
		if n, _ := r.GarbageTotal(); n != 3 || r.Position() != entry.Position {
			t.Errorf("%d segments are garbage at %v", n, r.Position())
		}
	})
}

// TestNoSegmentComesBack: its object is deleted, or about to be. Whoever swaps must have new ones.
func TestNoSegmentComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		r := open(t, store, metastore.ReplicaOptions{})
		tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
		commit(t, r, plain(tp, 5), plain(tp, 5), plain(tp, 5))
		merged := metastore.RewrittenSegment{ID: metastore.NewRewrittenID(time.Now()), Size: 500}
		swap := func() error {
			old := runsOf(t, r, tp)[:1]
			_, err := r.Swap(t.Context(), []metastore.RewrittenSegment{merged}, []metastore.Rewrite{{TopicPartition: tp, Old: old, New: []metastore.Run{rewritten(merged.ID, old...)}}})
			return err
		}
		refused := func(when string) {
			t.Helper()
			at := r.Position()
			if err := swap(); !errors.Is(err, metastore.ErrSegmentRefused) || r.Position() != at {
				t.Errorf("%s: %v", when, err)
			}
		}
		if err := swap(); err != nil {
			t.Fatal(err)
		}
		refused("runs name it")
		if _, err := r.DeleteRecords(t.Context(), []metastore.RecordDeletion{deleteBefore(tp, 5)}); err != nil {
			t.Fatal(err)
		}
		refused("it is garbage")
		if err := r.Collected(t.Context(), 1<<40); err != nil {
			t.Fatal(err)
		}
		if n, _ := r.GarbageTotal(); n != 0 {
			t.Fatalf("%d segments are left", n)
		}
		refused("it was collected")
		if err := r.SnapshotNow(t.Context()); err != nil {
			t.Fatal(err)
		}
		r = open(t, store, metastore.ReplicaOptions{})
		refused("it was collected, and the broker started again")
		time.Sleep(metastore.MaxRewriteAge + time.Second)
		commit(t, r, plain(tp, 5))
		if known := r.Known([]metastore.SegmentID{merged.ID}); known[0] {
			t.Error("it is remembered for ever")
		}
		refused("it was forgotten")
	})
}

// TestSegmentWhoseCommitIsRememberedMayBeGarbage: asked again, its commit has the first result.
func TestSegmentWhoseCommitIsRememberedMayBeGarbage(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	nowhere := tp
	nowhere.Partition = 1
	deleted, refused := plain(tp, 5), plain(nowhere, 5)
	for again := range 2 {
		for in, want := range map[*metastore.SegmentCommit]metastore.Verdict{&deleted: metastore.Accepted, &refused: metastore.UnknownPartition} {
			results, err := r.Commit(t.Context(), []metastore.SegmentCommit{*in})
			if err != nil || results[0].Runs[0][0].Verdict != want {
				t.Errorf("asked %d times before: %+v, %v", again, results, err)
			}
			if !r.SegmentCommitted(in.ID) || !r.Known([]metastore.SegmentID{in.ID})[0] {
				t.Errorf("%s is not known", in.ID)
			}
		}
		if again == 0 {
			if _, err := r.DeleteRecords(t.Context(), []metastore.RecordDeletion{deleteBefore(tp, 5)}); err != nil {
				t.Fatal(err)
			}
			if garbage := ids(r.Garbage(3)); len(garbage) != 2 {
				t.Errorf("garbage is %v", garbage)
			}
			if err := r.Collected(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if garbage := r.Garbage(3); len(garbage) != 0 {
		t.Errorf("garbage is %v", garbage)
	}
}
