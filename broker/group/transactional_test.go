package group

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// stable is a group of one member that has its assignment.
func stable(t *testing.T, c *Coordinator, instance string) JoinResponse {
	t.Helper()
	req := joinRequest("")
	req.InstanceID = instance
	joined, err := c.Join(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Sync(t.Context(), SyncRequest{
		GroupID: "g", MemberID: joined.MemberID, InstanceID: instance, Generation: joined.Generation,
		Assignments: map[string][]byte{joined.MemberID: {1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return joined
}

func TestCommitInTransactionIsValidatedAsKafkaDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		c, _ := start(t, store, 1, Options{InitialRebalanceDelay: -1})
		joined := stable(t, c, "i")
		member := CommitRequest{GroupID: "g", MemberID: joined.MemberID, InstanceID: "i", Generation: joined.Generation}
		changed := func(change func(*CommitRequest)) CommitRequest {
			r := member
			change(&r)
			return r
		}
		for name, tc := range map[string]struct {
			req  CommitRequest
			want error
		}{
			"the member":                          {member, nil},
			"nobody in particular":                {CommitRequest{GroupID: "g", Generation: NoGeneration}, nil},
			"an old generation":                   {changed(func(r *CommitRequest) { r.Generation-- }), ErrIllegalGeneration},
			"no generation":                       {changed(func(r *CommitRequest) { r.Generation = NoGeneration }), ErrIllegalGeneration},
			"another member":                      {changed(func(r *CommitRequest) { r.MemberID, r.InstanceID = "x", "" }), ErrUnknownMember},
			"a fenced instance":                   {changed(func(r *CommitRequest) { r.MemberID = "x" }), ErrFencedInstance},
			"an instance that there never was":    {changed(func(r *CommitRequest) { r.InstanceID = "x" }), ErrUnknownMember},
			"no group":                            {CommitRequest{Generation: NoGeneration}, ErrInvalidGroupID},
			"a new group":                         {CommitRequest{GroupID: "new", Generation: NoGeneration}, nil},
			"a generation of a group that is not": {CommitRequest{GroupID: "none", MemberID: "x", Generation: 1}, ErrIllegalGeneration},
		} {
			tc.req.Offsets = []CommitOffset{{Offset: 7, LeaderEpoch: -1}}
			pended := 0
			_, err := c.CommitInTransaction(t.Context(), tc.req, func(_ context.Context, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
				pended += len(offsets)
				if epoch == 0 {
					t.Error("the group is not claimed")
				}
				return nil
			})
			if !errors.Is(err, tc.want) {
				t.Errorf("%s: got %v, want %v", name, err, tc.want)
			}
			if (tc.want == nil) != (pended == 1) {
				t.Errorf("%s: %d offsets kept", name, pended)
			}
		}
	})
}

func TestCommitInTransactionKeepsWhatIsNotTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{OffsetMetadataMaxBytes: 3})
		req := CommitRequest{GroupID: "g", Generation: NoGeneration, Offsets: []CommitOffset{{Metadata: "long"}, {Metadata: "ok", Offset: 5}}}
		outcomes, err := c.CommitInTransaction(t.Context(), req, func(_ context.Context, _ metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
			if len(offsets) != 1 || offsets[0].Offset != 5 {
				t.Errorf("kept %+v", offsets)
			}
			return nil
		})
		if err != nil || !errors.Is(outcomes[0], ErrOffsetMetadataTooLarge) || outcomes[1] != nil {
			t.Errorf("%v, %v", outcomes, err)
		}
	})
}

func TestAClaimThatATransactionFindsFencedIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		c, _ := start(t, store, 1, Options{})
		req := CommitRequest{GroupID: "g", Generation: NoGeneration, Offsets: []CommitOffset{{}}}
		var claims []metastore.GroupEpoch
		commit := func(answer error) error {
			_, err := c.CommitInTransaction(t.Context(), req, func(_ context.Context, epoch metastore.GroupEpoch, _ []metastore.CommittedOffset) error {
				claims = append(claims, epoch)
				return answer
			})
			return err
		}
		if err := commit(metastore.ErrFenced); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("fenced: %v", err)
		}
		if err := commit(errDown); !errors.Is(err, errDown) {
			t.Errorf("down: %v", err)
		}
		if err := commit(nil); err != nil {
			t.Error(err)
		}
		if len(claims) != 3 || claims[1] == claims[0] || claims[2] != claims[1] {
			t.Errorf("claims %v: want a new one after the first alone", claims)
		}
	})
}

func TestAGroupWithPendingOffsetsIsNotDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pending := true
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{Pending: func(string) bool { return pending }})
		req := CommitRequest{GroupID: "g", Generation: NoGeneration, Offsets: []CommitOffset{{}}}
		if _, err := c.CommitOffsets(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if err := c.Delete(t.Context(), "g"); !errors.Is(err, ErrNonEmptyGroup) {
			t.Errorf("got %v", err)
		}
		pending = false
		if err := c.Delete(t.Context(), "g"); err != nil {
			t.Error(err)
		}
	})
}
