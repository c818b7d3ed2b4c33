package metastoretest

import (
	"bytes"
	"context"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

var snapshotCases = []testCase{
	{"NoneAtFirst", noSnapshot},
	{"NewestWins", newestSnapshot},
	{"LargeStateComesBack", largeSnapshot},
	{"OfALogThatNeverWasIsRefused", foreignSnapshot},
}

var trimCases = []testCase{
	{"NothingWithoutSnapshot", trimWithoutSnapshot},
	{"StopsAtTheBounds", trimBounds},
	{"KeepsTheNewestEntry", trimKeepsNewest},
	{"ReadsPastTheCut", readTrimmed},
	{"SnapshotIsAPlaceToStart", startFromSnapshot},
}

func noSnapshot(ctx context.Context, t *testing.T, s metastore.Store) {
	_, err := s.LatestSnapshot(ctx)
	wantError(t, "latest snapshot", err, metastore.ErrNoSnapshot)
}

func newestSnapshot(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 5)
	for _, step := range []struct {
		save  int
		state string
		want  int
	}{{2, "at 2", 2}, {4, "at 4", 4}, {3, "late", 4}, {1, "late", 4}, {5, "at 5", 5}} {
		mustSnapshot(ctx, t, s, p[step.save], step.state)
		got, err := s.LatestSnapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got.Position != p[step.want] || string(got.State) == "late" {
			t.Errorf("after a snapshot at %d the latest is %q at %d, want that of %d", step.save, got.State, got.Seq, step.want)
		}
	}
}

func largeSnapshot(ctx context.Context, t *testing.T, s metastore.Store) {
	state := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	p := mustFill(ctx, t, s, 1)
	mustSnapshot(ctx, t, s, p[1], string(state))
	got, err := s.LatestSnapshot(ctx)
	if err != nil || got.Position != p[1] || !bytes.Equal(got.State, state) {
		t.Errorf("a snapshot of 4 MiB does not come back (%v)", err)
	}
}

// foreignSnapshot: a broker that has not noticed yet that the metastore went back in time must not leave its state there.
func foreignSnapshot(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 3)
	mustSnapshot(ctx, t, s, p[1], "at 1")
	for _, foreign := range []metastore.Position{{Seq: 2, Checksum: p[2].Checksum + 1}, {Seq: 4, Checksum: 1}} {
		err := s.SaveSnapshot(ctx, metastore.Snapshot{Position: foreign, State: []byte("foreign")})
		wantError(t, "save foreign snapshot", err, metastore.ErrRegressed)
	}
	if got, err := s.LatestSnapshot(ctx); err != nil || got.Position != p[1] {
		t.Errorf("latest snapshot is at %d (%v), want 1", got.Seq, err)
	}
}

func mustSnapshot(ctx context.Context, t testing.TB, s metastore.Log, p metastore.Position, state string) {
	t.Helper()
	if err := s.SaveSnapshot(ctx, metastore.Snapshot{Position: p, State: []byte(state)}); err != nil {
		t.Fatalf("save snapshot at %d: %v", p.Seq, err)
	}
}

func wantTrim(ctx context.Context, t testing.TB, s metastore.Log, before metastore.Seq, limit, want int) {
	t.Helper()
	if got, err := s.Trim(ctx, before, limit); err != nil || got != want {
		t.Errorf("trim before %d, at most %d, removes %d (error %v), want %d", before, limit, got, err, want)
	}
}

func trimWithoutSnapshot(ctx context.Context, t *testing.T, s metastore.Store) {
	wantTrim(ctx, t, s, 5, 100, 0)
	p := mustFill(ctx, t, s, 10)
	wantTrim(ctx, t, s, 5, 100, 0)
	if n := len(mustReadAll(ctx, t, s, p[0])); n != 10 {
		t.Errorf("%d entries left, want 10", n)
	}
}

func trimBounds(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 10)
	mustSnapshot(ctx, t, s, p[7], "state")
	wantTrim(ctx, t, s, 0, 100, 0)
	wantTrim(ctx, t, s, 1, 100, 0)
	wantTrim(ctx, t, s, 3, 100, 2)  // 1 and 2
	wantTrim(ctx, t, s, 3, 100, 0)  // again
	wantTrim(ctx, t, s, 9, 0, 0)    // none allowed
	wantTrim(ctx, t, s, 9, 2, 2)    // 3 and 4
	wantTrim(ctx, t, s, 100, 50, 3) // 5 to 7: no further than the snapshot
	wantTrim(ctx, t, s, 100, 50, 0)
	if n := len(mustReadAll(ctx, t, s, p[7])); n != 3 {
		t.Errorf("%d entries left, want 3", n)
	}
	mustAppend(ctx, t, s, p[10], "11")
}

func trimKeepsNewest(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 3)
	mustSnapshot(ctx, t, s, p[3], "state")
	wantTrim(ctx, t, s, 100, 100, 2)
	if entries, err := s.Read(ctx, p[3], 100); err != nil || len(entries) != 0 {
		t.Errorf("read after the newest: %v, error %v", entries, err)
	}
	_, err := s.Read(ctx, metastore.Position{Seq: 3, Checksum: 1}, 100)
	wantError(t, "read after another newest", err, metastore.ErrRegressed)
	wantError(t, "append after another newest", s.Append(ctx, metastore.Position{Seq: 3, Checksum: 1},
		metastore.Position{Seq: 3, Checksum: 1}.Next(nil)), metastore.ErrConflict)
	end := mustAppend(ctx, t, s, p[3], "4", "5")
	if entries := mustReadAll(ctx, t, s, p[3]); len(entries) != 2 || entries[1].Position != end {
		t.Errorf("appends after a trim: %v", entries)
	}
}

func readTrimmed(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 10)
	mustSnapshot(ctx, t, s, p[10], "state")
	wantTrim(ctx, t, s, 6, 100, 5)
	for _, after := range []int{0, 1, 4} {
		for _, maxBytes := range []int{0, 1, 1 << 20} {
			_, err := s.Read(ctx, p[after], maxBytes)
			wantError(t, "read", err, metastore.ErrTrimmed)
		}
	}
	// Entry 5 is gone, all entries after it are there.
	if n := len(mustReadAll(ctx, t, s, p[5])); n != 5 {
		t.Errorf("%d entries after the cut, want 5", n)
	}
	_, err := s.Read(ctx, metastore.Position{Seq: 5, Checksum: 1}, 100)
	wantError(t, "read after another entry at the cut", err, metastore.ErrRegressed)
}

// startFromSnapshot: whatever Trim did, a broker can begin with the newest snapshot.
func startFromSnapshot(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 10)
	for at := 1; at <= 10; at++ {
		mustSnapshot(ctx, t, s, p[at], "state")
		if _, err := s.Trim(ctx, 1000, 1000); err != nil {
			t.Fatal(err)
		}
		latest, err := s.LatestSnapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(mustReadAll(ctx, t, s, latest.Position)); n != 10-at {
			t.Errorf("%d entries after the snapshot at %d, want %d", n, at, 10-at)
		}
	}
}
