package postgres

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Brokers that ask for a lease in vain, once a second each, must not cost its holder anything.
func TestRefusedHolderNeitherWaitsNorWrites(t *testing.T) {
	dsn := migrated(t)
	ctx, s, conn := t.Context(), open(t, dsn), connect(t, dsn)
	held, err := s.HoldLease(ctx, "role", 1, 1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	const versionSQL = "select ctid::text || ' ' || xmin::text || ' ' || xmax::text from leases"
	locker := connect(t, dsn)
	exec(t, locker, "begin")
	exec(t, locker, "update leases set lease_until = now() + interval '2 hours'") // an extension that takes its time
	if l, err := s.HoldLease(ctx, "role", 2, 1, time.Hour); err != nil || l != held {
		t.Errorf("beside an extension under way: %+v, %v", l, err)
	}
	exec(t, locker, "rollback")
	before := texts(t, conn, versionSQL) // with the mark of what was rolled back
	if l, err := s.HoldLease(ctx, "role", 2, 1, time.Hour); err != nil || l != held {
		t.Errorf("refused: %+v, %v", l, err)
	}
	if after := texts(t, conn, versionSQL); after[0] != before[0] {
		t.Errorf("a refusal leaves its mark on the row: %s, was %s", after, before)
	}
}

// The interleaving above holdLeaseSQL: the row that the statement's snapshot holds names the caller.
func TestLateHolderFindsWhoTookTheLease(t *testing.T) {
	dsn := migrated(t)
	ctx, s, taker := t.Context(), open(t, dsn), connect(t, dsn)
	late, err := s.HoldLease(ctx, "role", 1, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, taker, "begin")
	exec(t, taker, holdLeaseSQL, "role", int32(2), int64(1), time.Hour.Microseconds())
	type result struct {
		metastore.Lease
		error
	}
	answer := make(chan result, 1)
	go func() {
		l, err := s.HoldLease(ctx, "role", 1, 1, time.Hour)
		answer <- result{l, err}
	}()
	blocked(t, connect(t, dsn), 1)
	exec(t, taker, "commit")
	want := metastore.Lease{Name: "role", Holder: 2, HolderEpoch: 1, Epoch: late.Epoch + 1}
	if got := <-answer; got.error != nil || got.Lease != want {
		t.Errorf("lease %+v, want %+v", got, want)
	}
}
