package metastore_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// agedCommit is plain with a segment of some age.
func agedCommit(tp metastore.TopicPartition, made time.Time) metastore.SegmentCommit {
	c := plain(tp, 1)
	c.ID = metastore.NewSegmentID(made)
	return c
}

// TestNoBrokerCommitsASegmentThatTheLogIsPast: whoever deletes objects that the log does not know goes by this. The broker has
// not heard of the entry, and its clock is late.
func TestNoBrokerCommitsASegmentThatTheLogIsPast(t *testing.T) {
	store := memory.New(memory.Options{})
	now := time.Now()
	at := func(now *time.Time) metastore.ReplicaOptions {
		return metastore.ReplicaOptions{Now: func() time.Time { return *now }}
	}
	late, early := now, now
	a, b := open(t, store, at(&early)), open(t, store, at(&late))
	tp := metastore.TopicPartition{Topic: createTopic(t, a, "t", 1).ID}
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		after time.Duration
		want  metastore.Verdict
	}{{metastore.MaxSegmentAge, metastore.Accepted}, {metastore.MaxSegmentAge + time.Millisecond, metastore.SegmentTooOld}} {
		c := agedCommit(tp, now)
		early = now.Add(tt.after)
		if err := a.Touch(t.Context()); err != nil {
			t.Fatal(err)
		}
		results, err := b.Commit(t.Context(), []metastore.SegmentCommit{c})
		if err != nil || results[0].Runs[0][0].Verdict != tt.want {
			t.Errorf("the log is %v past the segment: %+v, %v, want verdict %d", tt.after, results, err, tt.want)
		}
	}
}

// TestNoSegmentIsCommittedOnTopOfAnEntryThatIsPastIt: the entry is being appended while the next one is decided, and the clock
// was set back in between.
func TestNoSegmentIsCommittedOnTopOfAnEntryThatIsPastIt(t *testing.T) {
	pipelined(t, func(t *testing.T, store *memory.Store, gate *gated, _ *metastore.Replica, tp metastore.TopicPartition) {
		made := time.Now()
		now := made.Add(metastore.MaxSegmentAge + time.Millisecond)
		r := open(t, gate, metastore.ReplicaOptions{Now: func() time.Time { return now }})
		later := func(made time.Time) <-chan metastore.Verdict {
			verdict := make(chan metastore.Verdict, 1)
			go func() {
				results, err := r.Commit(context.Background(), []metastore.SegmentCommit{agedCommit(tp, made)})
				if err != nil {
					t.Error(err)
					close(verdict)
					return
				}
				verdict <- results[0].Runs[0][0].Verdict
			}()
			return verdict
		}
		first := later(now)
		<-gate.begun
		now = made
		second := later(made)
		synctest.Wait()
		gate.leave <- nil
		if got := <-first; got != metastore.Accepted {
			t.Errorf("verdict %d on the first", got)
		}
		synctest.Wait()
		select {
		case <-gate.begun:
			gate.leave <- nil
		default:
		}
		if got := <-second; got != metastore.SegmentTooOld {
			t.Errorf("verdict %d: an entry before it is dated later than the segment may be", got)
		}
	})
}

// TestNoSwapOfASegmentThatTheLogIsPast is the same for tier 1.
func TestNoSwapOfASegmentThatTheLogIsPast(t *testing.T) {
	store := memory.New(memory.Options{})
	made := time.Now()
	now := made
	a := open(t, store, metastore.ReplicaOptions{Now: func() time.Time { return now }})
	b := open(t, store, metastore.ReplicaOptions{Now: func() time.Time { return made }})
	tp := metastore.TopicPartition{Topic: createTopic(t, a, "t", 1).ID}
	commit(t, a, plain(tp, 5), plain(tp, 5))
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		after time.Duration
		want  error
	}{{metastore.MaxRewriteAge, nil}, {metastore.MaxRewriteAge + time.Millisecond, metastore.ErrSegmentRefused}} {
		now = made.Add(tt.after)
		if err := a.Touch(t.Context()); err != nil {
			t.Fatal(err)
		}
		old, merged := runsOf(t, a, tp), metastore.RewrittenSegment{ID: metastore.NewRewrittenID(made), Size: 500}
		w := metastore.Rewrite{TopicPartition: tp, Old: old, New: []metastore.Run{rewritten(merged.ID, old...)}}
		if _, err := b.Swap(t.Context(), []metastore.RewrittenSegment{merged}, []metastore.Rewrite{w}); !errors.Is(err, tt.want) {
			t.Errorf("the log is %v past the segment: %v, want %v", tt.after, err, tt.want)
		}
		if err := a.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// saves is a store that counts the snapshots that are saved.
type saves struct {
	*memory.Store
	snapshots atomic.Int32
}

func (s *saves) SaveSnapshot(ctx context.Context, snapshot metastore.Snapshot) error {
	s.snapshots.Add(1)
	return s.Store.SaveSnapshot(ctx, snapshot)
}

// TestOneBrokerTakesASnapshotEachMinuteWhileEntriesCome has three brokers that append by turns, and then not.
func TestOneBrokerTakesASnapshotEachMinuteWhileEntriesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &saves{Store: memory.New(memory.Options{})}
		defer store.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var brokers []*metastore.Replica
		ended := make(chan error)
		for range 3 {
			r := open(t, store, metastore.ReplicaOptions{})
			brokers = append(brokers, r)
			go func() { ended <- r.Run(ctx) }()
		}
		tp := metastore.TopicPartition{Topic: createTopic(t, brokers[0], "t", 1).ID}
		const minutes = 10
		for i := range minutes * 60 {
			time.Sleep(time.Second)
			commit(t, brokers[i%len(brokers)], plain(tp, 1))
		}
		synctest.Wait()
		taken := store.snapshots.Load()
		if taken < minutes-1 || taken > minutes+1 {
			t.Errorf("%d snapshots in %d minutes", taken, minutes)
		}
		newest, err := store.LatestSnapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const kept = int(metastore.MaxSegmentAge/time.Second) + 60 + 2
		end, err := store.End(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left, err := store.Read(t.Context(), metastore.Position{}, 1<<30); !errors.Is(err, metastore.ErrTrimmed) {
			t.Errorf("%d entries are left, and nothing was trimmed: %v", len(left), err)
		}
		left, err := store.Read(t.Context(), newest.Position, 1<<30)
		if err != nil || int(end)-int(newest.Seq) != len(left) || len(left) > 61 {
			t.Errorf("%d entries came after the newest snapshot (%v), of %d", len(left), err, end)
		}
		if n, err := store.Trim(t.Context(), end, kept+1); err != nil || n > kept {
			t.Errorf("%d entries were kept before the newest snapshot (%v)", n, err)
		}
		time.Sleep(time.Hour)
		if n := store.snapshots.Load() - taken; n != 0 {
			t.Errorf("%d snapshots while nothing happened", n)
		}
		cancel()
		for range brokers {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}
