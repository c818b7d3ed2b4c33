package mark_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/mark"
	"github.com/runnel-io/runnel/objstore/fault"
)

// never is for tests of what a Keeper does between looks.
const never = 1000 * time.Hour

// failing makes calls of an operation fail.
func (r *rig) failing(op fault.Op) {
	r.objects.Before(func(_ context.Context, c fault.Call) error {
		if r.note(c); c.Op == op {
			return errors.New("the bucket is on fire")
		}
		return nil
	})
}

func TestTheLogIsMarkedSoonAfterItMovesAndNotTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{LookEvery: never})
		r.run()
		time.Sleep(500 * time.Millisecond) // between ticks
		sleep(20 * time.Second)
		r.wants() // an empty log has nothing to mark
		r.grow(1)
		sleep(time.Second)
		r.wants("21s PUT 1")
		sleep(time.Hour)
		r.wants() // idle
		r.began = time.Now()
		for range 25 {
			r.grow(1)
			sleep(time.Second)
		}
		r.wants("0s PUT 2", "10s PUT 12", "20s PUT 22")
		sleep(10 * time.Second)
		r.wants("30s PUT 26")
		if want := []string{"26/7", "22/7", "12/7", "2/7", "1/7"}; !slices.Equal(r.marks(), want) {
			t.Errorf("marks %v, want %v", r.marks(), want)
		}
	})
}

func TestABrokerThatStopsMarksAllThatItHasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{LookEvery: never})
		stop := r.run()
		r.grow(1)
		sleep(1500 * time.Millisecond)
		r.grow(5)
		stop()
		r.wants("1s PUT 1", "1s PUT 6")
		r.run()() // another start, of what is marked by the same node already
		r.wants()
	})
}

// TestABrokerWhoseLogIsRefusedMarksAtOnce: it may be the only one that knows, and the next moment be killed.
func TestABrokerWhoseLogIsRefusedMarksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{})
		r.run()
		r.grow(1)
		sleep(1500 * time.Millisecond)
		r.forget("1s LIST") // the first look comes at any time in a minute
		r.grow(1)
		r.replica.Refuse(metastore.ErrRegressed)
		sleep(time.Second)
		r.wants("1s PUT 1", "2s PUT 2")
		sleep(time.Hour)
		r.wants() // and looks at nothing: what others have marked is for those who start
	})
}

func TestAMarkThatCannotBeWrittenIsTriedAgainAndHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{LookEvery: never})
		r.failing(fault.Put)
		stop := r.run()
		r.grow(1)
		sleep(2500 * time.Millisecond)
		r.grow(1)
		sleep(time.Second)
		r.wants("1s PUT 1", "2s PUT 1", "3s PUT 2")
		if failed, unmarked := r.metric("runnel_mark_written_total", "failed"), r.metric("runnel_mark_unmarked_entries", ""); failed != 3 || unmarked != 2 {
			t.Errorf("metrics say %v failed, %v entries unmarked", failed, unmarked)
		}
		r.objects.Before(func(_ context.Context, c fault.Call) error { r.note(c); return nil })
		sleep(time.Second)
		r.wants("4s PUT 2")
		if ok, unmarked := r.metric("runnel_mark_written_total", "ok"), r.metric("runnel_mark_unmarked_entries", ""); ok != 1 || unmarked != 0 {
			t.Errorf("metrics say %v written, %v entries unmarked", ok, unmarked)
		}
		r.failing(fault.Put)
		r.grow(1)
		stop() // once more, and no longer
		r.wants("4s PUT 3")
	})
}

// TestAPutThatNeverEndsIsGivenUp, by a broker that stops after 3 s.
func TestAPutThatNeverEndsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{})
		r.objects.Before(func(ctx context.Context, _ fault.Call) error {
			<-ctx.Done()
			return ctx.Err()
		})
		stop := r.run()
		r.grow(1)
		stop()
		if took := time.Since(r.began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestAMarkWhoseAnswerWasLostIsNotWrittenForever: the next attempt finds it.
func TestAMarkWhoseAnswerWasLostIsNotWrittenForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{LookEvery: never})
		lost := errors.New("connection reset")
		r.objects.After(func(_ context.Context, c fault.Call, err error) error {
			if c.Op == fault.Put && err == nil {
				return lost
			}
			return err
		})
		r.run()
		r.grow(1)
		sleep(time.Minute)
		r.wants("1s PUT 1", "2s PUT 1")
	})
}

func TestALookLeavesTheNewestMarksAndThoseThatTheLogLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{Keep: 3})
		for node := range metastore.NodeID(6) {
			r.grow(1)
			r.put(r.mark(r.replica.Position(), node))
		}
		r.must(r.keeper.Compare(t.Context(), r.cluster))
		r.run()
		sleep(3 * time.Minute) // the log did not move
		if n := len(r.marks()); n != 7 {
			t.Errorf("%d marks: a broker deleted some although it has seen nothing new", n)
		}
		r.grow(1)
		sleep(2 * time.Minute)
		if want := []string{"7/7", "6/5", "6/7"}; !slices.Equal(r.marks(), want) {
			t.Errorf("marks %v, want %v", r.marks(), want)
		}
		lost := r.mark(r.replica.Position().Next([]byte("lost")).Position, 1)
		r.put(lost)
		r.grow(1)
		sleep(10 * time.Minute)
		if marks := r.marks(); !slices.Contains(marks, "8/1") {
			t.Errorf("marks %v: one that the log lacks is gone", marks)
		}
	})
}

// TestALogThatABrokerWhichWasCutOffKnowsBetterIsRefusedWhileItServes: the one that knew less went on from the older log.
func TestALogThatABrokerWhichWasCutOffKnowsBetterIsRefusedWhileItServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{})
		r.grow(1)
		r.run()
		sleep(5 * time.Minute)
		r.put(r.mark(r.replica.Position().Next([]byte("lost")).Position, 1))
		sleep(5 * time.Minute)
		if err := r.replica.Health(); err != nil {
			t.Fatalf("refused while nothing was lost: the log may be behind for a moment, and nobody wrote to it: %v", err)
		}
		r.grow(1)
		sleep(2 * time.Minute)
		if err := r.replica.Health(); !errors.Is(err, metastore.ErrRegressed) {
			t.Fatalf("health: %v", err)
		}
		_, err := r.replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "after", Partitions: 1, ReplicationFactor: 1})
		if !errors.Is(err, metastore.ErrRegressed) {
			t.Errorf("an append: %v, want a refusal", err)
		}
		if err := r.replica.Run(t.Context()); !errors.Is(err, metastore.ErrRegressed) {
			t.Errorf("follow: %v, want a refusal", err)
		}
	})
}

// TestLooksThatFailAreMadeAgain, and refuse nothing.
func TestLooksThatFailAreMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{Keep: 1})
		r.failing(fault.List)
		r.run()
		r.grow(1)
		sleep(5 * time.Minute)
		if err := r.replica.Health(); err != nil {
			t.Fatal(err)
		}
		r.failing(fault.Delete)
		r.grow(1)
		sleep(2 * time.Minute)
		if n := len(r.marks()); n != 2 {
			t.Errorf("%d marks", n)
		}
		r.objects.Before(nil)
		r.grow(1)
		sleep(2 * time.Minute)
		if want := []string{"3/7"}; !slices.Equal(r.marks(), want) {
			t.Errorf("marks %v, want %v", r.marks(), want)
		}
	})
}
