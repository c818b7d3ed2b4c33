package broker

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/metastore"
)

// heartbeatRequest is one that changes nothing, or with epoch 0 a join that subscribes to events.
func heartbeatRequest(groupID, memberID string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = groupID, memberID, epoch
	if epoch == 0 {
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 30_000, []string{"events"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	return req
}

func (h *harness) consumerHeartbeat(version int16, req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	h.t.Helper()
	resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](h, version, req)
	if (resp.ErrorCode != 0) != (resp.ErrorMessage != nil) {
		h.t.Errorf("error %d has the message %v", resp.ErrorCode, resp.ErrorMessage)
	}
	return resp
}

func (h *harness) describeConsumer(version int16, id string) kmsg.ConsumerGroupDescribeResponseGroup {
	h.t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{id, id}, true
	resp := ask[*kmsg.ConsumerGroupDescribeResponse](h, version, req)
	equal(h.t, "answers", len(resp.Groups), 1)
	return resp.Groups[0]
}

func TestLifeOfAConsumerGroupAtEveryVersion(t *testing.T) {
	h := newHarness(t, nil, 0)
	events := h.topic("events", 3, 1)
	h.versions(68, func(t *testing.T, v int16) {
		id, member := "group-"+versionName(v), ""
		if v >= 1 {
			member = "made by the client"
		}
		join := heartbeatRequest(id, member, 0)
		join.RackID = kmsg.StringPtr("rack")
		joined := h.consumerHeartbeat(v, join)
		equal(t, "join", joined.ErrorCode, 0)
		equal(t, "epoch", joined.MemberEpoch, 2)
		equal(t, "interval", joined.HeartbeatIntervalMillis, 5000)
		equal(t, "topics", len(joined.Assignment.Topics), 1)
		equal(t, "topic", joined.Assignment.Topics[0].TopicID, [16]byte(events.ID))
		equal(t, "partitions", len(joined.Assignment.Topics[0].Partitions), 3)
		if v >= 1 {
			equal(t, "member id", *joined.MemberID, member)
		}
		member = *joined.MemberID
		again := h.consumerHeartbeat(v, heartbeatRequest(id, member, 2))
		equal(t, "heartbeat", again.ErrorCode, 0)
		equal(t, "assignment that did not change", again.Assignment == nil, true)

		described := h.describeConsumer(v, id)
		equal(t, "error", described.ErrorCode, 0)
		equal(t, "state", described.State, "Stable")
		equal(t, "epoch", described.Epoch, 2)
		equal(t, "assignment epoch", described.AssignmentEpoch, 2)
		equal(t, "assignor", described.AssignorName, "uniform")
		equal(t, "operations", described.AuthorizedOperations, groupOperations)
		m := described.Members[0]
		equal(t, "member", m.MemberID, member)
		equal(t, "client", m.ClientID+m.ClientHost, "test/127.0.0.1")
		equal(t, "rack", *m.RackID, "rack")
		equal(t, "subscription", strings.Join(m.SubscribedTopics, ","), "events")
		equal(t, "topic", m.Assignment.TopicPartitions[0].Topic, "events")
		equal(t, "target", len(m.TargetAssignment.TopicPartitions[0].Partitions), 3)
		if v >= 1 {
			equal(t, "type", m.MemberType, consumerMember)
		}
		// DescribeGroups knows classic groups only, ConsumerGroupDescribe none of these.
		equal(t, "as a classic group", h.describe(6, id).ErrorCode, kerr.GroupIDNotFound.Code)
		equal(t, "as a classic group, before v6", h.describe(5, id).State, "Dead")

		equal(t, "delete with a member", h.deleteGroup(2, id), kerr.NonEmptyGroup.Code)
		left := h.consumerHeartbeat(v, heartbeatRequest(id, member, -1))
		equal(t, "leave", left.ErrorCode, 0)
		equal(t, "epoch of who left", left.MemberEpoch, -1)
		equal(t, "leave again", h.consumerHeartbeat(v, heartbeatRequest(id, member, -1)).ErrorCode, kerr.UnknownMemberID.Code)
		equal(t, "state", h.describeConsumer(v, id).State, "Empty")
		equal(t, "delete", h.deleteGroup(2, id), 0)
		equal(t, "describe what is gone", h.describeConsumer(v, id).ErrorCode, kerr.GroupIDNotFound.Code)
		equal(t, "heartbeat to what is gone", h.consumerHeartbeat(v, heartbeatRequest(id, member, 2)).ErrorCode, kerr.GroupIDNotFound.Code)
	})
}

func TestConsumerHeartbeatRefusals(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	static := heartbeatRequest("g", "s", 0)
	static.InstanceID = kmsg.StringPtr("i")
	equal(t, "static member", h.consumerHeartbeat(1, static).ErrorCode, 0)
	equal(t, "member", h.consumerHeartbeat(1, heartbeatRequest("g", "a", 0)).ErrorCode, 0)
	classic := h.join(0, "classic", "")
	equal(t, "classic member", classic.ErrorCode, 0) // its subscription is not one of a consumer

	text := kmsg.StringPtr
	for name, c := range map[string]struct {
		epoch int32
		spoil func(*kmsg.ConsumerGroupHeartbeatRequest)
		want  *kerr.Error
	}{
		"no group":                {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }, kerr.InvalidRequest},
		"long group":              {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = strings.Repeat("g", 2000) }, kerr.InvalidGroupID},
		"no member":               {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }, kerr.InvalidRequest},
		"empty instance":          {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = text("") }, kerr.InvalidRequest},
		"empty rack":              {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = text("") }, kerr.InvalidRequest},
		"no rebalance timeout":    {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }, kerr.InvalidRequest},
		"join without partitions": {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil }, kerr.InvalidRequest},
		"join with partitions": {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.Topics = make([]kmsg.ConsumerGroupHeartbeatRequestTopic, 1)
		}, kerr.InvalidRequest},
		"no subscription":         {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }, kerr.InvalidRequest},
		"epoch below":             {-3, func(*kmsg.ConsumerGroupHeartbeatRequest) {}, kerr.InvalidRequest},
		"static leave, no static": {-2, func(*kmsg.ConsumerGroupHeartbeatRequest) {}, kerr.InvalidRequest},
		"assignor":                {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = text("sticky") }, kerr.UnsupportedAssignor},
		"empty assignor":          {1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = text("") }, kerr.UnsupportedAssignor},
		"expression":              {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = text("(") }, kerr.InvalidRegularExpression},
		"not RE2":                 {1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = text("(?=a)") }, kerr.InvalidRegularExpression},
		"huge expression": {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.SubscribedTopicRegex = text(strings.Repeat("a", 10_000))
		}, kerr.InvalidRegularExpression},
		"later epoch":              {9, func(*kmsg.ConsumerGroupHeartbeatRequest) {}, kerr.FencedMemberEpoch},
		"unknown member":           {1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "x" }, kerr.UnknownMemberID},
		"unknown member leaves":    {-1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "x" }, kerr.UnknownMemberID},
		"unknown instance":         {1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = text("x") }, kerr.UnknownMemberID},
		"instance in use":          {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.InstanceID = "s2", text("i") }, kerr.UnreleasedInstanceID},
		"another's instance":       {1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = text("i") }, kerr.FencedInstanceID},
		"unknown group":            {1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "x" }, kerr.GroupIDNotFound},
		"group of classic members": {0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "classic" }, kerr.GroupIDNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			req := heartbeatRequest("g", "a", c.epoch)
			c.spoil(req)
			resp := h.consumerHeartbeat(1, req)
			equal(t, "error", resp.ErrorCode, c.want.Code)
			equal(t, "assignment", resp.Assignment == nil, true)
		})
	}
	equal(t, "describe no group", h.describeConsumer(1, "").ErrorCode, kerr.InvalidGroupID.Code)
	d := h.describeConsumer(1, "g")
	equal(t, "members afterwards", len(d.Members), 2)
	equal(t, "epoch afterwards", d.Epoch, 3)
	equal(t, "the classic group afterwards", h.describe(6, "classic").State, "CompletingRebalance")
}

