package txn

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/lease"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// member is a broker as far as reaping goes.
type member struct {
	self   metastore.Broker
	log    *metastore.Replica
	reaper *Reaper
	now    func() time.Time
	stop   func()
}

func (m *member) Self() metastore.Broker { return m.self }
func (m *member) Now() time.Time         { return m.now() }

// join registers a broker on the store and starts its reaper.
func join(t *testing.T, store *memory.Store, leases lease.Leases, opts Options) *member {
	t.Helper()
	return joinAt(t, store, leases, time.Now, opts)
}

// joinAt is join with a clock on which brokers agree.
func joinAt(t *testing.T, store *memory.Store, leases lease.Leases, now func() time.Time, opts Options) *member {
	t.Helper()
	self, err := store.RegisterBroker(t.Context(), metastore.Broker{NodeID: metastore.AnyNodeID, Host: rand.Text()}, 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{self: self, now: now, log: metastore.NewReplica(store, metastore.ReplicaOptions{Now: now})}
	if err := m.log.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.reaper = New(m.log, m.log, m, leases, opts)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.log.Run(ctx) })
	running.Go(func() { _ = m.reaper.Run(ctx) })
	m.stop = func() { cancel(); running.Wait() }
	t.Cleanup(m.stop)
	synctest.Wait()
	return m
}

// begin makes a transactional id with an ongoing transaction, and returns its producer.
func begin(t *testing.T, log *metastore.Replica, id string, timeout time.Duration) metastore.TxnResult {
	t.Helper()
	fresh, err := log.NextProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made := decide(t, log, metastore.InitTxn{ID: id, Timeout: timeout, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh})
	return decide(t, log, metastore.AddToTxn{ID: id, Producer: made.Producer, Epoch: made.Epoch, Groups: []string{"g"}})
}

func decide(t *testing.T, log *metastore.Replica, req metastore.TxnRequest) metastore.TxnResult {
	t.Helper()
	results, err := log.Transact(t.Context(), []metastore.TxnRequest{req})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

func state(log *metastore.Replica, id string) metastore.TxnState {
	x, _ := log.Transaction(id)
	return x.State
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestTransactionsPastTheirTimeoutAreAbortedByOneBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		var members []*member
		for range 3 {
			members = append(members, join(t, store, store, Options{}))
		}
		producers := make(map[string]metastore.TxnResult)
		for i := range 250 { // more than a batch
			id := fmt.Sprint("short", i)
			producers[id] = begin(t, members[0].log, id, 5*time.Second)
		}
		begin(t, members[0].log, "long", time.Minute)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		aborted := 0.0
		for _, m := range members {
			aborted += counted(t, m.reaper.metrics.aborted)
			for id, was := range producers {
				x, _ := m.log.Transaction(id)
				if x.State != metastore.TxnCompleteAbort || x.Epoch <= was.Epoch {
					t.Fatalf("%s: %+v", id, x)
				}
			}
			if got := state(m.log, "long"); got != metastore.TxnOngoing {
				t.Errorf("a transaction within its time-out is %v", got)
			}
		}
		if aborted != 250 {
			t.Errorf("%v transactions counted as aborted", aborted)
		}
		results, err := members[1].log.Transact(t.Context(), []metastore.TxnRequest{metastore.EndTxn{
			ID: "short7", Producer: producers["short7"].Producer, Epoch: producers["short7"].Epoch, Commit: true, Version: 2,
		}})
		if err != nil || results[0].Err == nil {
			t.Errorf("a producer that timed out commits: %+v, %v", results, err)
		}
	})
}

// setClock is a clock that can be set.
type setClock struct{ ahead atomic.Int64 }

func (c *setClock) Now() time.Time            { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *setClock) setAhead(by time.Duration) { c.ahead.Store(int64(by)) }

// The log's time does not go back with the clock, so everything seems to begin when the clock was last set back.
func TestTransactionsTimeOutThoughTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		var clock setClock
		m := joinAt(t, store, store, clock.Now, Options{})
		clock.setAhead(time.Hour)
		ahead := begin(t, m.log, "begun ahead", 5*time.Second)
		clock.setAhead(0)
		behind := begin(t, m.log, "begun behind", 5*time.Second)
		begin(t, m.log, "long", time.Minute)
		time.Sleep(21 * time.Second) // a round in which it is first seen, another in which it is past its time-out
		synctest.Wait()
		for id, was := range map[string]metastore.TxnResult{"begun ahead": ahead, "begun behind": behind} {
			if x, _ := m.log.Transaction(id); x.State != metastore.TxnCompleteAbort || x.Epoch <= was.Epoch {
				t.Errorf("%s: %+v", id, x)
			}
		}
		if got := state(m.log, "long"); got != metastore.TxnOngoing {
			t.Errorf("a transaction within its time-out is %v", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := state(m.log, "long"); got != metastore.TxnCompleteAbort {
			t.Errorf("the long one is %v", got)
		}
	})
}

