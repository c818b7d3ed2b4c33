package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAMemberThatNeverSyncsIsRemoved when the rebalance timeout is over, although it sends heartbeats, and the others go
// on without it. What was committed stays.
func TestAMemberThatNeverSyncsIsRemoved(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	join := func(h *harness, member string) *kmsg.JoinGroupResponse {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Group, req.MemberID, req.ProtocolType = "g", member, "consumer"
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 30_000, 500
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		return ask[*kmsg.JoinGroupResponse](h, 3, req)
	}
	beat := func(member string, generation int32) int16 {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = "g", member, generation
		return ask[*kmsg.HeartbeatResponse](h, 3, req).ErrorCode
	}
	leader := join(h, "").MemberID
	equal(t, "sync of the first", h.sync(3, "g", leader, 1).ErrorCode, 0)
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.MemberID, commit.Generation = "g", leader, 1
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "events", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 7}}}}
	equal(t, "commit", codesOf(ask[*kmsg.OffsetCommitResponse](h, 5, commit)), "NONE")

	other, joined := h.another(), make(chan *kmsg.JoinGroupResponse, 1)
	go func() { joined <- join(other, "") }()
	for deadline := time.Now().Add(20 * time.Second); beat(leader, 1) != kerr.RebalanceInProgress.Code; {
		if time.Now().After(deadline) {
			t.Fatal("no rebalance begins")
		}
	}
	again := join(h, leader)
	equal(t, "generation", again.Generation, 2)
	silent := (<-joined).MemberID
	equal(t, "sync of the leader", h.sync(3, "g", leader, 2).ErrorCode, 0)
	equal(t, "heartbeat of who has not synced", beat(silent, 2), 0)

	for deadline := time.Now().Add(20 * time.Second); beat(silent, 2) != kerr.UnknownMemberID.Code; {
		if time.Now().After(deadline) {
			t.Fatal("who never syncs is not removed")
		}
		time.Sleep(10 * time.Millisecond)
	}
	equal(t, "heartbeat of the leader", beat(leader, 2), kerr.RebalanceInProgress.Code)
	again = join(h, leader)
	equal(t, "generation without it", again.Generation, 3)
	equal(t, "members", len(again.Members), 1)
	offset, code := h.position("g", "events", 0, true)
	equal(t, "offset", offset, 7)
	equal(t, "code of the offset", code, 0)
}
