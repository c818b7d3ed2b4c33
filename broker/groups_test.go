package broker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
)

func TestFindCoordinator(t *testing.T) {
	h := newHarness(t, nil, 2)
	h.versions(10, func(t *testing.T, v int16) {
		find := func(kind int8, keys ...string) []kmsg.FindCoordinatorResponseCoordinator {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorType, req.CoordinatorKeys = kind, keys
			if v >= 4 {
				return ask[*kmsg.FindCoordinatorResponse](h, v, req).Coordinators
			}
			var found []kmsg.FindCoordinatorResponseCoordinator
			for _, key := range keys {
				req.CoordinatorKey = key
				resp := ask[*kmsg.FindCoordinatorResponse](h, v, req)
				found = append(found, kmsg.FindCoordinatorResponseCoordinator{
					Key: key, NodeID: resp.NodeID, Host: resp.Host, Port: resp.Port, ErrorCode: resp.ErrorCode, ErrorMessage: resp.ErrorMessage,
				})
			}
			return found
		}
		var keys []string
		for i := range 50 {
			keys = append(keys, fmt.Sprintf("group-%d", i))
		}
		owners := map[int32]int{}
		for i, c := range find(groupCoordinator, keys...) {
			equal(t, "error", c.ErrorCode, 0)
			equal(t, "key", c.Key, keys[i])
			equal(t, "port", c.Port, 9092+c.NodeID)
			owners[c.NodeID]++
		}
		equal(t, "brokers that own groups", len(owners), 3)
		if v == 0 {
			return
		}
		owners = map[int32]int{}
		for _, c := range find(transactionCoordinator, keys...) {
			equal(t, "error", c.ErrorCode, 0)
			owners[c.NodeID]++
		}
		equal(t, "brokers that own transactional ids", len(owners), 3)
		for kind, want := range map[int8]*kerr.Error{shareCoordinator: kerr.UnsupportedVersion, 9: kerr.InvalidRequest} {
			got := find(kind, "key")[0]
			equal(t, "error", got.ErrorCode, want.Code)
			equal(t, "node", got.NodeID, -1)
			if got.ErrorMessage == nil {
				t.Error("no text")
			}
		}
		text := find(shareCoordinator, "key")[0].ErrorMessage
		equal(t, "says what is missing", strings.Contains(*text, "share groups"), true)
	})
}

// join makes the harness a member of a group, at a version.
func (h *harness) join(version int16, groupID, memberID string) *kmsg.JoinGroupResponse {
	h.t.Helper()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = groupID, memberID, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 10_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("subscription")}}
	return ask[*kmsg.JoinGroupResponse](h, version, req)
}

func (h *harness) sync(version int16, groupID, memberID string, generation int32) *kmsg.SyncGroupResponse {
	h.t.Helper()
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = groupID, memberID, generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: memberID, MemberAssignment: []byte("assignment")}}
	return ask[*kmsg.SyncGroupResponse](h, version, req)
}

// clamp gives the version at which to send the other requests of a test that runs over the versions of one.
func clamp(v, lowest, highest int16) int16 { return min(max(v, lowest), highest) }

