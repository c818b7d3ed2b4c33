package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// joinAndRun starts brokers and waits until they know each other.
func joinAndRun(t *testing.T, store metastore.Brokers, n int32) (all []*Membership, stop []func() error) {
	t.Helper()
	for i := range n {
		all = append(all, join(t, store, i+1, metastore.NodeID(i)))
		stop = append(stop, run(t, all[i]))
	}
	time.Sleep(all[0].Stale())
	return all, stop
}

func ids(brokers []metastore.Broker) string {
	var text string
	for _, b := range brokers {
		text += fmt.Sprint(b.NodeID)
	}
	return text
}

func TestNobodyNamesABrokerThatHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, stop := joinAndRun(t, memory.New(memory.Options{}), 3)
		begun := time.Now()
		if !all[1].Leave(t.Context()) {
			t.Fatal("there is nobody to take the keys")
		}
		if took := time.Since(begun); took != all[1].Stale() {
			t.Errorf("leaving took %v, want %v", took, all[1].Stale())
		}
		for i, m := range all {
			if live, listed := ids(m.Live()), ids(m.Listed()); live != "02" || listed != "012" {
				t.Errorf("broker %d: live are %s, listed %s", i, live, listed)
			}
		}
		for i := range 20 {
			if key := fmt.Sprint("key", i); all[1].Owns(key) || all[0].Owns(key) == all[2].Owns(key) {
				t.Errorf("%s is owned by 0, 1, 2: %v, %v, %v", key, all[0].Owns(key), all[1].Owns(key), all[2].Owns(key))
			}
		}
		if !all[1].Held() || all[1].Elsewhere() {
			t.Errorf("while it leaves, it holds its lease: %v, is elsewhere: %v", all[1].Held(), all[1].Elsewhere())
		}
		all[1].HandOver()
		<-all[1].HandedOver()
		if !all[1].Elsewhere() {
			t.Error("not elsewhere after the hand-over")
		}
		time.Sleep(time.Minute)
		if listed := ids(all[0].Listed()); listed != "012" {
			t.Errorf("a minute later %s are listed", listed)
		}
		if err := stop[1](); err != nil {
			t.Error(err)
		}
		time.Sleep(all[0].Stale())
		if listed := ids(all[0].Listed()); listed != "02" {
			t.Errorf("after its end %s are listed", listed)
		}
		back := join(t, all[0].brokers, 2, 1)
		time.Sleep(all[0].Stale())
		if live := ids(all[0].Live()); live != "012" || ids(back.Live()) != "012" {
			t.Errorf("after its return live are %s", live)
		}
	})
}

func TestLoneBrokerDoesNotLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _ := joinAndRun(t, memory.New(memory.Options{}), 1)
		begun := time.Now()
		if all[0].Leave(t.Context()) {
			t.Error("somebody takes its keys")
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("that took %v", took)
		}
		if !all[0].Owns("anything") {
			t.Error("it does not own its keys any more")
		}
	})
}

func TestClusterThatIsStoppedAsAWholeWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _ := joinAndRun(t, memory.New(memory.Options{}), 3)
		begun := time.Now()
		handedOver := make(chan bool)
		for _, m := range all {
			go func() { handedOver <- m.Leave(t.Context()) }()
		}
		for range all {
			if <-handedOver {
				t.Error("a broker hands over to one that is stopped as well")
			}
		}
		if took := time.Since(begun); took > all[0].opts.Beat/2 {
			t.Errorf("that took %v", took)
		}
		for i, m := range all {
			if live := ids(m.Live()); live != "012" {
				t.Errorf("to broker %d live are %s, want all", i, live)
			}
		}
	})
}

// deaf is a store that cannot be told of a leave.
type deaf struct{ metastore.Brokers }

func (deaf) LeaveBroker(ctx context.Context, _ metastore.NodeID, _ int64) error {
	<-ctx.Done()
	return errors.New("metastore is down")
}

func TestBrokerThatCannotTellItsLeaveKeepsItsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _ := joinAndRun(t, deaf{memory.New(memory.Options{})}, 2)
		begun := time.Now()
		if all[0].Leave(t.Context()) {
			t.Error("left although nobody knows")
		}
		if took := time.Since(begun); took > all[0].opts.Lease/2 {
			t.Errorf("that took %v", took)
		}
		if live := ids(all[0].Live()); live != "01" {
			t.Errorf("live are %s", live)
		}
	})
}

// lossy is a store whose first answer to a leave is lost.
type lossy struct {
	metastore.Brokers
	lost atomic.Bool
}

func (l *lossy) LeaveBroker(ctx context.Context, id metastore.NodeID, epoch int64) error {
	err := l.Brokers.LeaveBroker(ctx, id, epoch)
	if l.lost.CompareAndSwap(false, true) {
		return errors.New("connection reset")
	}
	return err
}

func TestLostAnswerToALeaveIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _ := joinAndRun(t, &lossy{Brokers: memory.New(memory.Options{})}, 2)
		if !all[0].Leave(t.Context()) {
			t.Error("others know of the leave, and clients are not sent to them")
		}
		if live := ids(all[1].Live()); live != "1" {
			t.Errorf("to the other live are %s", live)
		}
	})
}

// A broker whose node id another one took has nothing to hand over.
func TestFencedBrokerDoesNotInsistOnItsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		all, _ := joinAndRun(t, store, 2)
		self := all[0].Self()
		if err := store.UnregisterBroker(t.Context(), self.NodeID, self.Epoch); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if all[0].Leave(t.Context()) {
			t.Error("left without a lease")
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("that took %v", took)
		}
	})
}

func TestLeaveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _ := joinAndRun(t, memory.New(memory.Options{}), 2)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if all[0].Leave(ctx) {
			t.Error("others had no time to hear of it")
		}
	})
}

// A lease that ran out while the broker leaves is not taken again: that would undo the leave.
func TestBrokerThatLeavesDoesNotRegisterAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		all, _ := joinAndRun(t, store, 2)
		if !all[0].Leave(t.Context()) {
			t.Fatal("there is nobody to take the keys")
		}
		self := all[0].Self()
		if err := store.UnregisterBroker(t.Context(), self.NodeID, self.Epoch); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if listed := ids(all[1].Listed()); listed != "1" {
			t.Errorf("%s are listed", listed)
		}
	})
}
