package metastoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

var groupCases = []testCase{
	{"UnknownGroup", unknownGroup},
	{"ClaimCreates", claimCreates},
	{"ClaimKeepsWhatIsThere", claimKeeps},
	{"ClaimFencesOlderWrites", claimFences},
	{"ConcurrentClaimsDiffer", claimRace},
	{"WritesRaceWithClaims", writeRace},
	{"ListIsOrdered", listGroups},
	{"DeleteForgetsAll", deleteGroup},
	{"EpochsOutliveDeletion", deletedEpochs},
	{"WritesAreDated", datedWrites},
	{"AgesComeInPages", groupAges},
}

func mustClaim(ctx context.Context, t testing.TB, s metastore.Groups, id string, owner metastore.NodeID) metastore.GroupRecord {
	t.Helper()
	g, err := s.ClaimGroup(ctx, id, owner)
	if err != nil {
		t.Fatalf("claim %q: %v", id, err)
	}
	if g.GroupID != id || g.Coordinator != owner || g.Epoch <= 0 {
		t.Fatalf("claim of %q for %d returns %+v", id, owner, g)
	}
	return g
}

func wantGroup(t testing.TB, got, want metastore.GroupRecord) {
	t.Helper()
	same := got.GroupID == want.GroupID && got.Epoch == want.Epoch && got.Coordinator == want.Coordinator &&
		got.ProtocolType == want.ProtocolType && got.StateName == want.StateName &&
		bytes.Equal(got.State, want.State) && (got.State == nil) == (want.State == nil)
	if !same {
		t.Errorf("group is %+v, want %+v", got, want)
	}
}

func unknownGroup(ctx context.Context, t *testing.T, s metastore.Store) {
	_, err := s.ReadGroup(ctx, "g")
	wantError(t, "read", err, metastore.ErrGroupNotFound)
	wantError(t, "write", s.WriteGroup(ctx, metastore.GroupRecord{GroupID: "g", Epoch: 1}), metastore.ErrFenced)
	wantError(t, "delete", s.DeleteGroup(ctx, "g", 1), metastore.ErrFenced)
	wantError(t, "commit", s.CommitOffsets(ctx, "g", 1, offsetsOf(topicA, 1)), metastore.ErrFenced)
	wantError(t, "commit nothing", s.CommitOffsets(ctx, "g", 1, nil), metastore.ErrFenced)
	wantError(t, "delete offsets", s.DeleteOffsets(ctx, "g", 1, nil), metastore.ErrFenced)
	wantError(t, "expire offsets", second(s.ExpireOffsets(ctx, "g", 1, time.Now(), nil)), metastore.ErrFenced)
	wantOffsets(ctx, t, s, "g", nil)
	all, err := s.ListGroups(ctx)
	if err != nil || len(all) != 0 {
		t.Errorf("list: %v, error %v", all, err)
	}
}