func TestLifeOfAGroupAtEveryVersion(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.versions(11, func(t *testing.T, v int16) {
		id := fmt.Sprintf("group-%d", v)
		joined := h.join(v, id, "")
		if v >= 4 {
			equal(t, "first answer", joined.ErrorCode, kerr.MemberIDRequired.Code)
			equal(t, "generation beside an error", joined.Generation, -1)
			joined = h.join(v, id, joined.MemberID)
		}
		equal(t, "join", joined.ErrorCode, 0)
		equal(t, "leader", joined.LeaderID, joined.MemberID)
		equal(t, "members", len(joined.Members), 1)
		equal(t, "metadata", string(joined.Members[0].ProtocolMetadata), "subscription")
		equal(t, "protocol", *joined.Protocol, "range")
		if v >= 7 {
			equal(t, "protocol type", *joined.ProtocolType, "consumer")
		}

		synced := h.sync(clamp(v, 0, 5), id, joined.MemberID, joined.Generation)
		equal(t, "sync", synced.ErrorCode, 0)
		equal(t, "assignment", string(synced.MemberAssignment), "assignment")

		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Group, beat.MemberID, beat.Generation = id, joined.MemberID, joined.Generation
		equal(t, "heartbeat", ask[*kmsg.HeartbeatResponse](h, clamp(v, 0, 4), beat).ErrorCode, 0)
		beat.Generation++
		equal(t, "heartbeat of another generation", ask[*kmsg.HeartbeatResponse](h, clamp(v, 0, 4), beat).ErrorCode, kerr.IllegalGeneration.Code)

		described := h.describe(clamp(v, 0, 6), id)
		equal(t, "state", described.State, "Stable")
		equal(t, "protocol", described.Protocol, "range")
		equal(t, "client id", described.Members[0].ClientID, "test")
		equal(t, "client host", described.Members[0].ClientHost, "/127.0.0.1")
		equal(t, "assignment", string(described.Members[0].MemberAssignment), "assignment")
		equal(t, "delete with a member", h.deleteGroup(clamp(v, 0, 3), id), kerr.NonEmptyGroup.Code)

		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.MemberID = id, joined.MemberID
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: joined.MemberID}}
		left := ask[*kmsg.LeaveGroupResponse](h, clamp(v, 0, 5), leave)
		equal(t, "leave", left.ErrorCode, 0)
		for _, m := range left.Members {
			equal(t, "member", m.ErrorCode, 0)
		}
		equal(t, "state afterwards", h.describe(clamp(v, 0, 6), id).State, "Empty")
		equal(t, "delete", h.deleteGroup(clamp(v, 0, 3), id), 0)
		equal(t, "delete again", h.deleteGroup(clamp(v, 0, 3), id), kerr.GroupIDNotFound.Code)
	})
}

func (h *harness) describe(version int16, id string) kmsg.DescribeGroupsResponseGroup {
	h.t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{id}
	return ask[*kmsg.DescribeGroupsResponse](h, version, req).Groups[0]
}

func (h *harness) deleteGroup(version int16, id string) int16 {
	h.t.Helper()
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{id}
	return ask[*kmsg.DeleteGroupsResponse](h, version, req).Groups[0].ErrorCode
}

func TestGroupErrorsAtEveryVersion(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.versions(14, func(t *testing.T, v int16) {
		synced := h.sync(v, "nobody", "member", 1)
		equal(t, "sync", synced.ErrorCode, kerr.UnknownMemberID.Code)
		equal(t, "assignment", len(synced.MemberAssignment), 0)
	})
	incomplete := kmsg.NewPtrSyncGroupRequest()
	equal(t, "sync without protocol", ask[*kmsg.SyncGroupResponse](h, 5, incomplete).ErrorCode, kerr.InconsistentGroupProtocol.Code)
	h.versions(13, func(t *testing.T, v int16) {
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.MemberID = "nobody", "member"
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "member"}}
		left := ask[*kmsg.LeaveGroupResponse](h, v, leave)
		got := left.ErrorCode
		if v >= 3 {
			equal(t, "whole answer", got, 0)
			got = left.Members[0].ErrorCode
		}
		equal(t, "leave", got, kerr.UnknownMemberID.Code)
	})
	h.versions(15, func(t *testing.T, v int16) {
		got := h.describe(v, "nobody")
		equal(t, "state", got.State, "Dead")
		want := int16(0)
		if v >= 6 {
			want = kerr.GroupIDNotFound.Code
		}
		equal(t, "describe", got.ErrorCode, want)
	})
}

func TestListGroups(t *testing.T) {
	h := newHarness(t, nil, 0)
	joined := h.join(0, "busy", "")
	h.sync(0, "busy", joined.MemberID, joined.Generation)
	h.topic("events", 1, 1)
	h.commit(t, 9, "idle", "events", [16]byte{}, 0, 5)
	list := func(v int16, states, types []string) map[string]kmsg.ListGroupsResponseGroup {
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter, req.TypesFilter = states, types
		resp := ask[*kmsg.ListGroupsResponse](h, v, req)
		equal(t, "error", resp.ErrorCode, 0)
		groups := map[string]kmsg.ListGroupsResponseGroup{}
		for _, g := range resp.Groups {
			groups[g.Group] = g
		}
		return groups
	}
	h.versions(16, func(t *testing.T, v int16) {
		all := list(v, nil, nil)
		equal(t, "groups", len(all), 2)
		equal(t, "protocol type", all["busy"].ProtocolType, "consumer")
		if v >= 4 {
			equal(t, "state", all["busy"].GroupState, "Stable")
			stable := list(v, []string{"stable"}, nil)
			equal(t, "stable groups", len(stable), 1)
			equal(t, "empty groups", len(list(v, []string{"Empty", "Dead"}, nil)), 1)
		}
		if v >= 5 {
			equal(t, "type", all["busy"].GroupType, "classic")
			equal(t, "groups of KIP-848", len(list(v, nil, []string{"consumer"})), 0)
			equal(t, "classic groups", len(list(v, nil, []string{"Classic"})), 2)
		}
	})
}

