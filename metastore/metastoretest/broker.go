package metastoretest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

const (
	longLease  = time.Hour
	shortLease = 20 * time.Millisecond
)

var brokerCases = []testCase{
	{"ClusterIDStays", clusterIDStays},
	{"ClockRuns", clockRuns},
	{"AnyIDIsTheLowestFree", anyNodeID},
	{"AnyIDRaces", anyNodeIDRace},
	{"FieldsComeBack", brokerFields},
	{"LiveIDIsRefused", nodeIDInUse},
	{"RestartReplaces", sameAddressReplaces},
	{"NewerFencesOlder", renewFenced},
	{"UnregisterEndsTheLease", unregister},
	{"LeaseRunsOut", leaseRunsOut},
	{"LateRenewalRevives", lateRenewal},
	{"LeavingIsSeenUntilTheNextRegistration", leaving},
}

func at(id metastore.NodeID, host string) metastore.Broker {
	return metastore.Broker{NodeID: id, Host: host, Port: 9092}
}

func mustRegister(ctx context.Context, t testing.TB, s metastore.Brokers, b metastore.Broker, lease time.Duration) metastore.Broker {
	t.Helper()
	got, err := s.RegisterBroker(ctx, b, lease)
	if err != nil {
		t.Fatalf("register %+v: %v", b, err)
	}
	return got
}

func sameBroker(a, b metastore.Broker) bool { return reflect.DeepEqual(a, b) }

func wantLive(ctx context.Context, t testing.TB, s metastore.Brokers, want ...metastore.Broker) {
	t.Helper()
	got, err := s.LiveBrokers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, sameBroker) {
		t.Errorf("live brokers: %+v, want %+v", got, want)
	}
}

func clusterIDStays(ctx context.Context, t *testing.T, s metastore.Store) {
	first, err := s.ClusterID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || len(raw) != 16 || len(first) != 22 {
		t.Errorf("cluster id %q is not a UUID in 22 characters", first)
	}
	if again, err := s.ClusterID(ctx); err != nil || again != first {
		t.Errorf("cluster id changes from %q to %q (%v)", first, again, err)
	}
}

func anyNodeID(ctx context.Context, t *testing.T, s metastore.Store) {
	a := mustRegister(ctx, t, s, at(metastore.AnyNodeID, "a"), longLease)
	two := mustRegister(ctx, t, s, at(2, "two"), longLease)
	b := mustRegister(ctx, t, s, at(metastore.AnyNodeID, "b"), longLease)
	c := mustRegister(ctx, t, s, at(metastore.AnyNodeID, "c"), longLease)
	if a.NodeID != 0 || b.NodeID != 1 || c.NodeID != 3 {
		t.Errorf("ids %d, %d, %d beside 2, want 0, 1, 3", a.NodeID, b.NodeID, c.NodeID)
	}
	wantLive(ctx, t, s, a, b, two, c)
	if err := s.UnregisterBroker(ctx, b.NodeID, b.Epoch); err != nil {
		t.Fatal(err)
	}
	d := mustRegister(ctx, t, s, at(metastore.AnyNodeID, "d"), longLease)
	if d.NodeID != 1 || d.Epoch <= b.Epoch {
		t.Errorf("a freed id is given as %d, epoch %d after %d", d.NodeID, d.Epoch, b.Epoch)
	}
}

func anyNodeIDRace(ctx context.Context, t *testing.T, s metastore.Store) {
	const brokers = 8
	ids := make([]metastore.NodeID, brokers)
	var all sync.WaitGroup
	for i := range brokers {
		all.Go(func() {
			b, err := s.RegisterBroker(ctx, at(metastore.AnyNodeID, fmt.Sprint("host", i)), longLease)
			if err != nil {
				t.Errorf("register: %v", err)
			}
			ids[i] = b.NodeID
		})
	}
	all.Wait()
	slices.Sort(ids)
	if want := []metastore.NodeID{0, 1, 2, 3, 4, 5, 6, 7}; !slices.Equal(ids, want) {
		t.Errorf("ids %v, want %v", ids, want)
	}
}

