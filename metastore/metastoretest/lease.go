package metastoretest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

var leaseCases = []testCase{
	{"FreeIsTaken", freeLeaseIsTaken},
	{"HolderExtends", holderExtends},
	{"LiveIsRefused", liveLeaseIsRefused},
	{"RunsOut", leaseOfRoleRunsOut},
	{"LateExtensionRevives", lateExtension},
	{"ReleaseEndsIt", releaseEndsIt},
	{"RestartTakesOver", restartTakesOver},
	{"NamesAreApart", leaseNamesAreApart},
	{"FreeRaces", freeLeaseRace},
	{"ExpiredRaces", expiredLeaseRace},
}

const role = "role"

// hold calls HoldLease and returns the lease as it stands.
func hold(ctx context.Context, t testing.TB, s metastore.Leases, name string, holder metastore.NodeID, holderEpoch int64, length time.Duration) metastore.Lease {
	t.Helper()
	l, err := s.HoldLease(ctx, name, holder, holderEpoch, length)
	if err != nil {
		t.Fatalf("hold lease: %v", err)
	}
	return l
}

func mustHold(ctx context.Context, t testing.TB, s metastore.Leases, name string, holder metastore.NodeID, holderEpoch int64, length time.Duration) metastore.Lease {
	t.Helper()
	l := hold(ctx, t, s, name, holder, holderEpoch, length)
	if l.Name != name || !l.HeldBy(holder, holderEpoch) {
		t.Fatalf("%d of registration %d does not get lease %q: %+v", holder, holderEpoch, name, l)
	}
	return l
}

// wantRefused checks that the lease stands as it is although somebody else asks for it.
func wantRefused(ctx context.Context, t testing.TB, s metastore.Leases, stands metastore.Lease, holder metastore.NodeID, holderEpoch int64) {
	t.Helper()
	if l := hold(ctx, t, s, stands.Name, holder, holderEpoch, longLease); l != stands {
		t.Errorf("%d of registration %d finds the lease %+v, want %+v", holder, holderEpoch, l, stands)
	}
}

func release(ctx context.Context, t testing.TB, s metastore.Leases, l metastore.Lease) {
	t.Helper()
	if err := s.ReleaseLease(ctx, l.Name, l.Holder, l.HolderEpoch); err != nil {
		t.Fatalf("release: %v", err)
	}
}

// holdWhenFree takes the lease as soon as it is over.
func holdWhenFree(ctx context.Context, t testing.TB, s metastore.Leases, holder metastore.NodeID, holderEpoch int64) metastore.Lease {
	t.Helper()
	for {
		if l := hold(ctx, t, s, role, holder, holderEpoch, longLease); l.HeldBy(holder, holderEpoch) {
			return l
		}
	}
}

func freeLeaseIsTaken(ctx context.Context, t *testing.T, s metastore.Store) {
	if l := mustHold(ctx, t, s, role, 0, 1, longLease); l.Epoch <= 0 {
		t.Errorf("epoch %d", l.Epoch)
	}
}

// holderExtends shows that the extension counts: the short lease that it replaces is over when a second one is.
func holderExtends(ctx context.Context, t *testing.T, s metastore.Store) {
	first := mustHold(ctx, t, s, role, 1, 5, shortLease)
	if l := mustHold(ctx, t, s, role, 1, 5, longLease); l != first {
		t.Errorf("an extension makes %+v of %+v", l, first)
	}
	waitForShortLease(ctx, t, s)
	wantRefused(ctx, t, s, first, 2, 1)
	// And to something shorter.
	mustHold(ctx, t, s, role, 1, 5, shortLease)
	holdWhenFree(ctx, t, s, 2, 1)
}

// waitForShortLease returns when a short lease that was taken before is over.
func waitForShortLease(ctx context.Context, t testing.TB, s metastore.Leases) {
	t.Helper()
	mustHold(ctx, t, s, "another", 1, 1, shortLease)
	for !hold(ctx, t, s, "another", 2, 1, longLease).HeldBy(2, 1) {
	}
}

func liveLeaseIsRefused(ctx context.Context, t *testing.T, s metastore.Store) {
	l := mustHold(ctx, t, s, role, 1, 5, longLease)
	for range 2 {
		wantRefused(ctx, t, s, l, 2, 9)
		wantRefused(ctx, t, s, l, 0, 1)
	}
	if again := mustHold(ctx, t, s, role, 1, 5, longLease); again != l {
		t.Errorf("the holder finds %+v, had %+v", again, l)
	}
}