// commit commits an offset as a client that manages its partitions itself, and returns the error code.
func (h *harness) commit(t *testing.T, version int16, id, topic string, topicID [16]byte, partition int32, offset int64) int16 {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = id, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, 0, kmsg.StringPtr("note")
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID, rt.Partitions = topic, topicID, []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = append(req.Topics, rt)
	return ask[*kmsg.OffsetCommitResponse](h, version, req).Topics[0].Partitions[0].ErrorCode
}

func TestOffsetCommitAtEveryVersion(t *testing.T) {
	h := newHarness(t, nil, 0)
	events := h.topic("events", 2, 1)
	h.versions(8, func(t *testing.T, v int16) {
		id := fmt.Sprintf("group-%d", v)
		equal(t, "commit", h.commit(t, v, id, "events", events.ID, 1, 42), 0)
		stored, err := h.store.FetchOffsets(t.Context(), id, nil)
		must(t, err)
		equal(t, "stored", len(stored), 1)
		equal(t, "offset", stored[0].Offset, 42)
		equal(t, "metadata", stored[0].Metadata, "note")
		equal(t, "topic", stored[0].TopicName, "events")
		epoch := int32(-1)
		if v >= 6 {
			epoch = 0
		}
		equal(t, "leader epoch", stored[0].LeaderEpoch, epoch)

		equal(t, "partition", h.commit(t, v, id, "events", events.ID, 2, 1), kerr.UnknownTopicOrPartition.Code)
		want := kerr.UnknownTopicOrPartition.Code
		if v >= 10 {
			want = kerr.UnknownTopicID.Code
		}
		equal(t, "topic", h.commit(t, v, id, "missing", [16]byte{1}, 0, 1), want)
	})
}

func TestOffsetCommitOfStrangers(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	joined := h.join(0, "g", "")
	h.sync(0, "g", joined.MemberID, joined.Generation)
	equal(t, "without member id", h.commit(t, 9, "g", "events", [16]byte{}, 0, 1), kerr.UnknownMemberID.Code)
	for v, want := range map[int16]int16{8: kerr.IllegalGeneration.Code, 9: kerr.GroupIDNotFound.Code} {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation, req.MemberID = "nobody", 3, "member"
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "events", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{}}}}
		got := ask[*kmsg.OffsetCommitResponse](h, v, req).Topics[0].Partitions[0].ErrorCode
		equal(t, fmt.Sprintf("group that does not exist, v%d", v), got, want)
	}
}

type fetched struct {
	topic     string
	partition int32
	offset    int64
	metadata  string
	code      int16
}

// fetchOffsets asks for partitions 0 and 1 of the topics, or for all, and flattens the answer of any version.
func (h *harness) fetchOffsets(version int16, id string, topics map[string][16]byte) (code int16, offsets []fetched) {
	h.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = id
	single := kmsg.OffsetFetchRequestGroup{Group: id, MemberEpoch: -1}
	if topics != nil {
		req.Topics, single.Topics = []kmsg.OffsetFetchRequestTopic{}, []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for name, topicID := range topics {
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: name, Partitions: []int32{0, 1}})
		single.Topics = append(single.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: name, TopicID: topicID, Partitions: []int32{0, 1}})
	}
	req.Groups = []kmsg.OffsetFetchRequestGroup{single}
	resp := ask[*kmsg.OffsetFetchResponse](h, version, req)
	code = resp.ErrorCode
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			offsets = append(offsets, fetched{topic.Topic, p.Partition, p.Offset, *p.Metadata, p.ErrorCode})
		}
	}
	for _, g := range resp.Groups {
		code = g.ErrorCode
		for _, topic := range g.Topics {
			name := topic.Topic
			for known, topicID := range topics {
				if version >= 10 && topicID == topic.TopicID {
					name = known
				}
			}
			for _, p := range topic.Partitions {
				offsets = append(offsets, fetched{name, p.Partition, p.Offset, *p.Metadata, p.ErrorCode})
			}
		}
	}
	return code, offsets
}

