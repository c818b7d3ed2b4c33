package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

const week = 7 * 24 * time.Hour

// commitTo commits an offset without being a member.
func commitTo(t *testing.T, c *Coordinator, id string, partitions ...int32) {
	t.Helper()
	req := CommitRequest{GroupID: id, Generation: NoGeneration}
	for _, p := range partitions {
		req.Offsets = append(req.Offsets, CommitOffset{
			TopicPartition: metastore.TopicPartition{Topic: metastore.TopicID{1}, Partition: p}, TopicName: "t", Offset: 1,
		})
	}
	if _, err := c.CommitOffsets(t.Context(), req); err != nil {
		t.Fatalf("commit to %q: %v", id, err)
	}
}

// wantPartitions compares what a group has committed, nil for a group that does not exist.
func wantPartitions(t *testing.T, store metastore.Groups, id string, want ...int32) {
	t.Helper()
	offsets, err := store.FetchOffsets(t.Context(), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []int32
	for _, o := range offsets {
		got = append(got, o.Partition)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q has offsets of partitions %v, want %v", id, got, want)
	}
	_, err = store.ReadGroup(t.Context(), id)
	if gone := errors.Is(err, metastore.ErrGroupNotFound); gone != (want == nil) {
		t.Errorf("%q is there: %v, want %v (%v)", id, !gone, want != nil, err)
	}
}

func TestOffsetsOfGroupsWithoutMembersExpireEachAfterItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		c, _ := start(t, store, 1, Options{SweepInterval: time.Hour})
		commitTo(t, c, "g", 0, 1)
		commitTo(t, c, "", 5)
		time.Sleep(week / 2)
		commitTo(t, c, "g", 1)
		time.Sleep(week/2 - time.Minute)
		wantPartitions(t, store, "g", 0, 1)
		time.Sleep(11 * time.Minute)
		wantPartitions(t, store, "g", 1)
		wantPartitions(t, store, "")
		time.Sleep(week / 2)
		wantPartitions(t, store, "g")
		if _, err := c.Describe(t.Context(), "g"); !errors.Is(err, ErrGroupNotFound) {
			t.Errorf("described: %v", err)
		}
		commitTo(t, c, "g", 7) // it can begin anew
		wantPartitions(t, store, "g", 7)
	})
}

// TestOffsetsExpireThoughNobodyUsesTheGroup: nobody has loaded the groups, one was left Stable by a coordinator
// that died with all its members, and the time is counted from the end of the last session.
func TestOffsetsExpireThoughNobodyUsesTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		first, stop := start(t, store, 1, Options{SweepInterval: time.Hour, InitialRebalanceDelay: -1})
		commitTo(t, first, "g", 0)
		formGroup(t, first, 1)
		stop()
		time.Sleep(30 * 24 * time.Hour)
		start(t, store, 2, Options{SweepInterval: time.Hour})
		time.Sleep(11 * time.Minute)
		if g, err := store.ReadGroup(t.Context(), "g"); err != nil || g.StateName != "Empty" {
			t.Errorf("the sessions of the dead did not end: %q (%v)", g.StateName, err)
		}
		time.Sleep(week - 20*time.Minute)
		wantPartitions(t, store, "g", 0)
		time.Sleep(30 * time.Minute)
		wantPartitions(t, store, "g")
	})
}

// TestOffsetsDoNotExpireByTheClockOfABroker: brokers' clocks may be wrong, and what one of them held to be old was deleted
// for all.
func TestOffsetsDoNotExpireByTheClockOfABroker(t *testing.T) {
	for _, wrong := range []time.Duration{-2 * week, 2 * week} {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New(memory.Options{})
			opts := Options{SweepInterval: time.Hour, InitialRebalanceDelay: -1, Clock: time.Now}
			right, stop := start(t, store, 1, opts)
			commitTo(t, right, "by another", 0)
			commitTo(t, right, "g", 0)
			ids, _ := formGroup(t, right, 1)
			if _, err := right.Leave(t.Context(), LeaveRequest{GroupID: "g", Members: []LeaveMember{{MemberID: ids[0]}}}); err != nil {
				t.Fatal(err)
			}
			stop()
			opts.Now = func() time.Time { return time.Now().Add(wrong) }
			c, _ := start(t, store, 2, opts)
			commitTo(t, c, "by itself", 0)
			time.Sleep(week - time.Hour)
			for _, id := range []string{"by another", "by itself", "g"} {
				wantPartitions(t, store, id, 0)
			}
			time.Sleep(2 * time.Hour)
			for _, id := range []string{"by another", "by itself", "g"} {
				wantPartitions(t, store, id)
			}
		})
	}
}

func TestOnlyTheOwnerExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		first, stop := start(t, store, 1, Options{SweepInterval: time.Hour})
		commitTo(t, first, "mine", 0)
		commitTo(t, first, "another's", 0)
		stop()
		before, _ := store.ReadGroup(t.Context(), "another's")
		start(t, store, 2, Options{SweepInterval: time.Hour, Owns: func(id string) bool { return id == "mine" }})
		time.Sleep(week + time.Hour)
		wantPartitions(t, store, "mine")
		wantPartitions(t, store, "another's", 0)
		if after, _ := store.ReadGroup(t.Context(), "another's"); after.Epoch != before.Epoch {
			t.Error("another's group was claimed")
		}
	})
}

func TestOffsetsOfOpenTransactionsKeepTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		var open atomic.Bool
		open.Store(true)
		c, _ := start(t, store, 1, Options{SweepInterval: time.Hour, Pending: func(id string) bool {
			return id == "held" && open.Load()
		}})
		commitTo(t, c, "held", 0)
		commitTo(t, c, "free", 0)
		time.Sleep(week + time.Hour)
		wantPartitions(t, store, "held", 0)
		wantPartitions(t, store, "free")
		open.Store(false)
		time.Sleep(time.Hour)
		wantPartitions(t, store, "held")
	})
}

