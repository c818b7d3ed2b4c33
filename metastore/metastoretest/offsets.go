package metastoretest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

var offsetCases = []testCase{
	{"FieldsComeBack", offsetFields},
	{"CommitReplacesOnlyWhatItNames", commitReplaces},
	{"LastOfRepeatedPartitionWins", commitRepeats},
	{"FetchSelects", fetchSelects},
	{"DeleteForgets", deleteOffsets},
	{"OldOnesExpire", expireOffsets},
	{"DeletedTopicIsForgottenEverywhere", deleteTopicOffsets},
	{"ManyAtOnce", manyOffsets},
}

var (
	topicA = metastore.TopicID{0: 1, 15: 0xaa}
	topicB = metastore.TopicID{0: 0xf1, 15: 0xbb}
)

// offsetsOf makes offsets that differ by partition.
func offsetsOf(topic metastore.TopicID, partitions ...int32) []metastore.CommittedOffset {
	var all []metastore.CommittedOffset
	for _, p := range partitions {
		all = append(all, metastore.CommittedOffset{
			TopicPartition: metastore.TopicPartition{Topic: topic, Partition: p},
			TopicName:      "orders",
			Offset:         metastore.Offset(p) * 10,
			LeaderEpoch:    -1,
			CommittedAt:    time.UnixMilli(1_700_000_000_000 + int64(p)),
		})
	}
	return all
}

func partitionsOf(offsets []metastore.CommittedOffset) []metastore.TopicPartition {
	all := []metastore.TopicPartition{}
	for _, o := range offsets {
		all = append(all, o.TopicPartition)
	}
	return all
}

func commit(ctx context.Context, t testing.TB, s metastore.Groups, g metastore.GroupRecord, offsets ...metastore.CommittedOffset) {
	t.Helper()
	if err := s.CommitOffsets(ctx, g.GroupID, g.Epoch, offsets); err != nil {
		t.Fatalf("commit offsets: %v", err)
	}
}

func wantOffsets(ctx context.Context, t testing.TB, s metastore.Groups, id string, of []metastore.TopicPartition, want ...metastore.CommittedOffset) {
	t.Helper()
	got, err := s.FetchOffsets(ctx, id, of)
	if err != nil {
		t.Fatalf("fetch offsets: %v", err)
	}
	same := slices.EqualFunc(got, want, func(a, b metastore.CommittedOffset) bool {
		at := a.CommittedAt.Equal(b.CommittedAt)
		a.CommittedAt, b.CommittedAt = time.Time{}, time.Time{}
		return at && a == b
	})
	if !same {
		t.Errorf("offsets of %q: %+v, want %+v", id, got, want)
	}
}

func offsetFields(ctx context.Context, t *testing.T, s metastore.Store) {
	g := mustClaim(ctx, t, s, "g", 1)
	full := metastore.CommittedOffset{
		TopicPartition: metastore.TopicPartition{Topic: topicB, Partition: 1<<31 - 1},
		TopicName:      "orders.v1",
		Offset:         1<<63 - 1,
		LeaderEpoch:    1<<31 - 1,
		Metadata:       "any\x00 bytes \xff of the client",
		CommittedAt:    time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC),
	}
	commit(ctx, t, s, g, full)
	wantOffsets(ctx, t, s, "g", nil, full)
}

func commitReplaces(ctx context.Context, t *testing.T, s metastore.Store) {
	g := mustClaim(ctx, t, s, "g", 1)
	commit(ctx, t, s, g, offsetsOf(topicA, 0, 1)...)
	newer := offsetsOf(topicA, 1, 2)
	newer[0].Offset, newer[0].Metadata, newer[0].LeaderEpoch = 5, "back", 7
	commit(ctx, t, s, g, newer...)
	commit(ctx, t, s, g)
	wantOffsets(ctx, t, s, "g", nil, append(offsetsOf(topicA, 0), newer...)...)
}

func commitRepeats(ctx context.Context, t *testing.T, s metastore.Store) {
	g := mustClaim(ctx, t, s, "g", 1)
	twice := offsetsOf(topicA, 3, 3)
	twice[1].Offset = 99
	commit(ctx, t, s, g, twice...)
	wantOffsets(ctx, t, s, "g", nil, twice[1])
}