func TestConsumerProtocolCanBeDisabled(t *testing.T) {
	h := newHarness(t, map[string]string{"group.coordinator.rebalance.protocols": "classic"}, 0)
	equal(t, "heartbeat", h.consumerHeartbeat(1, heartbeatRequest("g", "a", 0)).ErrorCode, kerr.UnsupportedVersion.Code)
}

// TestOffsetsOfConsumerGroups: only a member under its present epoch may commit, or fetch when it says who it is.
func TestOffsetsOfConsumerGroups(t *testing.T) {
	h := newHarness(t, nil, 0)
	events := h.topic("events", 1, 1)
	other := h.topic("other", 1, 1)
	equal(t, "join", h.consumerHeartbeat(1, heartbeatRequest("g", "a", 0)).MemberEpoch, 2)
	commit := func(version int16, member string, epoch int32) int16 {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.MemberID, req.Generation = "g", member, epoch
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset = 7
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "events", TopicID: events.ID, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
		return ask[*kmsg.OffsetCommitResponse](h, version, req).Topics[0].Partitions[0].ErrorCode
	}
	h.versions(8, func(t *testing.T, v int16) {
		want := int16(0)
		if v < 9 {
			want = kerr.UnsupportedVersion.Code
		}
		equal(t, "commit", commit(v, "a", 2), want)
		if v >= 9 {
			equal(t, "earlier epoch", commit(v, "a", 1), kerr.StaleMemberEpoch.Code)
			equal(t, "later epoch", commit(v, "a", 3), kerr.StaleMemberEpoch.Code)
		}
		equal(t, "no member", commit(v, "x", 2), kerr.UnknownMemberID.Code)
		equal(t, "an administrator while there are members", commit(v, "", -1), kerr.UnknownMemberID.Code)
	})
	fetch := func(version int16, group string, member *string, epoch int32) int16 {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberID, g.MemberEpoch = group, member, epoch
		req.Groups = []kmsg.OffsetFetchRequestGroup{g}
		return ask[*kmsg.OffsetFetchResponse](h, version, req).Groups[0].ErrorCode
	}
	for _, v := range []int16{9, 10} {
		equal(t, "fetch", fetch(v, "g", kmsg.StringPtr("a"), 2), 0)
		equal(t, "fetch without saying who", fetch(v, "g", nil, -1), 0)
		equal(t, "fetch with another epoch", fetch(v, "g", kmsg.StringPtr("a"), 3), kerr.StaleMemberEpoch.Code)
		equal(t, "fetch of a stranger", fetch(v, "g", kmsg.StringPtr("x"), 1), kerr.UnknownMemberID.Code)
		equal(t, "fetch of a group that is not there", fetch(v, "nobody", kmsg.StringPtr("x"), 1), 0)
	}

	forget := kmsg.NewPtrOffsetDeleteRequest()
	forget.Group = "g"
	for _, name := range []string{"events", "other"} {
		forget.Topics = append(forget.Topics, kmsg.OffsetDeleteRequestTopic{Topic: name, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}})
	}
	forgot := ask[*kmsg.OffsetDeleteResponse](h, 0, forget)
	equal(t, "forget what is subscribed to", forgot.Topics[0].Partitions[0].ErrorCode, kerr.GroupSubscribedToTopic.Code)
	equal(t, "forget "+other.Name, forgot.Topics[1].Partitions[0].ErrorCode, 0)
}

