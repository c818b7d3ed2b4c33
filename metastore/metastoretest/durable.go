package metastoretest

import (
	"context"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

var durableCases = []struct {
	name string
	run  func(ctx context.Context, t *testing.T, s metastore.Store, reopen Reopen)
}{
	{"LogSurvives", logSurvives},
	{"TrimmedLogSurvives", trimmedLogSurvives},
	{"GroupsSurvive", groupsSurvive},
	{"EpochsAreNotReused", epochsSurvive},
}

// RunDurable tests that what a store has acknowledged is there when it is opened again.
func RunDurable(t *testing.T, open Open, reopen Reopen) {
	for _, c := range durableCases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			c.run(ctx, t, open(t), reopen)
		})
	}
}

func logSurvives(ctx context.Context, t *testing.T, s metastore.Store, reopen Reopen) {
	id, err := s.ClusterID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	p := mustFill(ctx, t, s, 10)
	s = reopen(t, s)
	if n := len(mustReadAll(ctx, t, s, p[0])); n != 10 {
		t.Errorf("%d entries, want 10", n)
	}
	wantError(t, "append after an old end", s.Append(ctx, p[9], p[9].Next(nil)), metastore.ErrConflict)
	end := mustAppend(ctx, t, s, p[10], "", "12")
	s = reopen(t, s)
	if entries := mustReadAll(ctx, t, s, p[10]); len(entries) != 2 || entries[1].Position != end {
		t.Errorf("entries after 10: %v", entries)
	}
	if again, err := s.ClusterID(ctx); err != nil || again != id {
		t.Errorf("cluster id becomes %q (%v), was %q", again, err, id)
	}
}

func trimmedLogSurvives(ctx context.Context, t *testing.T, s metastore.Store, reopen Reopen) {
	p := mustFill(ctx, t, s, 10)
	mustSnapshot(ctx, t, s, p[4], "at 4")
	mustSnapshot(ctx, t, s, p[6], "at 6")
	wantTrim(ctx, t, s, 100, 3, 3)
	s = reopen(t, s)
	wantTrim(ctx, t, s, 100, 100, 3)
	s = reopen(t, s)
	_, err := s.Read(ctx, p[5], 100)
	wantError(t, "read after 5", err, metastore.ErrTrimmed)
	latest, err := s.LatestSnapshot(ctx)
	if err != nil || latest.Position != p[6] || string(latest.State) != "at 6" {
		t.Errorf("latest snapshot: %+v, error %v", latest, err)
	}
	if n := len(mustReadAll(ctx, t, s, latest.Position)); n != 4 {
		t.Errorf("%d entries after the snapshot, want 4", n)
	}
	mustAppend(ctx, t, s, p[10], "11")
}

func groupsSurvive(ctx context.Context, t *testing.T, s metastore.Store, reopen Reopen) {
	g := mustClaim(ctx, t, s, "g", 2)
	g.ProtocolType, g.StateName, g.State = "consumer", "Stable", []byte("members")
	if err := s.WriteGroup(ctx, g); err != nil {
		t.Fatal(err)
	}
	commit(ctx, t, s, g, append(offsetsOf(topicA, 0, 1, 2), offsetsOf(topicB, 0)...)...)
	bare := mustClaim(ctx, t, s, "bare", 1)
	gone := mustClaim(ctx, t, s, "gone", 1)
	s = reopen(t, s)
	for _, want := range []metastore.GroupRecord{g, bare} {
		got, err := s.ReadGroup(ctx, want.GroupID)
		if err != nil {
			t.Fatal(err)
		}
		wantGroup(t, got, want)
	}
	if err := s.DeleteOffsets(ctx, "g", g.Epoch, partitionsOf(offsetsOf(topicA, 1))); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteTopicOffsets(ctx, topicB); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteGroup(ctx, "gone", gone.Epoch); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	wantOffsets(ctx, t, s, "g", nil, offsetsOf(topicA, 0, 2)...)
	_, err := s.ReadGroup(ctx, "gone")
	wantError(t, "read of a deleted group", err, metastore.ErrGroupNotFound)
}

func epochsSurvive(ctx context.Context, t *testing.T, s metastore.Store, reopen Reopen) {
	b := mustRegister(ctx, t, s, at(5, "a"), longLease)
	g := mustClaim(ctx, t, s, "g", 1)
	if err := s.DeleteGroup(ctx, "g", g.Epoch); err != nil {
		t.Fatal(err)
	}
	l := mustHold(ctx, t, s, "role", 1, 1, longLease)
	release(ctx, t, s, l)
	s = reopen(t, s)
	if again := mustHold(ctx, t, s, "role", 2, 1, longLease); again.Epoch <= l.Epoch {
		t.Errorf("lease epoch %d after %d", again.Epoch, l.Epoch)
	}
	if again := mustRegister(ctx, t, s, at(5, "a"), longLease); again.Epoch <= b.Epoch {
		t.Errorf("broker epoch %d after %d", again.Epoch, b.Epoch)
	}
	if again := mustClaim(ctx, t, s, "g", 1); again.Epoch <= g.Epoch {
		t.Errorf("group epoch %d after %d", again.Epoch, g.Epoch)
	}
}