func brokerFields(ctx context.Context, t *testing.T, s metastore.Store) {
	b := metastore.Broker{NodeID: 7, Host: "broker.example", Port: 19092, Zone: "eu-1a", Version: "0.1.0", PeerHost: "peer.example", PeerPort: 19093,
		Listeners: []metastore.Listener{{Name: "INTERNAL", Host: "broker.example", Port: 19092, Protocol: "PLAINTEXT"},
			{Name: "PUB-LIC_1", Host: "fd00::1", Port: 65535, Protocol: "SASL_SSL"}}}
	got := mustRegister(ctx, t, s, b, longLease)
	if got.Epoch <= 0 {
		t.Errorf("epoch %d", got.Epoch)
	}
	b.Epoch = got.Epoch
	if !sameBroker(got, b) {
		t.Errorf("registered %+v, want %+v", got, b)
	}
	wantLive(ctx, t, s, b)
	// One that takes its place has its own listeners alone.
	b.Listeners = nil
	again := mustRegister(ctx, t, s, b, longLease)
	if again.Listeners != nil {
		t.Errorf("registered without listeners, it has %v", again.Listeners)
	}
	wantLive(ctx, t, s, again)
}

func nodeIDInUse(ctx context.Context, t *testing.T, s metastore.Store) {
	a := mustRegister(ctx, t, s, at(4, "a"), longLease)
	_, err := s.RegisterBroker(ctx, at(4, "b"), longLease)
	wantError(t, "register under a live id", err, metastore.ErrNodeIDInUse)
	other := at(4, "a")
	other.Port++
	_, err = s.RegisterBroker(ctx, other, longLease)
	wantError(t, "register under a live id, other port", err, metastore.ErrNodeIDInUse)
	wantLive(ctx, t, s, a)
	if err := s.RenewBroker(ctx, 4, a.Epoch, longLease); err != nil {
		t.Errorf("the holder's renewal: %v", err)
	}
}

func sameAddressReplaces(ctx context.Context, t *testing.T, s metastore.Store) {
	first := mustRegister(ctx, t, s, at(4, "a"), longLease)
	again := mustRegister(ctx, t, s, at(4, "a"), longLease)
	if again.Epoch <= first.Epoch {
		t.Errorf("epoch %d after %d", again.Epoch, first.Epoch)
	}
	wantError(t, "renewal of the one replaced", s.RenewBroker(ctx, 4, first.Epoch, longLease), metastore.ErrFenced)
	anyID := mustRegister(ctx, t, s, at(metastore.AnyNodeID, "a"), longLease)
	if anyID.NodeID != 4 {
		t.Errorf("a restart on the address of broker 4 becomes %d", anyID.NodeID)
	}
	wantLive(ctx, t, s, anyID)
}

func renewFenced(ctx context.Context, t *testing.T, s metastore.Store) {
	wantError(t, "renewal of nobody", s.RenewBroker(ctx, 1, 1, longLease), metastore.ErrFenced)
	a := mustRegister(ctx, t, s, at(1, "a"), shortLease)
	b := registerWhenFree(ctx, t, s, at(1, "b"))
	if b.Epoch <= a.Epoch {
		t.Errorf("epoch %d after %d", b.Epoch, a.Epoch)
	}
	wantError(t, "renewal by the one before", s.RenewBroker(ctx, 1, a.Epoch, longLease), metastore.ErrFenced)
	if err := s.UnregisterBroker(ctx, 1, a.Epoch); err != nil {
		t.Errorf("unregister of what had ended: %v", err)
	}
	wantLive(ctx, t, s, b)
}

// registerWhenFree registers as soon as the lease of the holder is over.
func registerWhenFree(ctx context.Context, t testing.TB, s metastore.Brokers, b metastore.Broker) metastore.Broker {
	t.Helper()
	for {
		got, err := s.RegisterBroker(ctx, b, longLease)
		if err == nil {
			return got
		}
		if !errors.Is(err, metastore.ErrNodeIDInUse) {
			t.Fatalf("register: %v", err)
		}
	}
}