func TestConsumerGroupsAreListed(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 2, 1)
	equal(t, "join", h.consumerHeartbeat(1, heartbeatRequest("modern", "a", 0)).ErrorCode, 0)
	h.join(0, "classic", "")
	req := kmsg.NewPtrListGroupsRequest()
	req.TypesFilter = []string{"Consumer"}
	listed := ask[*kmsg.ListGroupsResponse](h, 5, req).Groups
	equal(t, "groups", len(listed), 1)
	equal(t, "group", listed[0].Group+" "+listed[0].GroupType+" "+listed[0].ProtocolType+" "+listed[0].GroupState, "modern consumer consumer Stable")
	equal(t, "join", h.consumerHeartbeat(1, heartbeatRequest("modern", "b", 0)).ErrorCode, 0)
	equal(t, "state", ask[*kmsg.ListGroupsResponse](h, 5, req).Groups[0].GroupState, "Assigning")
}

// TestConsumerSeesTopicsOfOtherBrokers: a topic that was created through another broker a moment ago is assigned at once.
func TestConsumerSeesTopicsOfOtherBrokers(t *testing.T) {
	h := newHarness(t, nil, 0)
	other := h.elsewhere()
	_, err := other.CreateTopic(t.Context(), metastore.NewTopic{Name: "events", Partitions: 2})
	must(t, err)
	joined := h.consumerHeartbeat(1, heartbeatRequest("g", "a", 0))
	equal(t, "topics", len(joined.Assignment.Topics), 1)
}