func claimCreates(ctx context.Context, t *testing.T, s metastore.Store) {
	g := mustClaim(ctx, t, s, "g", 3)
	wantGroup(t, g, metastore.GroupRecord{GroupID: "g", Epoch: g.Epoch, Coordinator: 3})
	got, err := s.ReadGroup(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	wantGroup(t, got, g)
}

func claimKeeps(ctx context.Context, t *testing.T, s metastore.Store) {
	g := mustClaim(ctx, t, s, "gruppe-ä", 3)
	g.ProtocolType, g.StateName, g.State = "consumer", "Stable", []byte{0, 1, 2, 0xff}
	written := g
	written.State = bytes.Clone(g.State)
	written.Coordinator = 99 // not WriteGroup's to change
	if err := s.WriteGroup(ctx, written); err != nil {
		t.Fatal(err)
	}
	clear(written.State)
	commit(ctx, t, s, g, offsetsOf(topicA, 1, 2)...)

	claimed := mustClaim(ctx, t, s, g.GroupID, 4)
	if claimed.Epoch <= g.Epoch {
		t.Errorf("epoch %d after %d", claimed.Epoch, g.Epoch)
	}
	g.Epoch, g.Coordinator = claimed.Epoch, 4
	wantGroup(t, claimed, g)
	got, err := s.ReadGroup(ctx, g.GroupID)
	if err != nil {
		t.Fatal(err)
	}
	wantGroup(t, got, g)
	wantOffsets(ctx, t, s, g.GroupID, nil, offsetsOf(topicA, 1, 2)...)

	g.State = []byte{}
	g.StateName = "Empty"
	if err := s.WriteGroup(ctx, g); err != nil {
		t.Fatal(err)
	}
	got, err = s.ReadGroup(ctx, g.GroupID)
	if err != nil {
		t.Fatal(err)
	}
	wantGroup(t, got, g)
}

func claimFences(ctx context.Context, t *testing.T, s metastore.Store) {
	old := mustClaim(ctx, t, s, "g", 1)
	commit(ctx, t, s, old, offsetsOf(topicA, 1)...)
	fresh := mustClaim(ctx, t, s, "g", 1)
	for name, err := range map[string]error{
		"write":          s.WriteGroup(ctx, metastore.GroupRecord{GroupID: "g", Epoch: old.Epoch, State: []byte("old")}),
		"commit":         s.CommitOffsets(ctx, "g", old.Epoch, offsetsOf(topicA, 1, 2)),
		"delete offsets": s.DeleteOffsets(ctx, "g", old.Epoch, []metastore.TopicPartition{{Topic: topicA, Partition: 1}}),
		"expire offsets": second(s.ExpireOffsets(ctx, "g", old.Epoch, time.Now(), nil)),
		"delete":         s.DeleteGroup(ctx, "g", old.Epoch),
		"future write":   s.WriteGroup(ctx, metastore.GroupRecord{GroupID: "g", Epoch: fresh.Epoch + 1}),
	} {
		wantError(t, name+" under another epoch", err, metastore.ErrFenced)
	}
	got, err := s.ReadGroup(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	wantGroup(t, got, fresh)
	wantOffsets(ctx, t, s, "g", nil, offsetsOf(topicA, 1)...)
}

func claimRace(ctx context.Context, t *testing.T, s metastore.Store) {
	const claims = 8
	epochs := make([]metastore.GroupEpoch, claims)
	var all sync.WaitGroup
	for i := range claims {
		all.Go(func() {
			g, err := s.ClaimGroup(ctx, "g", metastore.NodeID(i))
			if err != nil {
				t.Errorf("claim: %v", err)
			}
			epochs[i] = g.Epoch
		})
	}
	all.Wait()
	stands, err := s.ReadGroup(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if epochs[stands.Coordinator] != stands.Epoch || slices.Max(epochs) != stands.Epoch {
		t.Errorf("of the epochs %v the claim of %d with %d stands", epochs, stands.Coordinator, stands.Epoch)
	}
	slices.Sort(epochs)
	if len(slices.Compact(epochs)) != claims {
		t.Errorf("claims share an epoch: %v", epochs)
	}
}

// writeRace: writers commit under their claim until they are fenced. The offsets that stand are the newest claim's, and
// none of a commit is missing.
func writeRace(ctx context.Context, t *testing.T, s metastore.Store) {
	const writers, partitions = 6, 5
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			g, err := s.ClaimGroup(ctx, "g", metastore.NodeID(w))
			for i := 0; err == nil && i < 20; i++ {
				offsets := offsetsOf(topicA, 0, 1, 2, 3, 4)
				for j := range offsets {
					offsets[j].Offset = metastore.Offset(g.Epoch)
					offsets[j].Metadata = fmt.Sprint(i)
				}
				if w%2 == 1 {
					slices.Reverse(offsets)
				}
				err = s.CommitOffsets(ctx, "g", g.Epoch, offsets)
			}
			if err != nil && !errors.Is(err, metastore.ErrFenced) {
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	all.Wait()
	stands, err := s.ReadGroup(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	offsets, err := s.FetchOffsets(ctx, "g", nil)
	if err != nil || len(offsets) != partitions {
		t.Fatalf("%d offsets, error %v", len(offsets), err)
	}
	for _, o := range offsets {
		if o.Offset != metastore.Offset(stands.Epoch) || o.Metadata != "19" {
			t.Errorf("partition %d: offset %d, commit %s, want those of epoch %d's last", o.Partition, o.Offset, o.Metadata, stands.Epoch)
		}
	}
}

func listGroups(ctx context.Context, t *testing.T, s metastore.Store) {
	for _, id := range []string{"b", "a", "C", "ä", "", "a b"} {
		g := mustClaim(ctx, t, s, id, 1)
		g.ProtocolType, g.StateName, g.State = "consumer", "Dead", []byte("not in listings")
		if err := s.WriteGroup(ctx, g); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.ListGroups(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, g := range all {
		ids = append(ids, g.GroupID)
		if g.State != nil || g.ProtocolType != "consumer" || g.StateName != "Dead" || g.Coordinator != 1 || g.Epoch == 0 {
			t.Errorf("listed %+v", g)
		}
	}
	if want := []string{"", "C", "a", "a b", "b", "ä"}; !slices.Equal(ids, want) {
		t.Errorf("listed %q, want %q (byte order)", ids, want)
	}
}

func deleteGroup(ctx context.Context, t *testing.T, s metastore.Store) {
	keep := mustClaim(ctx, t, s, "keep", 1)
	commit(ctx, t, s, keep, offsetsOf(topicA, 1)...)
	gone := mustClaim(ctx, t, s, "gone", 1)
	commit(ctx, t, s, gone, offsetsOf(topicA, 1, 2)...)
	if err := s.DeleteGroup(ctx, "gone", gone.Epoch); err != nil {
		t.Fatal(err)
	}
	_, err := s.ReadGroup(ctx, "gone")
	wantError(t, "read", err, metastore.ErrGroupNotFound)
	wantError(t, "delete again", s.DeleteGroup(ctx, "gone", gone.Epoch), metastore.ErrFenced)
	wantError(t, "commit", s.CommitOffsets(ctx, "gone", gone.Epoch, offsetsOf(topicA, 1)), metastore.ErrFenced)
	wantOffsets(ctx, t, s, "gone", nil)
	mustClaim(ctx, t, s, "gone", 1)
	wantOffsets(ctx, t, s, "gone", nil)
	wantOffsets(ctx, t, s, "keep", nil, offsetsOf(topicA, 1)...)
}

// deletedEpochs: (1) a coordinator claims and is paused; (2) another claims and deletes; (3) the group is made anew. The
// first must stay fenced.
func deletedEpochs(ctx context.Context, t *testing.T, s metastore.Store) {
	paused := mustClaim(ctx, t, s, "g", 1)
	deleter := mustClaim(ctx, t, s, "g", 2)
	if err := s.DeleteGroup(ctx, "g", deleter.Epoch); err != nil {
		t.Fatal(err)
	}
	anew := mustClaim(ctx, t, s, "g", 3)
	if anew.Epoch <= deleter.Epoch {
		t.Errorf("epoch %d after %d", anew.Epoch, deleter.Epoch)
	}
	wantError(t, "write of the paused", s.WriteGroup(ctx, paused), metastore.ErrFenced)
}

func second[T any](_ T, err error) error { return err }

// datedWrites: a group is dated when it is written, not when it is claimed or commits.
func datedWrites(ctx context.Context, t *testing.T, s metastore.Store) {
	g := mustClaim(ctx, t, s, "g", 1)
	commit(ctx, t, s, g, offsetsOf(topicA, 1)...)
	if g = mustClaim(ctx, t, s, "g", 1); !g.WrittenAt.IsZero() {
		t.Errorf("never written, but dated %v", g.WrittenAt)
	}
	g.StateName, g.WrittenAt = "Empty", time.Unix(1, 0) // which the store sets, not the caller
	if err := s.WriteGroup(ctx, g); err != nil {
		t.Fatal(err)
	}
	written, err := s.ReadGroup(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(written.WrittenAt); age.Abs() > patience {
		t.Errorf("dated %v before now", age)
	}
	commit(ctx, t, s, g, offsetsOf(topicA, 2)...)
	if again := mustClaim(ctx, t, s, "g", 2); !again.WrittenAt.Equal(written.WrittenAt) {
		t.Errorf("claimed later it is dated %v, was %v", again.WrittenAt, written.WrittenAt)
	}
}

func groupAges(ctx context.Context, t *testing.T, s metastore.Store) {
	for _, id := range []string{"", "b", "a", "ä", "a b"} {
		g := mustClaim(ctx, t, s, id, 1)
		if id == "b" {
			continue
		}
		g.ProtocolType, g.StateName = "consumer", "Empty"
		if err := s.WriteGroup(ctx, g); err != nil {
			t.Fatal(err)
		}
	}
	a := mustClaim(ctx, t, s, "a", 1)
	commit(ctx, t, s, a, offsetsOf(topicA, 9, 2, 5)...)
	page := func(from string, limit int, want ...string) (ages []metastore.GroupAge) {
		t.Helper()
		ages, err := s.GroupAges(ctx, from, limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, age := range ages {
			ids = append(ids, age.GroupID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("from %q: %q, want %q", from, ids, want)
		}
		return ages
	}
	page("", 2, "", "a")
	page("a\x01", 2, "a b", "b")
	page("b\x01", 2, "ä")
	page("ä\x01", 2)
	for _, age := range page("a", 10, "a", "a b", "b", "ä") {
		var oldest time.Time
		if age.GroupID == "a" {
			oldest = offsetsOf(topicA, 2)[0].CommittedAt
		}
		written := age.GroupID != "b"
		if !age.OldestCommit.Equal(oldest) || age.WrittenAt.IsZero() == written || (age.StateName == "Empty" && age.ProtocolType == "consumer") != written {
			t.Errorf("age %+v", age)
		}
	}
}
