package metastore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// twins are two logs with the same beginning, as of a metastore that was restored from a copy while the old one lives on,
// and a topic in both.
func twins(t *testing.T) (store, restored *memory.Store, tp metastore.TopicPartition) {
	t.Helper()
	store, restored = memory.New(memory.Options{}), memory.New(memory.Options{})
	tp.Topic = createTopic(t, open(t, store, metastore.ReplicaOptions{}), "t", 1).ID
	first, err := store.Read(t.Context(), metastore.Position{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := restored.Append(t.Context(), metastore.Position{}, first[0]); err != nil {
		t.Fatal(err)
	}
	return store, restored, tp
}

// TestEntriesThatTheLogLacksAreNoticedWhileTheyKeepComing has a sequencer on a metastore that this broker was moved away
// from: what it sends continues what we folded, without a pause.
func TestEntriesThatTheLogLacksAreNoticedWhileTheyKeepComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		store, restored, tp := twins(t)
		defer store.Close()
		defer restored.Close()
		sequencer, follower := open(t, store, metastore.ReplicaOptions{}), open(t, restored, metastore.ReplicaOptions{})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- follower.Run(ctx) }()
		for begun := time.Now(); follower.Health() == nil && time.Since(begun) < time.Minute; time.Sleep(10 * time.Millisecond) {
			if _, err := sequencer.Commit(ctx, []metastore.SegmentCommit{segmentNow(rng, tp, 1)}); err != nil {
				t.Fatal(err)
			}
			entries, err := sequencer.After(ctx, follower.Position().Seq)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				follower.Offer(e)
			}
		}
		stop()
		if err := follower.Health(); !errors.Is(err, metastore.ErrRegressed) {
			t.Errorf("health after a minute: %v, want ErrRegressed", err)
		}
		<-done
	})
}

// TestAnAppendInThePlaceOfAFoldedEntryIsNoticed lets an entry that the metastore lost be folded while another gets its
// place.
func TestAnAppendInThePlaceOfAFoldedEntryIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		store, restored, tp := twins(t)
		defer store.Close()
		defer restored.Close()
		gate := newGated(restored)
		sequencer, r := open(t, store, metastore.ReplicaOptions{}), open(t, gate, metastore.ReplicaOptions{})
		if _, err := sequencer.Commit(t.Context(), []metastore.SegmentCommit{segmentNow(rng, tp, 1)}); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			_, err := r.Commit(context.Background(), []metastore.SegmentCommit{segmentNow(rng, tp, 1)})
			failed <- err
		}()
		<-gate.begun
		lost, err := sequencer.After(t.Context(), 1)
		if err != nil || !r.Offer(lost[0]) {
			t.Fatalf("the entry is not taken (%v): the test shows nothing", err)
		}
		gate.leave <- nil
		if err := <-failed; !errors.Is(err, metastore.ErrRegressed) {
			t.Errorf("commit: %v, want ErrRegressed: what was folded is not what was committed", err)
		}
		if err := r.Health(); !errors.Is(err, metastore.ErrRegressed) {
			t.Errorf("health: %v, want ErrRegressed", err)
		}
	})
}