// A member id that was given out is not forgotten because its group is empty.
func TestGroupsThatSomebodyIsJoiningDoNotVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{InitialRebalanceDelay: -1, ExpireInterval: time.Second})
		req := joinRequest("")
		req.RequireKnownMemberID = true
		named, err := c.Join(t.Context(), req)
		if !errors.Is(err, ErrMemberIDRequired) {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		req.MemberID = named.MemberID
		if joined, err := c.Join(t.Context(), req); err != nil || joined.Generation != 1 {
			t.Errorf("%+v, %v", joined, err)
		}
	})
}

// between runs a function between what the store is asked and what it answers, once.
type between struct {
	metastore.Groups
	do atomic.Pointer[func()]
}

func (b *between) ExpireOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, through time.Time, except []string) (int, error) {
	left, err := b.Groups.ExpireOffsets(ctx, id, epoch, through, except)
	if do := b.do.Swap(nil); do != nil {
		(*do)()
	}
	return left, err
}

// TestOffsetsCommittedWhileTheGroupExpiresStay: (1) the last offset expires; (2) another is committed and acknowledged;
// (3) the group, which seemed to have none, is not deleted.
func TestOffsetsCommittedWhileTheGroupExpiresStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &between{Groups: memory.New(memory.Options{})}
		c, _ := start(t, store, 1, Options{SweepInterval: time.Hour})
		commitTo(t, c, "g", 0)
		meanwhile := func() { commitTo(t, c, "g", 3) }
		store.do.Store(&meanwhile)
		time.Sleep(week + time.Hour)
		wantPartitions(t, store, "g", 3)
		commitTo(t, c, "g", 4)
		wantPartitions(t, store, "g", 3, 4)
	})
}

func TestFailedExpiryLosesNothingAndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{Groups: memory.New(memory.Options{}), of: "a"}
		c, _ := start(t, store, 1, Options{SweepInterval: time.Hour})
		commitTo(t, c, "a", 0)
		commitTo(t, c, "b", 0)
		store.down.Store(true)
		time.Sleep(week + time.Hour)
		wantPartitions(t, store, "a", 0)
		wantPartitions(t, store, "b")
		store.down.Store(false)
		time.Sleep(time.Hour)
		wantPartitions(t, store, "a")
	})
}

// failing cannot expire the offsets of a group.
type failing struct {
	metastore.Groups
	of   string
	down atomic.Bool
}

func (f *failing) ExpireOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, through time.Time, except []string) (int, error) {
	if id == f.of && f.down.Load() {
		return 0, errDown
	}
	return f.Groups.ExpireOffsets(ctx, id, epoch, through, except)
}

// TestExpiryIsDoneInBoundedRounds: a round sees to so many groups, and the next goes on.
func TestExpiryIsDoneInBoundedRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		const groups = expireMost + 2*expirePage
		for i := range groups {
			g, err := store.ClaimGroup(t.Context(), fmt.Sprintf("g%05d", i), 1)
			if err != nil {
				t.Fatal(err)
			}
			offset := metastore.CommittedOffset{TopicPartition: metastore.TopicPartition{Topic: metastore.TopicID{1}}, CommittedAt: time.Now()}
			if err := store.CommitOffsets(t.Context(), g.GroupID, g.Epoch, []metastore.CommittedOffset{offset}); err != nil {
				t.Fatal(err)
			}
		}
		left := func() int {
			all, err := store.ListGroups(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		start(t, store, 1, Options{SweepInterval: time.Hour, ExpireInterval: 2 * week})
		time.Sleep(2*week + time.Minute)
		if n := left(); n == 0 || n > groups-expireMost {
			t.Errorf("%d of %d groups are left after a round", n, groups)
		}
		time.Sleep(2 * week)
		if n := left(); n != 0 {
			t.Errorf("%d groups are left after two rounds", n)
		}
	})
}

func TestWhichGroupsMayHaveSomethingToExpire(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	old, young, never := now.Add(-time.Hour), now.Add(-time.Hour+1), time.Time{}
	for _, tc := range []struct {
		name string
		age  metastore.GroupAge
		want bool
	}{
		{"without members ever, old offset", metastore.GroupAge{OldestCommit: old}, true},
		{"without members ever, young offset", metastore.GroupAge{OldestCommit: young}, false},
		{"only claimed", metastore.GroupAge{}, true},
		{"empty for long", metastore.GroupAge{ProtocolType: "consumer", StateName: "Empty", WrittenAt: old, OldestCommit: young}, true},
		{"empty, old offset", metastore.GroupAge{ProtocolType: "consumer", StateName: "Empty", WrittenAt: young, OldestCommit: old}, false},
		{"empty, nobody knows since when", metastore.GroupAge{ProtocolType: "consumer", StateName: "Empty", WrittenAt: never, OldestCommit: old}, true},
		{"just empty, no offsets", metastore.GroupAge{ProtocolType: "consumer", StateName: "Empty", WrittenAt: young}, true},
		{"stable", metastore.GroupAge{ProtocolType: "consumer", StateName: "Stable", WrittenAt: young, OldestCommit: young}, false},
		{"stable, no offsets", metastore.GroupAge{ProtocolType: "consumer", StateName: "Stable", WrittenAt: young}, false},
		{"stable, old offset", metastore.GroupAge{ProtocolType: "consumer", StateName: "Stable", WrittenAt: young, OldestCommit: old}, true},
		{"stable for long", metastore.GroupAge{ProtocolType: "consumer", StateName: "Stable", WrittenAt: old}, true},
	} {
		if got := mayExpire(tc.age, now, time.Hour); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