func unregister(ctx context.Context, t *testing.T, s metastore.Store) {
	if err := s.UnregisterBroker(ctx, 3, 1); err != nil {
		t.Errorf("unregister of nobody: %v", err)
	}
	a := mustRegister(ctx, t, s, at(3, "a"), longLease)
	for range 2 {
		if err := s.UnregisterBroker(ctx, 3, a.Epoch); err != nil {
			t.Errorf("unregister: %v", err)
		}
	}
	wantLive(ctx, t, s)
	wantError(t, "renewal after unregister", s.RenewBroker(ctx, 3, a.Epoch, longLease), metastore.ErrFenced)
	b := mustRegister(ctx, t, s, at(3, "b"), longLease)
	if b.Epoch <= a.Epoch {
		t.Errorf("epoch %d after %d", b.Epoch, a.Epoch)
	}
}

// waitUntilDead polls until nobody is live.
func waitUntilDead(ctx context.Context, t testing.TB, s metastore.Brokers) {
	t.Helper()
	for {
		live, err := s.LiveBrokers(ctx)
		if err != nil {
			t.Fatalf("live brokers: %v", err)
		}
		if len(live) == 0 {
			return
		}
	}
}

func leaseRunsOut(ctx context.Context, t *testing.T, s metastore.Store) {
	a := mustRegister(ctx, t, s, at(metastore.AnyNodeID, "a"), shortLease)
	waitUntilDead(ctx, t, s)
	b := mustRegister(ctx, t, s, at(metastore.AnyNodeID, "b"), longLease)
	if b.NodeID != a.NodeID || b.Epoch <= a.Epoch {
		t.Errorf("after a lease ran out its id %d, epoch %d becomes %d, epoch %d", a.NodeID, a.Epoch, b.NodeID, b.Epoch)
	}
}

func lateRenewal(ctx context.Context, t *testing.T, s metastore.Store) {
	a := mustRegister(ctx, t, s, at(0, "a"), shortLease)
	waitUntilDead(ctx, t, s)
	if err := s.RenewBroker(ctx, 0, a.Epoch, longLease); err != nil {
		t.Errorf("renewal of a lease that nobody took: %v", err)
	}
	wantLive(ctx, t, s, a)
	_, err := s.RegisterBroker(ctx, at(0, "b"), longLease)
	wantError(t, "register under the revived id", err, metastore.ErrNodeIDInUse)
}

func leaving(ctx context.Context, t *testing.T, s metastore.Store) {
	wantError(t, "leave of nobody", s.LeaveBroker(ctx, 3, 1), metastore.ErrFenced)
	a := mustRegister(ctx, t, s, at(3, "a"), longLease)
	b := mustRegister(ctx, t, s, at(4, "b"), longLease)
	for range 2 {
		if err := s.LeaveBroker(ctx, 3, a.Epoch); err != nil {
			t.Errorf("leave: %v", err)
		}
	}
	gone := a
	gone.Leaving = true
	wantLive(ctx, t, s, gone, b)
	if err := s.RenewBroker(ctx, 3, a.Epoch, longLease); err != nil {
		t.Errorf("renewal of one that leaves: %v", err)
	}
	wantLive(ctx, t, s, gone, b)
	again := mustRegister(ctx, t, s, gone, longLease)
	if again.Leaving {
		t.Error("a broker that registers is leaving")
	}
	wantLive(ctx, t, s, again, b)
	wantError(t, "leave of the one replaced", s.LeaveBroker(ctx, 3, a.Epoch), metastore.ErrFenced)
	if err := s.UnregisterBroker(ctx, 3, again.Epoch); err != nil {
		t.Fatal(err)
	}
	wantError(t, "leave after unregister", s.LeaveBroker(ctx, 3, again.Epoch), metastore.ErrFenced)
	wantLive(ctx, t, s, b)
}

func clockRuns(ctx context.Context, t *testing.T, s metastore.Store) {
	first, err := s.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if again.Before(first) || first.IsZero() {
		t.Errorf("clock %v and then %v", first, again)
	}
}
