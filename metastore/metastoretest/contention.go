package metastoretest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// In these cases calls meet that change the same rows. None may fail but as it should, and none may be given up for the
// sake of another: there is an order in which all of them can be done.
var contentionCases = []testCase{
	{"GroupsAreMadeAndClaimedAtOnce", groupsAppear},
	{"OffsetsAreWrittenAndForgottenAtOnce", offsetsComeAndGo},
}

// together runs all at once and fails the test with each error.
func together(t *testing.T, calls ...func() error) {
	t.Helper()
	var all sync.WaitGroup
	begin := make(chan struct{})
	for _, call := range calls {
		all.Go(func() {
			<-begin
			if err := call(); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	all.Wait()
}

// groupsAppear lets brokers race for the next entry with offsets of groups that do not exist, while others claim these.
func groupsAppear(ctx context.Context, t *testing.T, s metastore.Store) {
	const rounds, each = 80, 6
	p := metastore.Position{}
	for round := 0; round < rounds && !t.Failed(); round++ {
		var with, reversed metastore.GroupChanges
		var calls []func() error
		for i := range each {
			id := fmt.Sprintf("g%d-%d", round, i)
			with.Offsets = append(with.Offsets, metastore.GroupOffsets{Group: id, Offsets: offsetsOf(topicA, 1, 2)})
			calls = append(calls, func() error {
				_, err := s.ClaimGroup(ctx, id, 1)
				return err
			})
		}
		reversed.Offsets = slices.Clone(with.Offsets)
		slices.Reverse(reversed.Offsets)
		next := p.Next([]byte{byte(round)})
		var appended atomic.Int32
		for i := range 4 {
			changes := with
			if i%2 == 1 {
				changes = reversed
			}
			calls = append(calls, func() error {
				switch err := s.AppendWith(ctx, p, next, changes); {
				case err == nil:
					appended.Add(1)
				case !errors.Is(err, metastore.ErrConflict):
					return fmt.Errorf("append: %w", err)
				}
				return nil
			})
		}
		together(t, calls...)
		if n := appended.Load(); n != 1 && !t.Failed() {
			t.Fatalf("%d of the appends succeeded, want 1", n)
		}
		for _, of := range with.Offsets {
			wantOffsets(ctx, t, s, of.Group, nil, of.Offsets...)
		}
		p = next.Position
	}
}

// offsetsComeAndGo lets coordinators commit, delete and expire offsets of two groups while their topic is deleted, in
// whatever order they name partitions, and finally the groups too.
func offsetsComeAndGo(ctx context.Context, t *testing.T, s metastore.Store) {
	const rounds = 25
	partitions := []int32{7, 3, 5, 1, 0, 2, 6, 4}
	offsets := offsetsOf(topicA, partitions...)
	reversed := slices.Clone(offsets)
	slices.Reverse(reversed)
	for round := 0; round < rounds && !t.Failed(); round++ {
		a, b := mustClaim(ctx, t, s, "a", 1), mustClaim(ctx, t, s, "b", 1)
		commit(ctx, t, s, a, offsets...)
		commit(ctx, t, s, b, reversed...)
		calls := []func() error{
			func() error { return s.DeleteTopicOffsets(ctx, topicA) },
			func() error { return s.DeleteTopicOffsets(ctx, topicA) },
		}
		for _, g := range []metastore.GroupRecord{a, b} {
			id, epoch := g.GroupID, g.Epoch
			calls = append(calls,
				func() error { return s.CommitOffsets(ctx, id, epoch, offsets) },
				func() error { return s.CommitOffsets(ctx, id, epoch, reversed) },
				func() error { return s.DeleteOffsets(ctx, id, epoch, partitionsOf(reversed)) },
				func() error {
					_, err := s.ExpireOffsets(ctx, id, epoch, time.UnixMilli(1_700_000_000_100), nil)
					return err
				})
		}
		together(t, calls...)
		together(t,
			func() error { return s.DeleteGroup(ctx, "a", a.Epoch) },
			func() error { return s.DeleteTopicOffsets(ctx, topicA) },
			func() error { return s.DeleteGroup(ctx, "b", b.Epoch) })
		wantOffsets(ctx, t, s, "a", nil)
		wantOffsets(ctx, t, s, "b", nil)
	}
}
