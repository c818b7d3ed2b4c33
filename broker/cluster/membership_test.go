package cluster

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func join(t *testing.T, store metastore.Brokers, port int32, id metastore.NodeID) *Membership {
	t.Helper()
	m := New(store, metastore.Broker{NodeID: id, Host: "h", Port: port}, Options{})
	if err := m.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

func run(t *testing.T, m *Membership) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func TestBrokersSeeEachOtherComeLeaveAndDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		a, b, c := join(t, store, 1, metastore.AnyNodeID), join(t, store, 2, metastore.AnyNodeID), join(t, store, 3, 7)
		stopA, stopB := run(t, a), run(t, b)
		time.Sleep(2 * time.Second) // virtual
		if n := len(a.Live()); n != 3 {
			t.Errorf("%d brokers live, want 3", n)
		}
		time.Sleep(10 * time.Second) // c never renews
		if live := a.Live(); len(live) != 2 || !reflect.DeepEqual(live[0], a.Self()) || !reflect.DeepEqual(live[1], b.Self()) {
			t.Errorf("live %+v, want a and b", live)
		}
		if c.Held() || !a.Held() {
			t.Errorf("c holds its lease: %v, a: %v", c.Held(), a.Held())
		}
		if left := c.LeaseRemaining(); left != -6*time.Second {
			t.Errorf("the lease of c has %v left 12 s after it was taken for 6", left)
		}
		if left := a.LeaseRemaining(); left <= 0 || left > 6*time.Second {
			t.Errorf("the lease of a has %v left", left)
		}
		if c.Health() == nil || a.Health() != nil {
			t.Errorf("health of c: %v, of a: %v", c.Health(), a.Health())
		}
		for _, key := range []string{"x", "y", "z", "u", "v", "w"} {
			if c.Owns(key) {
				t.Errorf("c owns %s although its lease ran out", key)
			}
		}
		if err := stopB(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if live := a.Live(); len(live) != 1 || !a.Owns("anything") {
			t.Errorf("live %+v, want a alone", live)
		}
		if err := stopA(); err != nil {
			t.Error(err)
		}
	})
}

// silentBrokers is a metastore that can be cut off.
type silentBrokers struct {
	metastore.Brokers
	cut atomic.Bool
}

func (s *silentBrokers) RenewBroker(ctx context.Context, id metastore.NodeID, epoch int64, length time.Duration) error {
	if s.cut.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Brokers.RenewBroker(ctx, id, epoch, length)
}

// A broker that hears nothing of the metastore sends clients to others, as they send them to others than it. One that
// knows of no other goes on alone.
func TestABrokerWhoseLeaseRanOutDoesNotCountItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		reached := &silentBrokers{Brokers: store}
		a := join(t, reached, 1, metastore.AnyNodeID)
		stopA := run(t, a)
		alone := func() bool { live := a.Live(); return len(live) == 1 && reflect.DeepEqual(live[0], a.Self()) }
		reached.cut.Store(true)
		time.Sleep(time.Minute)
		if !alone() {
			t.Errorf("live %+v, want itself", a.Live())
		}
		reached.cut.Store(false)
		time.Sleep(10 * time.Second)
		b := join(t, store, 2, metastore.AnyNodeID)
		stopB := run(t, b)
		time.Sleep(10 * time.Second)
		if len(a.Live()) != 2 {
			t.Errorf("live %+v, want both", a.Live())
		}
		reached.cut.Store(true)
		time.Sleep(4 * time.Second)
		if len(a.Live()) != 2 {
			t.Errorf("live %+v before the lease ran out", a.Live())
		}
		time.Sleep(4 * time.Second)
		if live := a.Live(); len(live) != 1 || !reflect.DeepEqual(live[0], b.Self()) {
			t.Errorf("live %+v, want the other", live)
		}
		reached.cut.Store(false)
		time.Sleep(10 * time.Second)
		if len(a.Live()) != 2 {
			t.Errorf("live %+v, want both again", a.Live())
		}
		if err := errors.Join(stopA(), stopB()); err != nil {
			t.Error(err)
		}
	})
}

func TestWrongClockGoesByTheMetastores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		var wrong atomic.Int64
		wrong.Store(int64(-24 * time.Hour))
		m := New(store, metastore.Broker{NodeID: metastore.AnyNodeID}, Options{Now: func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }})
		if err := m.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
		check := func() {
			t.Helper()
			if got := m.Now(); time.Until(got).Abs() > time.Millisecond {
				t.Errorf("now %v, the metastore's clock says %v", got, time.Now())
			}
		}
		check()
		stop := run(t, m)
		wrong.Store(int64(3 * time.Hour)) // stepped
		time.Sleep(3 * time.Second)
		check()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestAStepOfTheClockBetweenTwoBeatsDatesNothing: one entry a day ahead makes everybody's commits too old for a day.
