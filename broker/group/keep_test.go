package group

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// TestGroupsThatBelongToAnotherAreKeptForAWhile: while the views of brokers differ, members are not sent to and fro.
func TestGroupsThatBelongToAnotherAreKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		var owner atomic.Int32
		owner.Store(1)
		coordinator := func(node metastore.NodeID) *Coordinator {
			c, _ := start(t, store, node, Options{
				Keep: 10 * time.Second, Owns: func(string) bool { return owner.Load() == int32(node) }, InitialRebalanceDelay: -1,
			})
			return c
		}
		old, heir := coordinator(1), coordinator(2)
		joined, err := old.Join(t.Context(), joinRequest(""))
		if err != nil {
			t.Fatal(err)
		}
		beat := HeartbeatRequest{GroupID: "g", MemberID: joined.MemberID, Generation: joined.Generation}
		commit := CommitRequest{
			GroupID: "g", MemberID: joined.MemberID, Generation: joined.Generation, Offsets: []CommitOffset{{Offset: 7}},
		}
		_, err = old.Sync(t.Context(), SyncRequest{
			GroupID: "g", MemberID: joined.MemberID, Generation: joined.Generation, Assignments: map[string][]byte{joined.MemberID: {1}},
		})
		if err != nil {
			t.Fatal(err)
		}

		owner.Store(2)
		time.Sleep(5 * time.Second)
		if err := old.Heartbeat(t.Context(), beat); err != nil {
			t.Errorf("heartbeat at the old owner: %v", err)
		}
		if _, err := old.CommitOffsets(t.Context(), commit); err != nil {
			t.Errorf("commit at the old owner: %v", err)
		}
		if _, err := old.FetchOffsets(t.Context(), "g", nil); err != nil {
			t.Errorf("fetch of offsets at the old owner: %v", err)
		}
		other := joinRequest("")
		other.GroupID = "another"
		if _, err := old.Join(t.Context(), other); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("join of a group that is not in memory: %v", err)
		}

		if err := heir.Heartbeat(t.Context(), beat); err != nil {
			t.Errorf("heartbeat at the heir: %v", err)
		}
		if _, err := old.CommitOffsets(t.Context(), commit); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("commit at the old owner after the heir claimed the group: %v", err)
		}
		if err := old.Heartbeat(t.Context(), beat); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("the old owner takes the group back: %v", err)
		}
		if _, err := heir.CommitOffsets(t.Context(), commit); err != nil {
			t.Errorf("commit at the heir: %v", err)
		}
	})
}

func TestGroupsThatBelongToAnotherAreDroppedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{Keep: 10 * time.Second, Owns: func(string) bool { return !lost.Load() }})
		commit := CommitRequest{GroupID: "g", Generation: NoGeneration, Offsets: []CommitOffset{{Offset: 7}}}
		if _, err := c.CommitOffsets(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
		lost.Store(true)
		time.Sleep(5 * time.Second)
		lost.Store(false) // and back
		time.Sleep(5 * time.Second)
		lost.Store(true)
		time.Sleep(9 * time.Second)
		if _, err := c.CommitOffsets(t.Context(), commit); err != nil {
			t.Errorf("after 9 s: %v", err)
		}
		time.Sleep(3 * time.Second)
		if n := len(c.snapshot()); n != 0 {
			t.Errorf("%d groups in memory after 12 s", n)
		}
		if _, err := c.CommitOffsets(t.Context(), commit); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("after 12 s: %v", err)
		}
	})
}
