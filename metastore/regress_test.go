package metastore_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestBrokerOfALostTimelineSavesNoSnapshot(t *testing.T) {
	store, restored := memory.New(memory.Options{}), memory.New(memory.Options{})
	swap := &swappable{Log: store}
	r := open(t, swap, metastore.ReplicaOptions{})
	createTopic(t, r, "t", 1)
	createTopic(t, r, "u", 1)
	createTopic(t, open(t, restored, metastore.ReplicaOptions{}), "other", 1)
	swap.Log = restored // r has not noticed
	if err := r.SnapshotNow(t.Context()); !errors.Is(err, metastore.ErrRegressed) {
		t.Errorf("snapshot: %v, want ErrRegressed", err)
	}
	if s, err := restored.LatestSnapshot(t.Context()); !errors.Is(err, metastore.ErrNoSnapshot) {
		t.Fatalf("the restored metastore has a snapshot at %d of a state that it never had (%v)", s.Seq, err)
	}
	open(t, restored, metastore.ReplicaOptions{})
}

func TestJumpToASnapshotThatLostRecordsIsRefused(t *testing.T) {
	now := time.Now()
	opts := metastore.ReplicaOptions{Now: func() time.Time { return now }}
	store, restored := memory.New(memory.Options{}), memory.New(memory.Options{})
	// Both logs begin with the same entry, as a restored log does.
	a := open(t, store, opts)
	tp := metastore.TopicPartition{Topic: createTopic(t, a, "t", 1).ID}
	first, err := store.Read(t.Context(), metastore.Position{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := restored.Append(t.Context(), metastore.Position{}, first[0]); err != nil {
		t.Fatal(err)
	}
	swap := &swappable{Log: store}
	late := open(t, swap, opts)
	if _, err := late.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 10)}); err != nil {
		t.Fatal(err)
	}
	b := open(t, restored, opts)
	if _, err := b.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 3)}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * metastore.MaxSegmentAge)
	createTopic(t, b, "u", 1)
	createTopic(t, b, "v", 1)
	if err := b.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	swap.Log = restored
	if err := late.CatchUp(t.Context()); !errors.Is(err, metastore.ErrRegressed) {
		t.Errorf("catch up: %v, want ErrRegressed", err)
	}
	if w, _ := late.Watermarks(tp); w.High != 10 {
		t.Errorf("high watermark went from 10 to %d", w.High)
	}
	if err := late.Health(); !errors.Is(err, metastore.ErrRegressed) {
		t.Errorf("health %v: the refusal must stick", err)
	}
}

func TestAskedOffsetAtTheEndOfTheRangeDoesNotPoisonTheLog(t *testing.T) {
	store := memory.New(memory.Options{})
	r := open(t, store, metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	c := plain(tp, 10, 10)
	c.Runs[0].Batches[0].At = math.MaxInt64
	res, err := r.Commit(t.Context(), []metastore.SegmentCommit{c})
	if err != nil {
		t.Fatal(err)
	}
	if got := res[0].Runs[0][0]; got.Verdict != metastore.OffsetNotMonotonic {
		t.Errorf("result %+v, want a refusal", got)
	}
	if w, _ := r.Watermarks(tp); w.High != 10 {
		t.Errorf("high watermark %d", w.High)
	}
	open(t, store, metastore.ReplicaOptions{})
}

// movingOn regresses only as long as a read takes in which the replica's own append was folded.
type movingOn struct {
	metastore.Log
	during func()
}

func (l *movingOn) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	if during := l.during; during != nil {
		l.during = nil
		during()
		return nil, metastore.ErrRegressed
	}
	return l.Log.Read(ctx, after, maxBytes)
}

func TestRegressionSeenWhileTheFoldMovedOnIsLookedAtAgain(t *testing.T) {
	log := &movingOn{Log: memory.New(memory.Options{})}
	r := open(t, log, metastore.ReplicaOptions{})
	log.during = func() { createTopic(t, r, "t", 1) }
	if err := r.CatchUp(t.Context()); err != nil {
		t.Errorf("catch up: %v", err)
	}
}

// TestRunEndsWhenTheLogCannotBeFollowed: who runs it learns of it at once, and nothing is snapshot or trimmed any more.
func TestRunEndsWhenTheLogCannotBeFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swap := &swappable{Log: memory.New(memory.Options{})}
		r := open(t, swap, metastore.ReplicaOptions{})
		createTopic(t, r, "t", 1)
		swap.Log = memory.New(memory.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := r.Run(ctx); !errors.Is(err, metastore.ErrRegressed) || ctx.Err() != nil {
			t.Errorf("run: %v, context: %v", err, ctx.Err())
		}
	})
}

func TestARefusedLogIsNeitherFollowedNorAppendedTo(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	createTopic(t, r, "t", 1)
	why := errors.New("somebody knows better")
	r.Refuse(why)
	_, err := r.CreateTopic(t.Context(), metastore.NewTopic{Name: "u", Partitions: 1, ReplicationFactor: 1})
	for name, err := range map[string]error{"append": err, "catch up": r.CatchUp(t.Context()), "health": r.Health()} {
		if !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