func fetchSelects(ctx context.Context, t *testing.T, s metastore.Store) {
	g := mustClaim(ctx, t, s, "g", 1)
	other := mustClaim(ctx, t, s, "other", 1)
	commit(ctx, t, s, g, append(offsetsOf(topicB, 2, 0), offsetsOf(topicA, 10, 9)...)...)
	commit(ctx, t, s, other, offsetsOf(topicA, 7)...)
	wantOffsets(ctx, t, s, "g", nil, append(offsetsOf(topicA, 9, 10), offsetsOf(topicB, 0, 2)...)...)
	wantOffsets(ctx, t, s, "g", []metastore.TopicPartition{})
	ask := partitionsOf(append(offsetsOf(topicB, 0, 5, 0), offsetsOf(topicA, 10, 7)...))
	wantOffsets(ctx, t, s, "g", ask, append(offsetsOf(topicA, 10), offsetsOf(topicB, 0)...)...)
	wantOffsets(ctx, t, s, "nobody", ask)
}

func deleteOffsets(ctx context.Context, t *testing.T, s metastore.Store) {
	g := mustClaim(ctx, t, s, "g", 1)
	commit(ctx, t, s, g, offsetsOf(topicA, 0, 1, 2)...)
	for range 2 { // the second time they do not exist
		if err := s.DeleteOffsets(ctx, "g", g.Epoch, partitionsOf(offsetsOf(topicA, 1, 5))); err != nil {
			t.Fatalf("delete offsets: %v", err)
		}
	}
	wantOffsets(ctx, t, s, "g", nil, offsetsOf(topicA, 0, 2)...)
}

// expireOffsets: what was committed at the time or before goes, but for the topics that are named.
func expireOffsets(ctx context.Context, t *testing.T, s metastore.Store) {
	for _, id := range []string{"g", "other"} {
		g := mustClaim(ctx, t, s, id, 1)
		kept := offsetsOf(topicB, 0, 1)
		kept[0].TopicName, kept[1].TopicName = "kept", "kept"
		commit(ctx, t, s, g, append(offsetsOf(topicA, 0, 1, 2), kept...)...)
	}
	g := mustClaim(ctx, t, s, "g", 1)
	at := func(p int32) time.Time { return offsetsOf(topicA, p)[0].CommittedAt }
	for _, step := range []struct {
		through time.Time
		except  []string
		left    int
	}{
		{at(0).Add(-time.Millisecond), nil, 5},
		{at(1), []string{"kept", "unknown"}, 3},
		{at(1), []string{"kept"}, 3},
		{at(1), []string{}, 1},
		{at(2), nil, 0},
		{at(2), nil, 0},
	} {
		left, err := s.ExpireOffsets(ctx, "g", g.Epoch, step.through, step.except)
		if err != nil || left != step.left {
			t.Errorf("through %v except %q: %d left, error %v, want %d", step.through, step.except, left, err, step.left)
		}
		if all, err := s.FetchOffsets(ctx, "g", nil); err != nil || len(all) != left {
			t.Errorf("%d left are %v (%v)", left, all, err)
		}
	}
	if others, err := s.FetchOffsets(ctx, "other", nil); err != nil || len(others) != 5 {
		t.Errorf("another group's: %v (%v)", others, err)
	}
}

func deleteTopicOffsets(ctx context.Context, t *testing.T, s metastore.Store) {
	for _, id := range []string{"g", "h"} {
		g := mustClaim(ctx, t, s, id, 1)
		commit(ctx, t, s, g, append(offsetsOf(topicA, 0, 1), offsetsOf(topicB, 0)...)...)
	}
	if err := s.DeleteTopicOffsets(ctx, topicA); err != nil {
		t.Fatal(err)
	}
	wantOffsets(ctx, t, s, "g", nil, offsetsOf(topicB, 0)...)
	wantOffsets(ctx, t, s, "h", nil, offsetsOf(topicB, 0)...)
}

func manyOffsets(ctx context.Context, t *testing.T, s metastore.Store) {
	g := mustClaim(ctx, t, s, "g", 1)
	partitions := make([]int32, 2000)
	for i := range partitions {
		partitions[i] = int32(i)
	}
	all := offsetsOf(topicA, partitions...)
	commit(ctx, t, s, g, all...)
	wantOffsets(ctx, t, s, "g", nil, all...)
	wantOffsets(ctx, t, s, "g", partitionsOf(all), all...)
}
