package metastore_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// gated is a log that says when an append begins and waits for leave to do it.
type gated struct {
	metastore.Log
	begun chan metastore.Entry
	leave chan error // nil: go on; else the answer, without an append
}

func newGated(log metastore.Log) *gated {
	return &gated{Log: log, begun: make(chan metastore.Entry), leave: make(chan error)}
}

func (g *gated) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	g.begun <- next
	if err := <-g.leave; err != nil {
		return err
	}
	return g.Log.Append(ctx, expected, next)
}

// commitLater commits one batch of so many records of an idempotent producer and sends its result.
func commitLater(r *metastore.Replica, tp metastore.TopicPartition, sequence, records int32) <-chan metastore.BatchResult {
	done := make(chan metastore.BatchResult, 1)
	go func() {
		c := plain(tp, records)
		c.Runs[0].Batches[0].ProducerID, c.Runs[0].Batches[0].BaseSequence = 7, sequence
		res, err := r.Commit(context.Background(), []metastore.SegmentCommit{c})
		if err != nil {
			done <- metastore.BatchResult{Verdict: metastore.SegmentTooOld, Offset: metastore.NoOffset}
			return
		}
		done <- res[0].Runs[0][0]
	}()
	return done
}

func accepted(t *testing.T, done <-chan metastore.BatchResult, offset metastore.Offset) {
	t.Helper()
	if got := <-done; got.Verdict != metastore.Accepted || got.Offset != offset {
		t.Errorf("%+v, want accepted at %d", got, offset)
	}
}

// pipelined calls test with a replica whose appends wait at a gate, on a log with a topic.
func pipelined(t *testing.T, test func(t *testing.T, store *memory.Store, gate *gated, r *metastore.Replica, tp metastore.TopicPartition)) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		tp := metastore.TopicPartition{Topic: createTopic(t, open(t, store, metastore.ReplicaOptions{}), "t", 1).ID}
		gate := newGated(store)
		test(t, store, gate, open(t, gate, metastore.ReplicaOptions{}), tp)
	})
}

func TestACommitIsDecidedWhileTheOneBeforeIsAppended(t *testing.T) {
	pipelined(t, func(t *testing.T, store *memory.Store, gate *gated, _ *metastore.Replica, tp metastore.TopicPartition) {
		var looks atomic.Int32 // at the clock: each decision takes as many
		r := open(t, gate, metastore.ReplicaOptions{Now: func() time.Time {
			looks.Add(1)
			return time.Now()
		}})
		one := commitLater(r, tp, 0, 10)
		first := <-gate.begun
		each := looks.Load()
		two := commitLater(r, tp, 10, 5) // its sequence and its offset follow from the first
		synctest.Wait()
		if looks.Load() != 2*each {
			t.Error("the second commit was not decided yet")
		}
		gate.leave <- nil
		second := <-gate.begun
		if want := first.Next(second.Payload).Position; second.Position != want {
			t.Errorf("second entry is at %v, want %v", second.Position, want)
		}
		accepted(t, one, 0)
		gate.leave <- nil
		accepted(t, two, 10)
		if looks.Load() != 2*each {
			t.Error("the second commit was decided again")
		}
	})
}

func TestWhatWasDecidedOnACommitThatFailedIsDecidedAgain(t *testing.T) {
	pipelined(t, func(t *testing.T, store *memory.Store, gate *gated, r *metastore.Replica, tp metastore.TopicPartition) {
		one := commitLater(r, tp, 0, 10)
		<-gate.begun
		two := commitLater(r, tp, 10, 5)
		synctest.Wait()
		other := open(t, store, metastore.ReplicaOptions{})
		if _, err := other.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 100)}); err != nil {
			t.Fatal(err)
		}
		gate.leave <- nil // a conflict
		<-gate.begun
		gate.leave <- nil
		accepted(t, one, 100)
		<-gate.begun
		gate.leave <- nil
		accepted(t, two, 110)
		if err := other.CatchUp(t.Context()); err != nil || other.Position() != r.Position() {
			t.Errorf("replicas are at %v and %v (%v)", other.Position(), r.Position(), err)
		}
	})
}

func TestWhatWasDecidedOnACommitWhoseAnswerWasLostStands(t *testing.T) {
	pipelined(t, func(t *testing.T, store *memory.Store, gate *gated, r *metastore.Replica, tp metastore.TopicPartition) {
		one := commitLater(r, tp, 0, 10)
		first := <-gate.begun
		two := commitLater(r, tp, 10, 5)
		synctest.Wait()
		if err := store.Append(t.Context(), r.Position(), first); err != nil {
			t.Fatal(err)
		}
		gate.leave <- errLost
		accepted(t, one, 0)
		<-gate.begun
		gate.leave <- nil
		accepted(t, two, 10)
	})
}

func TestARepeatOfTheCommitInFlightWaitsForItsResult(t *testing.T) {
	pipelined(t, func(t *testing.T, _ *memory.Store, gate *gated, r *metastore.Replica, tp metastore.TopicPartition) {
		c := plain(tp, 10)
		results := make(chan metastore.Offset, 2)
		for range 2 {
			go func() {
				res, err := r.Commit(context.Background(), []metastore.SegmentCommit{c})
				if err != nil {
					results <- metastore.NoOffset
					return
				}
				results <- res[0].Runs[0][0].Offset
			}()
		}
		<-gate.begun
		synctest.Wait()
		gate.leave <- nil
		for range 2 {
			if got := <-results; got != 0 {
				t.Errorf("offset %d, want 0 both times", got)
			}
		}
		if w, _ := r.Watermarks(tp); w.High != 10 {
			t.Errorf("high watermark %d: the segment was committed twice", w.High)
		}
	})
}

func TestTopicsAreMadeOnlyOnWhatIsFolded(t *testing.T) {
	pipelined(t, func(t *testing.T, _ *memory.Store, gate *gated, r *metastore.Replica, tp metastore.TopicPartition) {
		one := commitLater(r, tp, 0, 10)
		<-gate.begun
		made := make(chan error, 1)
		go func() {
			_, err := r.CreateTopic(context.Background(), metastore.NewTopic{Name: "u", Partitions: 1})
			made <- err
		}()
		synctest.Wait()
		two := commitLater(r, tp, 10, 5) // behind the topic
		synctest.Wait()
		gate.leave <- nil
		accepted(t, one, 0)
		<-gate.begun
		gate.leave <- nil
		if err := <-made; err != nil {
			t.Error(err)
		}
		<-gate.begun
		gate.leave <- nil
		accepted(t, two, 10)
	})
}
