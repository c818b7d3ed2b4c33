// Package metastoretest is the contract of package metastore as tests. Every implementation passes Run; those that
// outlive their process pass RunDurable too.
package metastoretest

import (
	"context"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Open returns a store that was just made, and that nobody else uses. It arranges its own closing.
type Open func(t testing.TB) metastore.Store

// Reopen closes a store that Open made and returns one on the same data.
type Reopen func(t testing.TB, s metastore.Store) metastore.Store

// patience bounds each wait for something that must happen.
const patience = 30 * time.Second

// Run tests a store against the contract.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"Log", logCases},
		{"LogRaces", logRaceCases},
		{"AppendWith", appendWithCases},
		{"Snapshot", snapshotCases},
		{"Trim", trimCases},
		{"Broker", brokerCases},
		{"Lease", leaseCases},
		{"Group", groupCases},
		{"Offsets", offsetCases},
		{"Contention", contentionCases},
		{"Close", closeCases},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
					defer cancel()
					c.run(ctx, t, open(t))
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(ctx context.Context, t *testing.T, s metastore.Store)
}

var closeCases = []testCase{
	{"EndsCallsThatWait", closeEndsWait},
	{"CallsAfterItFail", closedStoreFails},
}

func closeEndsWait(ctx context.Context, t *testing.T, s metastore.Store) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s.Wait(ctx, 0) == nil { // without news too
		}
	}()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("a call to Wait outlives the store")
	}
}

func closedStoreFails(ctx context.Context, t *testing.T, s metastore.Store) {
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := s.Append(ctx, metastore.Position{}, metastore.Position{}.Next([]byte("late"))); err == nil {
		t.Error("append after close succeeds")
	}
	if _, err := s.Read(ctx, metastore.Position{}, 1); err == nil {
		t.Error("read after close succeeds")
	}
	if _, err := s.ClaimGroup(ctx, "g", 1); err == nil {
		t.Error("claim after close succeeds")
	}
}