func leaseOfRoleRunsOut(ctx context.Context, t *testing.T, s metastore.Store) {
	a := mustHold(ctx, t, s, role, 1, 5, shortLease)
	b := holdWhenFree(ctx, t, s, 2, 1)
	if b.Epoch <= a.Epoch {
		t.Errorf("epoch %d after %d", b.Epoch, a.Epoch)
	}
	wantRefused(ctx, t, s, b, 1, 5)
	release(ctx, t, s, a) // which is not held any more
	wantRefused(ctx, t, s, b, 1, 5)
}

func lateExtension(ctx context.Context, t *testing.T, s metastore.Store) {
	a := mustHold(ctx, t, s, role, 1, 5, shortLease)
	waitForShortLease(ctx, t, s)
	if l := mustHold(ctx, t, s, role, 1, 5, longLease); l != a {
		t.Errorf("a lease that ran out and that nobody took becomes %+v, was %+v", l, a)
	}
	wantRefused(ctx, t, s, a, 2, 1)
}

func releaseEndsIt(ctx context.Context, t *testing.T, s metastore.Store) {
	release(ctx, t, s, metastore.Lease{Name: "never held", Holder: 1, HolderEpoch: 1})
	a := mustHold(ctx, t, s, role, 1, 5, longLease)
	for _, other := range []metastore.Lease{{Name: role, Holder: 2, HolderEpoch: 5}, {Name: role, Holder: 1, HolderEpoch: 4}} {
		release(ctx, t, s, other)
		wantRefused(ctx, t, s, a, 2, 1)
	}
	for range 2 {
		release(ctx, t, s, a)
	}
	b := mustHold(ctx, t, s, role, 2, 1, longLease)
	if b.Epoch <= a.Epoch {
		t.Errorf("epoch %d after %d", b.Epoch, a.Epoch)
	}
	release(ctx, t, s, b)
	if again := mustHold(ctx, t, s, role, 2, 1, longLease); again.Epoch <= b.Epoch {
		t.Errorf("taken again after its release under epoch %d, had %d", again.Epoch, b.Epoch)
	}
}

func restartTakesOver(ctx context.Context, t *testing.T, s metastore.Store) {
	old := mustHold(ctx, t, s, role, 1, 5, longLease)
	restarted := mustHold(ctx, t, s, role, 1, 6, longLease)
	if restarted.Epoch <= old.Epoch {
		t.Errorf("epoch %d after %d", restarted.Epoch, old.Epoch)
	}
	wantRefused(ctx, t, s, restarted, 1, 5)
	release(ctx, t, s, old)
	wantRefused(ctx, t, s, restarted, 2, 7)
}

func leaseNamesAreApart(ctx context.Context, t *testing.T, s metastore.Store) {
	a := mustHold(ctx, t, s, "a", 1, 5, longLease)
	b := mustHold(ctx, t, s, "b", 2, 6, longLease)
	wantRefused(ctx, t, s, a, 2, 6)
	release(ctx, t, s, a)
	wantRefused(ctx, t, s, b, 1, 5)
}

// raceFor has many brokers ask for the role at the same time, and checks that all find the same holder.
func raceFor(ctx context.Context, t *testing.T, s metastore.Store) metastore.Lease {
	t.Helper()
	const brokers = 8
	found, start := make([]metastore.Lease, brokers), make(chan struct{})
	var all sync.WaitGroup
	for i := range brokers {
		all.Go(func() {
			<-start
			l, err := s.HoldLease(ctx, role, metastore.NodeID(10+i), 1, longLease)
			if err != nil {
				t.Errorf("hold lease: %v", err)
			}
			found[i] = l
		})
	}
	close(start)
	all.Wait()
	for _, l := range found {
		if l != found[0] || l.Holder < 10 || l.Holder >= 10+brokers {
			t.Fatalf("brokers find different holders: %+v", found)
		}
	}
	return found[0]
}

const races = 20

func freeLeaseRace(ctx context.Context, t *testing.T, s metastore.Store) {
	var last metastore.Lease
	for range races {
		l := raceFor(ctx, t, s)
		if l.Epoch <= last.Epoch {
			t.Errorf("epoch %d after %d", l.Epoch, last.Epoch)
		}
		last = l
		release(ctx, t, s, l)
	}
}

// expiredLeaseRace has the holder ask too, late: it or one of the others gets the lease, not both.
func expiredLeaseRace(ctx context.Context, t *testing.T, s metastore.Store) {
	for range races {
		before := mustHold(ctx, t, s, role, 10, 1, 0)
		l := raceFor(ctx, t, s)
		if same := l.HeldBy(10, 1); same != (l.Epoch == before.Epoch) || l.Epoch < before.Epoch {
			t.Errorf("%+v becomes %+v", before, l)
		}
		release(ctx, t, s, l)
	}
}
