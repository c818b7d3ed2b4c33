package group

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestRequestsAreValidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		c, _ := start(t, store, 1, Options{})
		ctx := t.Context()
		join := func(change func(*JoinRequest)) error {
			req := joinRequest("")
			change(&req)
			_, err := c.Join(ctx, req)
			return err
		}
		long := strings.Repeat("g", maxGroupID+1)
		_, syncErr := c.Sync(ctx, SyncRequest{})
		_, leaveErr := c.Leave(ctx, LeaveRequest{})
		_, commitErr := c.CommitOffsets(ctx, CommitRequest{GroupID: long, Generation: NoGeneration})
		_, fetchErr := c.FetchOffsets(ctx, "a\x00b", nil)
		for _, tc := range []struct {
			name      string
			got, want error
		}{
			{"join without group", join(func(r *JoinRequest) { r.GroupID = "" }), ErrInvalidGroupID},
			{"join of a long group id", join(func(r *JoinRequest) { r.GroupID = long }), ErrInvalidGroupID},
			{"join of bytes that are no text", join(func(r *JoinRequest) { r.GroupID = "\xff" }), ErrInvalidGroupID},
			{"session too short", join(func(r *JoinRequest) { r.SessionTimeout = 5999 * time.Millisecond }), ErrInvalidSessionTimeout},
			{"session too long", join(func(r *JoinRequest) { r.SessionTimeout = 30*time.Minute + 1 }), ErrInvalidSessionTimeout},
			{"join with an unknown id", join(func(r *JoinRequest) { r.MemberID = "x" }), ErrUnknownMember},
			{"sync without group", syncErr, ErrInvalidGroupID},
			{"heartbeat without group", c.Heartbeat(ctx, HeartbeatRequest{}), ErrInvalidGroupID},
			{"heartbeat to an unknown group", c.Heartbeat(ctx, HeartbeatRequest{GroupID: "g"}), ErrUnknownMember},
			{"leave without group", leaveErr, ErrInvalidGroupID},
			{"commit to a long group id", commitErr, ErrInvalidGroupID},
			{"fetch of a group id that is no text", fetchErr, ErrInvalidGroupID},
		} {
			if !errors.Is(tc.got, tc.want) {
				t.Errorf("%s: %v, want %v", tc.name, tc.got, tc.want)
			}
		}
		outcomes, err := c.Leave(ctx, LeaveRequest{GroupID: "g", Members: make([]LeaveMember, 2)})
		if err != nil || !slices.Equal(outcomes, []error{ErrUnknownMember, ErrUnknownMember}) {
			t.Errorf("leave an unknown group: %v, %v", outcomes, err)
		}
		if all, err := store.ListGroups(ctx); err != nil || len(all) != 0 {
			t.Errorf("refused requests made groups: %v, %v", all, err)
		}
	})
}

func TestOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{})
		ctx := t.Context()
		topic := metastore.TopicID(uuid.MustParse("00000000-0000-0000-0000-000000000001"))
		at := func(p int32) metastore.TopicPartition { return metastore.TopicPartition{Topic: topic, Partition: p} }

		if offsets, err := c.FetchOffsets(ctx, "g", nil); err != nil || len(offsets) != 0 {
			t.Errorf("of an unknown group: %v, %v", offsets, err)
		}
		if _, err := c.CommitOffsets(ctx, CommitRequest{GroupID: "g", MemberID: "m", Generation: 1}); !errors.Is(err, ErrGroupNotFound) {
			t.Errorf("commit of a member to an unknown group: %v", err)
		}
		outcomes, err := c.CommitOffsets(ctx, CommitRequest{GroupID: "g", Generation: NoGeneration, Offsets: []CommitOffset{
			{TopicPartition: at(0), TopicName: "t", Offset: 5, LeaderEpoch: -1, Metadata: strings.Repeat("m", 4096)},
			{TopicPartition: at(1), TopicName: "t", Offset: 6, LeaderEpoch: -1, Metadata: strings.Repeat("m", 4097)},
			{TopicPartition: at(2), TopicName: "t", Offset: 7, LeaderEpoch: 3},
		}})
		if err != nil || !slices.Equal(outcomes, []error{nil, ErrOffsetMetadataTooLarge, nil}) {
			t.Errorf("commit: %v, %v", outcomes, err)
		}
		offsets, err := c.FetchOffsets(ctx, "g", nil)
		if err != nil || len(offsets) != 2 || offsets[0].Offset != 5 || offsets[1].Offset != 7 || offsets[1].LeaderEpoch != 3 {
			t.Errorf("all: %+v, %v", offsets, err)
		}
		offsets, err = c.FetchOffsets(ctx, "g", []metastore.TopicPartition{at(1), at(2)})
		if err != nil || len(offsets) != 1 || offsets[0].Partition != 2 {
			t.Errorf("some: %+v, %v", offsets, err)
		}
		deleted, err := c.DeleteOffsets(ctx, "g", []PartitionOf{{at(0), "t"}, {at(9), "t"}})
		if err != nil || !slices.Equal(deleted, []error{nil, nil}) {
			t.Errorf("delete: %v, %v", deleted, err)
		}
		if offsets, err = c.FetchOffsets(ctx, "g", nil); err != nil || len(offsets) != 1 {
			t.Errorf("after the deletion: %+v, %v", offsets, err)
		}
	})
}

func TestOffsetsOfSubscribedTopicsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{InitialRebalanceDelay: -1})
		join := func(group, protocolType string, metadata []byte) {
			req := joinRequest("")
			req.GroupID, req.ProtocolType, req.Protocols = group, protocolType, []Protocol{{"range", metadata}}
			if _, err := c.Join(t.Context(), req); err != nil {
				t.Fatal(err)
			}
		}
		join("consumers", "consumer", []byte("\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xff"))
		join("garbage", "consumer", []byte("\x00\x01\x7f\xff\xff\xff\x00\x01a"))
		join("workers", "connect", nil)
		topics := []PartitionOf{{TopicName: "a"}, {TopicName: "b"}, {TopicName: "bc"}}

		got, err := c.DeleteOffsets(t.Context(), "consumers", topics)
		if err != nil || !slices.Equal(got, []error{ErrSubscribedToTopic, nil, ErrSubscribedToTopic}) {
			t.Errorf("consumers: %v, %v", got, err)
		}
		got, err = c.DeleteOffsets(t.Context(), "garbage", topics[:1])
		if err != nil || !slices.Equal(got, []error{ErrSubscribedToTopic}) {
			t.Errorf("unreadable subscription: %v, %v", got, err)
		}
		if _, err = c.DeleteOffsets(t.Context(), "workers", topics); !errors.Is(err, ErrNonEmptyGroup) {
			t.Errorf("workers: %v", err)
		}
		if _, err = c.DeleteOffsets(t.Context(), "nobody", topics); !errors.Is(err, ErrGroupNotFound) {
			t.Errorf("unknown group: %v", err)
		}
	})
}

func TestListDescribeDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		c, _ := start(t, store, 1, Options{InitialRebalanceDelay: -1})
		other, _ := start(t, store, 2, Options{})
		ctx := t.Context()
		ids, generation := formGroup(t, c, 1)
		if _, err := c.CommitOffsets(ctx, CommitRequest{GroupID: "simple", Generation: NoGeneration, Offsets: []CommitOffset{{Offset: 1}}}); err != nil {
			t.Fatal(err)
		}
		// What has its group elsewhere is read from the metastore, without a claim.
		for name, c := range map[string]*Coordinator{"loaded": c, "not loaded": other} {
			list, err := c.List(ctx)
			if err != nil || !slices.Equal(list, []Listing{{GroupID: "g", ProtocolType: "consumer", State: Stable}, {GroupID: "simple"}}) {
				t.Errorf("%s: list %+v, %v", name, list, err)
			}
			d, err := c.Describe(ctx, "g")
			if err != nil || d.State != Stable || d.Protocol != "range" || len(d.Members) != 1 ||
				d.Members[0].MemberID != ids[0] || string(d.Members[0].Metadata) != "m" || string(d.Members[0].Assignment) != "of "+ids[0] {
				t.Errorf("%s: describe %+v, %v", name, d, err)
			}
			if _, err := c.Describe(ctx, "nobody"); !errors.Is(err, ErrGroupNotFound) {
				t.Errorf("%s: describe an unknown group: %v", name, err)
			}
		}
		heartbeatAll(t, c, ids, generation, nil)

		if err := c.Delete(ctx, "g"); !errors.Is(err, ErrNonEmptyGroup) {
			t.Errorf("delete with members: %v", err)
		}
		if err := c.Delete(ctx, "nobody"); !errors.Is(err, ErrGroupNotFound) {
			t.Errorf("delete an unknown group: %v", err)
		}
		if err := c.Delete(ctx, "simple"); err != nil {
			t.Errorf("delete: %v", err)
		}
		if offsets, err := c.FetchOffsets(ctx, "simple", nil); err != nil || len(offsets) != 0 {
			t.Errorf("offsets of the deleted group: %v, %v", offsets, err)
		}
		if outcomes, err := c.Leave(ctx, LeaveRequest{GroupID: "g", Members: []LeaveMember{{MemberID: ids[0]}}}); err != nil || outcomes[0] != nil {
			t.Errorf("leave: %v, %v", outcomes, err)
		}
		if err := c.Delete(ctx, "g"); err != nil {
			t.Errorf("delete after everybody left: %v", err)
		}
		if list, err := c.List(ctx); err != nil || len(list) != 0 {
			t.Errorf("list: %v, %v", list, err)
		}
		formGroup(t, c, 1) // the id can be used again
	})
}

func TestMemberIDRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{InitialRebalanceDelay: -1})
		req := joinRequest("")
		req.RequireKnownMemberID = true
		resp, err := c.Join(t.Context(), req)
		if !errors.Is(err, ErrMemberIDRequired) || !strings.HasPrefix(resp.MemberID, "client-") || resp.Generation != NoGeneration {
			t.Fatalf("first join: %+v, %v", resp, err)
		}
		req.MemberID = resp.MemberID
		if again, err := c.Join(t.Context(), req); err != nil || again.MemberID != resp.MemberID || again.Generation != 1 {
			t.Errorf("second join: %+v, %v", again, err)
		}
	})
}
