package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type member metastore.Broker

func (m member) Self() metastore.Broker { return metastore.Broker(m) }

func join(t *testing.T, store metastore.Store) member {
	t.Helper()
	self, err := store.RegisterBroker(t.Context(), metastore.Broker{NodeID: metastore.AnyNodeID, Host: rand.Text()}, 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return member(self)
}

// flaky is a metastore that can be out of reach, or hang.
type flaky struct {
	metastore.Store
	down, hung bool
}

var errDown = errors.New("out of reach")

func (f *flaky) HoldLease(ctx context.Context, name string, holder metastore.NodeID, epoch int64, length time.Duration) (metastore.Lease, error) {
	if f.hung {
		<-ctx.Done()
		return metastore.Lease{}, ctx.Err()
	}
	if f.down {
		return metastore.Lease{}, errDown
	}
	return f.Store.HoldLease(ctx, name, holder, epoch, length)
}

func held(h *Holder) bool {
	_, held := h.Held()
	return held
}

func TestOneHoldsAndTheNextTakesOverWhenItIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		a, b := New(store, join(t, store), "role", Options{}), New(store, join(t, store), "role", Options{})
		if !a.Hold(t.Context()) || b.Hold(t.Context()) || !held(a) || held(b) {
			t.Fatal("the lease is not with who asked first, and alone")
		}
		first, _ := a.Held()
		time.Sleep(8 * time.Second)
		if !a.Hold(t.Context()) {
			t.Fatal("a lease that is held is not extended")
		}
		time.Sleep(8 * time.Second)
		if b.Hold(t.Context()) {
			t.Fatal("taken although it was extended")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		a.Release(ended)
		if held(a) || !b.Hold(t.Context()) {
			t.Fatal("not free after it was given back")
		}
		if second, _ := b.Held(); second <= first {
			t.Fatalf("epoch %d after %d", second, first)
		}
	})
}

func TestALeaseEndsOnTheHoldersOwnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: memory.New(memory.Options{})}
		defer store.Close()
		h := New(store, join(t, store), "role", Options{Length: 9 * time.Second})
		begun := time.Now()
		if !h.Hold(t.Context()) || !h.Deadline().Equal(begun.Add(9*time.Second)) {
			t.Fatal("not held for its length")
		}
		store.down = true
		time.Sleep(5 * time.Second)
		if !h.Hold(t.Context()) {
			t.Fatal("lost before its time because the metastore could not be asked")
		}
		store.hung = true
		if h.Hold(t.Context()); time.Since(begun) != 8*time.Second {
			t.Fatalf("a call took until %v", time.Since(begun))
		}
		time.Sleep(time.Second)
		if held(h) {
			t.Fatal("held past its deadline")
		}
	})
}