func TestAStepOfTheClockBetweenTwoBeatsDatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, begun := memory.New(memory.Options{}), time.Now()
		var wrong atomic.Int64
		m := New(store, metastore.Broker{NodeID: metastore.AnyNodeID}, Options{
			Now:     func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) },
			Elapsed: func() time.Duration { return time.Since(begun) },
		})
		if err := m.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, step := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
			wrong.Store(int64(step))
			time.Sleep(500 * time.Millisecond)
			if got := m.Now(); time.Until(got).Abs() > time.Millisecond {
				t.Errorf("now %v after a step by %v, the metastore's clock says %v", got, step, time.Now())
			}
		}
	})
}

// slowClock answers the first question about the time late: after so long it looks, and after so long again it answers.
type slowClock struct {
	metastore.Brokers
	before, after time.Duration
}

func (s *slowClock) Clock(ctx context.Context) (time.Time, error) {
	time.Sleep(s.before)
	now, err := s.Brokers.Clock(ctx)
	time.Sleep(s.after)
	s.before, s.after = 0, 0
	return now, err
}

// TestNobodyIsAheadForASlowAnswer: a broker that stood still while it joined took the time for later than it was, by half of the
// pause, and deleted garbage before its grace was over.
func TestNobodyIsAheadForASlowAnswer(t *testing.T) {
	for _, tc := range []slowClock{{before: 13 * time.Second}, {after: 13 * time.Second}, {before: 5 * time.Second, after: 8 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			m := New(&slowClock{memory.New(memory.Options{}), tc.before, tc.after}, metastore.Broker{NodeID: metastore.AnyNodeID}, Options{})
			if err := m.Join(t.Context()); err != nil {
				t.Fatal(err)
			}
			if ahead := time.Until(m.Now()); ahead > 0 || ahead < -13*time.Second {
				t.Errorf("looked after %v, answered %v later: ahead by %v", tc.before, tc.after, ahead)
			}
			stop := run(t, m)
			time.Sleep(3 * time.Second)
			if ahead := time.Until(m.Now()); ahead.Abs() > time.Millisecond {
				t.Errorf("ahead by %v after another look", ahead)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// One whose node id was not configured goes on under another: it is used nowhere but in lists that are made anew.
func TestBrokerWhoseLeasedNodeIDWasTakenLeasesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		var ids []metastore.NodeID
		a := New(store, metastore.Broker{NodeID: metastore.AnyNodeID, Host: "h", Port: 1}, Options{
			Registered: func(b metastore.Broker) { ids = append(ids, b.NodeID) },
		})
		if err := a.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // paused for longer than its lease
		b := join(t, store, 2, metastore.AnyNodeID)
		stopB := run(t, b)
		if b.Self().NodeID != a.Self().NodeID {
			t.Fatalf("the newcomer got %d, not the free %d", b.Self().NodeID, a.Self().NodeID)
		}
		stopA := run(t, a)
		time.Sleep(3 * time.Second)
		for _, m := range []*Membership{a, b} {
			if live := m.Live(); len(live) != 2 || !reflect.DeepEqual(live[0], b.Self()) || !reflect.DeepEqual(live[1], a.Self()) {
				t.Errorf("live %+v, want %+v and %+v", live, b.Self(), a.Self())
			}
		}
		if !a.Held() || a.Health() != nil {
			t.Errorf("holds its lease: %v, health: %v", a.Held(), a.Health())
		}
		time.Sleep(time.Minute) // and keeps it
		if err := errors.Join(stopA(), stopB()); err != nil {
			t.Error(err)
		}
		if want := []metastore.NodeID{0, 1}; !slices.Equal(ids, want) {
			t.Errorf("registered as %v, want %v", ids, want)
		}
	})
}

func TestBrokerWhoseNodeIDWasTakenStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		a := join(t, store, 1, 5)
		time.Sleep(time.Minute) // paused for longer than its lease
		b := join(t, store, 2, 5)
		stopB := run(t, b)
		if err := a.Run(t.Context()); !errors.Is(err, metastore.ErrNodeIDInUse) {
			t.Errorf("run: %v, want ErrNodeIDInUse", err)
		}
		if err := stopB(); err != nil {
			t.Error(err)
		}
	})
}