func TestOffsetFetchAtEveryVersion(t *testing.T) {
	h := newHarness(t, nil, 0)
	events := h.topic("events", 2, 1)
	doomed := h.topic("doomed", 1, 1)
	equal(t, "commit", h.commit(t, 9, "g", "events", [16]byte{}, 1, 42), 0)
	equal(t, "commit", h.commit(t, 9, "g", "doomed", [16]byte{}, 0, 7), 0)
	must(t, h.replica.DeleteTopic(t.Context(), doomed.ID)) // without its offsets
	h.versions(9, func(t *testing.T, v int16) {
		code, got := h.fetchOffsets(v, "g", map[string][16]byte{"events": events.ID})
		equal(t, "error", code, 0)
		equal(t, "partitions", len(got), 2)
		equal(t, "without position", got[0], fetched{"events", 0, -1, "", 0})
		equal(t, "with position", got[1], fetched{"events", 1, 42, "note", 0})

		code, got = h.fetchOffsets(v, "nobody", map[string][16]byte{"events": events.ID})
		equal(t, "error of a group that does not exist", code, 0)
		equal(t, "its position", got[1], fetched{"events", 1, -1, "", 0})

		_, got = h.fetchOffsets(v, "g", map[string][16]byte{"missing": {1}})
		want := fetched{"missing", 0, -1, "", 0}
		if v >= 10 {
			want.code = kerr.UnknownTopicID.Code
		}
		equal(t, "topic that does not exist", got[0], want)

		if v >= 2 {
			code, got = h.fetchOffsets(v, "g", nil)
			equal(t, "error", code, 0)
			equal(t, "all positions", len(got), 1)
			equal(t, "offset", got[0].offset, 42)
			_, got = h.fetchOffsets(v, "g", map[string][16]byte{})
			equal(t, "no positions", len(got), 0)
		}
	})
}

func TestOffsetDelete(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 2, 1)
	equal(t, "commit", h.commit(t, 9, "g", "events", [16]byte{}, 1, 42), 0)
	forget := func(id, topic string, partition int32) *kmsg.OffsetDeleteResponse {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = id
		req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: partition}}}}
		return ask[*kmsg.OffsetDeleteResponse](h, 0, req)
	}
	equal(t, "group", forget("nobody", "events", 1).ErrorCode, kerr.GroupIDNotFound.Code)
	equal(t, "topic", forget("g", "missing", 0).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
	equal(t, "partition", forget("g", "events", 2).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
	equal(t, "delete", forget("g", "events", 1).Topics[0].Partitions[0].ErrorCode, 0)
	left, err := h.store.FetchOffsets(t.Context(), "g", nil)
	must(t, err)
	equal(t, "left", len(left), 0)
}

func TestRequestsForGroupsOfOtherBrokers(t *testing.T) {
	h := newHarness(t, nil, 3)
	h.topic("events", 1, 1)
	for i := range 100 {
		id := fmt.Sprintf("group-%d", i)
		if c := h.broker.coordinator(new(wire.Conn), groupCoordinator, id); c.NodeID == 0 {
			continue
		}
		equal(t, "join", h.join(5, id, "").ErrorCode, kerr.NotCoordinator.Code)
		equal(t, "commit", h.commit(t, 9, id, "events", [16]byte{}, 0, 1), kerr.NotCoordinator.Code)
		equal(t, "describe", h.describe(6, id).ErrorCode, kerr.NotCoordinator.Code)
		equal(t, "delete", h.deleteGroup(2, id), kerr.NotCoordinator.Code)
		code, _ := h.fetchOffsets(8, id, nil)
		equal(t, "fetch", code, kerr.NotCoordinator.Code)
		_, got := h.fetchOffsets(1, id, map[string][16]byte{"events": {}})
		equal(t, "fetch v1", got[0].code, kerr.NotCoordinator.Code)
		return
	}
	t.Fatal("no group belongs to another broker")
}