// What was seen of one transaction says nothing of the next with the same id.
func TestTheNextTransactionHasItsWholeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		var clock setClock
		m := joinAt(t, store, store, clock.Now, Options{AbortEvery: time.Second})
		clock.setAhead(time.Hour)
		begin(t, m.log, "other", time.Millisecond) // takes the log's time ahead
		clock.setAhead(0)
		made := begin(t, m.log, "t", 10*time.Second)
		for range 5 { // transactions of six seconds
			time.Sleep(6 * time.Second)
			synctest.Wait()
			x, _ := m.log.Transaction("t")
			if x.State != metastore.TxnOngoing {
				t.Fatalf("aborted within its time-out: %+v", x)
			}
			decide(t, m.log, metastore.EndTxn{ID: "t", Producer: made.Producer, Epoch: made.Epoch, Commit: true, Version: 1, Number: x.Number})
			decide(t, m.log, metastore.AddToTxn{ID: "t", Producer: made.Producer, Epoch: made.Epoch, Groups: []string{"g"}, Number: x.Number + 1})
		}
	})
}

// A clock that creeps behind the log's time is no reason to begin anew with each look.
func TestATransactionIsSeenOnceThoughItsBeginningComesToPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		var clock setClock
		m := joinAt(t, store, store, clock.Now, Options{AbortEvery: time.Second})
		clock.setAhead(8 * time.Second)
		begin(t, m.log, "t", 10*time.Second)
		clock.setAhead(0)
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if got := state(m.log, "t"); got != metastore.TxnCompleteAbort {
			t.Errorf("state %v, 2 s past its time-out", got)
		}
	})
}

// lapsing are leases of which nobody hears anything while lost is set.
type lapsing struct {
	lease.Leases
	lost atomic.Bool
}

func (l *lapsing) HoldLease(ctx context.Context, name string, holder metastore.NodeID, epoch int64, length time.Duration) (metastore.Lease, error) {
	if l.lost.Load() {
		return metastore.Lease{}, context.DeadlineExceeded
	}
	return l.Leases.HoldLease(ctx, name, holder, epoch, length)
}

// A role that is not certain for a while says nothing of how long transactions last.
func TestTransactionsTimeOutThoughTheRoleLapsesNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		leases := &lapsing{Leases: store}
		var clock setClock
		m := joinAt(t, store, leases, clock.Now, Options{})
		clock.setAhead(time.Hour)
		begin(t, m.log, "t", 25*time.Second)
		clock.setAhead(0)
		time.Sleep(11 * time.Second) // it was seen once
		leases.lost.Store(true)
		time.Sleep(11 * time.Second) // a round without the role
		if _, held := m.reaper.Held(); held {
			t.Error("the role did not lapse")
		}
		leases.lost.Store(false)
		time.Sleep(20 * time.Second) // 32 s after it was seen
		synctest.Wait()
		if got := state(m.log, "t"); got != metastore.TxnCompleteAbort {
			t.Errorf("state %v, past its time-out", got)
		}
	})
}

func TestAnotherBrokerReapsWhenTheOneThatDidIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		first := join(t, store, &once{Leases: store}, Options{}) // its lease is never extended, as if it were killed
		if _, held := first.reaper.Held(); !held {
			t.Fatal("nobody has the role")
		}
		second := join(t, store, store, Options{})
		if _, held := second.reaper.Held(); held {
			t.Fatal("two have the role")
		}
		time.Sleep(13 * time.Second)
		synctest.Wait()
		if _, held := first.reaper.Held(); held {
			t.Error("it believes to hold a lease that has run out")
		}
		if _, held := second.reaper.Held(); !held {
			t.Error("nobody took over")
		}
		begin(t, second.log, "t", time.Second)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := state(second.log, "t"); got != metastore.TxnCompleteAbort {
			t.Errorf("state %v", got)
		}
		if counted(t, first.reaper.metrics.aborted) != 0 {
			t.Error("the first still reaps")
		}
	})
}

// once is a metastore that answers the first time only.
type once struct {
	lease.Leases
	mu    sync.Mutex
	asked bool
}

func (o *once) HoldLease(ctx context.Context, name string, holder metastore.NodeID, epoch int64, length time.Duration) (metastore.Lease, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.asked {
		return metastore.Lease{}, context.DeadlineExceeded
	}
	o.asked = true
	return o.Leases.HoldLease(ctx, name, holder, epoch, length)
}

func TestTheRoleIsGivenBackAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		first, second := join(t, store, store, Options{}), join(t, store, store, Options{})
		first.stop()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if _, held := second.reaper.Held(); !held {
			t.Error("the role was not given back")
		}
	})
}

func TestTransactionalIDsThatNobodyUsesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		m := join(t, store, store, Options{Expiration: 48 * time.Hour})
		idle := begin(t, m.log, "idle", time.Hour)
		decide(t, m.log, metastore.EndTxn{ID: "idle", Producer: idle.Producer, Epoch: idle.Epoch, Commit: true, Version: 1})
		time.Sleep(47 * time.Hour)
		used := begin(t, m.log, "used", time.Hour)
		decide(t, m.log, metastore.EndTxn{ID: "used", Producer: used.Producer, Epoch: used.Epoch, Commit: true, Version: 1})
		if _, ok := m.log.Transaction("idle"); !ok {
			t.Error("forgotten too early")
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if _, ok := m.log.Transaction("idle"); ok {
			t.Error("it is still there")
		}
		if _, ok := m.log.Transaction("used"); !ok {
			t.Error("one that was used is forgotten")
		}
		if n := counted(t, m.reaper.metrics.forgotten); n != 1 {
			t.Errorf("%v counted as forgotten", n)
		}
	})
}
