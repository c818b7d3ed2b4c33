package differential

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// protocols are assignment protocols, each with a subscription: Kafka's coordinator never answers a join of a consumer
// whose metadata is something else.
func protocols(names ...string) (all []kmsg.JoinGroupRequestProtocol) {
	for _, name := range names {
		all = append(all, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: subscription("topic-of-" + name)})
	}
	return all
}

func joinRequest(group, member string, names ...string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 10_000
	req.Protocols = protocols(names...)
	return req
}

// join joins a group on a connection: at version 4 and later in two steps, of which the first names the member.
func (c *conn) join(label string, v int16, req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	if v >= 4 && req.MemberID == "" && req.InstanceID == nil {
		req.MemberID = askOn[*kmsg.JoinGroupResponse](c, label+", first step", v, req).MemberID
	}
	return askOn[*kmsg.JoinGroupResponse](c, label, v, req)
}

func syncRequest(group, member string, generation int32, assignments ...string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	req.ProtocolType, req.Protocol = text("consumer"), text("a")
	for _, m := range assignments {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m, MemberAssignment: []byte("assignment")})
	}
	return req
}

func beatRequest(group, member string, generation int32) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	return req
}

func leaveRequest(group string, members ...string) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, m := range members {
		req.MemberID = m
		req.Members = append(req.Members, kmsg.LeaveGroupRequestMember{MemberID: m})
	}
	return req
}

func describeRequest(groups ...string) *kmsg.DescribeGroupsRequest {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = groups
	return req
}

// state takes down what a group looks like.
func (s *side) state(label, group string) {
	ask[*kmsg.DescribeGroupsResponse](s, label, 4, describeRequest(group))
}

// upTo is a version of an API that belongs to one of another.
func (s *side) upTo(key kmsg.Key, v int16) int16 {
	versions := s.versions[int16(key)]
	return max(versions[0], min(v, versions[len(versions)-1]))
}

var joinScripts = []script{{"join-group", func(s *side) {
	s.each(kmsg.JoinGroup, func(v int16) {
		join := func(label string, req *kmsg.JoinGroupRequest) {
			ask[*kmsg.JoinGroupResponse](s, label, v, req)
		}
		group := s.named("refusing")
		change := func(change func(r *kmsg.JoinGroupRequest)) *kmsg.JoinGroupRequest {
			req := joinRequest(group, "", "a")
			change(req)
			return req
		}
		join("empty group", joinRequest("", "", "a"))
		join("unknown member", joinRequest(group, "nobody", "a"))
		join("session timeout too short", change(func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 }))
		join("session timeout too long", change(func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 }))
		join("session timeout negative", change(func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = -1 }))
		join("no protocols", change(func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }))
		join("no protocol type", change(func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }))
		if v >= 5 {
			join("unknown member with an instance", change(func(r *kmsg.JoinGroupRequest) { r.MemberID, r.InstanceID = "nobody", text("i") }))
			join("empty instance", change(func(r *kmsg.JoinGroupRequest) { r.InstanceID = text("") }))
			join("bad instance", change(func(r *kmsg.JoinGroupRequest) { r.InstanceID = text("a b") }))
			join("instance of two dots", change(func(r *kmsg.JoinGroupRequest) { r.InstanceID = text("..") }))
		}
		s.state("refused all", group)

		group = s.named("one")
		one := s.main.join("one", v, joinRequest(group, "", "a", "b"))
		s.state("one joined", group)
		join("other protocol type", change(func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }))
		join("no common protocol", joinRequest(group, "", "c"))
		join("no protocols, group with members", joinRequest(group, ""))
		join("unknown member of a group", joinRequest(group, "nobody", "a"))
		ask[*kmsg.SyncGroupResponse](s, "sync", s.upTo(kmsg.SyncGroup, v/2), syncRequest(group, one.MemberID, one.Generation, one.MemberID))
		s.state("one stable", group)
		s.main.join("leader joins again", v, joinRequest(group, one.MemberID, "a", "b"))
		s.state("leader joined again", group)
		s.main.join("leader joins with other protocols", v, joinRequest(group, one.MemberID, "c"))
		ask[*kmsg.LeaveGroupResponse](s, "leave", s.upTo(kmsg.LeaveGroup, v/2), leaveRequest(group, one.MemberID))
		s.state("left", group)
		s.main.join("another, after all left", v, joinRequest(group, "", "d"))
	})
}}}

var groupScripts = []script{{"group", func(s *side) {
	s.at(kmsg.JoinGroup, []int16{0, 2, 4, 5, 7, 9}, func(v int16) {
		vSync, vBeat, vLeave := s.upTo(kmsg.SyncGroup, v/2+v%2), s.upTo(kmsg.Heartbeat, v/2), s.upTo(kmsg.LeaveGroup, v/2+v%2)
		group := s.named("group")
		sync := func(label string, req *kmsg.SyncGroupRequest) {
			ask[*kmsg.SyncGroupResponse](s, label, vSync, req)
		}
		beat := func(label, member string, generation int32) {
			ask[*kmsg.HeartbeatResponse](s, label, vBeat, beatRequest(group, member, generation))
		}
		leave := func(label string, req *kmsg.LeaveGroupRequest) {
			ask[*kmsg.LeaveGroupResponse](s, label, vLeave, req)
		}
		beat("heartbeat of an unknown group", "nobody", 1)
		ask[*kmsg.HeartbeatResponse](s, "heartbeat of the empty group", vBeat, beatRequest("", "nobody", 1))
		sync("sync of an unknown group", syncRequest(group, "nobody", 1))
		sync("sync of the empty group", syncRequest("", "nobody", 1))
		leave("leave of an unknown group", leaveRequest(group, "nobody"))
		leave("leave of the empty group", leaveRequest("", "nobody"))
		leave("leave of nobody", leaveRequest(group))

		c1, c2 := s.dial(), s.dial()
		m1 := c1.join("first joins", v, joinRequest(group, "", "a", "b"))
		beat("heartbeat before sync", m1.MemberID, m1.Generation)
		sync("sync of nobody", syncRequest(group, "nobody", m1.Generation))
		sync("sync of the wrong generation", syncRequest(group, m1.MemberID, m1.Generation+5))
		if vSync >= 5 {
			wrong := syncRequest(group, m1.MemberID, m1.Generation)
			wrong.ProtocolType = text("connect")
			sync("sync with another protocol type", wrong)
			wrong = syncRequest(group, m1.MemberID, m1.Generation)
			wrong.Protocol = text("b")
			sync("sync with another protocol", wrong)
			wrong.Protocol, wrong.ProtocolType = nil, nil
			sync("sync without protocol and type", wrong)
		}
		sync("first syncs", syncRequest(group, m1.MemberID, m1.Generation, m1.MemberID, "stranger"))
		sync("first syncs again", syncRequest(group, m1.MemberID, m1.Generation))
		beat("heartbeat", m1.MemberID, m1.Generation)
		beat("heartbeat of an old generation", m1.MemberID, m1.Generation-1)
		beat("heartbeat of a future generation", m1.MemberID, m1.Generation+1)
		beat("heartbeat of generation -1", m1.MemberID, -1)
		beat("heartbeat of nobody", "nobody", m1.Generation)
		beat("heartbeat of the empty member", "", m1.Generation)
		s.state("stable", group)

		// The second joins: the first is told, joins again, and both get the new generation.
		second := joinRequest(group, "", "b", "a")
		if v >= 4 {
			second.MemberID = askOn[*kmsg.JoinGroupResponse](c2, "second joins, first step", v, second).MemberID
			s.state("with a pending member", group)
		}
		c2.send(v, second)
		s.until("the rebalance", func() bool {
			return quiet[*kmsg.HeartbeatResponse](s, vBeat, beatRequest(group, m1.MemberID, m1.Generation)).ErrorCode == 27
		})
		beat("heartbeat in the rebalance", m1.MemberID, m1.Generation)
		sync("sync in the rebalance", syncRequest(group, m1.MemberID, m1.Generation))
		s.state("in the rebalance", group)
		c1.send(v, joinRequest(group, m1.MemberID, "a", "b"))
		m1 = receive[*kmsg.JoinGroupResponse](c1, "first joins again")
		m2 := receive[*kmsg.JoinGroupResponse](c2, "second joins")
		s.state("completing", group)
		c2.send(vSync, syncRequest(group, m2.MemberID, m2.Generation))
		c1.send(vSync, syncRequest(group, m1.MemberID, m1.Generation, m1.MemberID))
		receive[*kmsg.SyncGroupResponse](c1, "leader syncs")
		receive[*kmsg.SyncGroupResponse](c2, "follower syncs, nothing assigned")
		s.state("two members", group)
		c2.join("follower joins again unchanged", v, joinRequest(group, m2.MemberID, "b", "a"))
		ask[*kmsg.JoinGroupResponse](s, "no protocol of all", v, joinRequest(group, "", "c"))
		leave("second leaves", leaveRequest(group, m2.MemberID))
		leave("second leaves again", leaveRequest(group, m2.MemberID))
		if vLeave >= 3 {
			leave("several leave", leaveRequest(group, "nobody", m1.MemberID, "stranger"))
		} else {
			leave("first leaves", leaveRequest(group, m1.MemberID))
		}
		s.state("all left", group)
		beat("heartbeat after leaving", m1.MemberID, m1.Generation)
	})
}}, {"member-id-required", func(s *side) {
	group := "member-id-required"
	first := ask[*kmsg.JoinGroupResponse](s, "first step", 5, joinRequest(group, "", "a"))
	ask[*kmsg.SyncGroupResponse](s, "sync of a pending member", 3, syncRequest(group, first.MemberID, 0))
	ask[*kmsg.HeartbeatResponse](s, "heartbeat of a pending member", 3, beatRequest(group, first.MemberID, 0))
	ask[*kmsg.HeartbeatResponse](s, "heartbeat of a pending member, generation -1", 3, beatRequest(group, first.MemberID, -1))
	ask[*kmsg.LeaveGroupResponse](s, "leave of a pending member", 3, leaveRequest(group, first.MemberID))
	ask[*kmsg.JoinGroupResponse](s, "join after leaving", 5, joinRequest(group, first.MemberID, "a"))
}}, {"session-expires", func(s *side) {
	group := "session-expires"
	req := joinRequest(group, "", "a")
	req.SessionTimeoutMillis = 6000
	m := s.main.join("join", 5, req)
	ask[*kmsg.SyncGroupResponse](s, "sync", 3, syncRequest(group, m.MemberID, m.Generation, m.MemberID))
	s.until("the end of the session", func() bool {
		return quiet[*kmsg.DescribeGroupsResponse](s, 4, describeRequest(group)).Groups[0].State == "Empty"
	})
	s.state("expired", group)
	ask[*kmsg.HeartbeatResponse](s, "heartbeat of the expired", 3, beatRequest(group, m.MemberID, m.Generation))
	ask[*kmsg.JoinGroupResponse](s, "join of the expired", 5, joinRequest(group, m.MemberID, "a"))
}}}

var staticScripts = []script{{"static-members", func(s *side) {
	s.at(kmsg.JoinGroup, []int16{5, 7, 9}, func(v int16) {
		vSync, vBeat, vLeave := s.upTo(kmsg.SyncGroup, v/2+1), s.upTo(kmsg.Heartbeat, v/2+1), s.upTo(kmsg.LeaveGroup, v/2+1)
		group := s.named("group")
		static := func(instance, member string, names ...string) *kmsg.JoinGroupRequest {
			req := joinRequest(group, member, names...)
			req.InstanceID = &instance
			return req
		}
		leave := func(label string, members ...kmsg.LeaveGroupRequestMember) {
			req := leaveRequest(group)
			req.Members = members
			ask[*kmsg.LeaveGroupResponse](s, label, vLeave, req)
		}
		sync := func(label string, instance *string, member string, generation int32, assignments ...string) {
			req := syncRequest(group, member, generation, assignments...)
			req.InstanceID = instance
			ask[*kmsg.SyncGroupResponse](s, label, vSync, req)
		}
		beat := func(label string, instance *string, member string, generation int32) {
			req := beatRequest(group, member, generation)
			req.InstanceID = instance
			ask[*kmsg.HeartbeatResponse](s, label, vBeat, req)
		}
		one := ask[*kmsg.JoinGroupResponse](s, "joins", v, static("one", "", "a"))
		sync("syncs", text("one"), one.MemberID, one.Generation, one.MemberID)
		s.state("stable", group)
		beat("heartbeat", text("one"), one.MemberID, one.Generation)
		beat("heartbeat without the instance", nil, one.MemberID, one.Generation)
		beat("heartbeat of another instance", text("other"), one.MemberID, one.Generation)
		beat("heartbeat of the wrong member", text("one"), "nobody", one.Generation)
		again := ask[*kmsg.JoinGroupResponse](s, "comes back", v, static("one", "", "a"))
		s.state("came back", group)
		sync("syncs after coming back", text("one"), again.MemberID, again.Generation, again.MemberID)
		beat("heartbeat of the fenced", text("one"), one.MemberID, again.Generation)
		beat("heartbeat of the fenced without the instance", nil, one.MemberID, again.Generation)
		sync("sync of the fenced", text("one"), one.MemberID, again.Generation)
		ask[*kmsg.JoinGroupResponse](s, "join of the fenced", v, static("one", one.MemberID, "a"))
		commit := commitRequest(group, one.MemberID, again.Generation, "static-members-topic", 0, 5)
		commit.InstanceID = text("one")
		ask[*kmsg.OffsetCommitResponse](s, "commit of the fenced", 7, commit)
		commit = commitRequest(group, again.MemberID, again.Generation, "static-members-topic", 0, 5)
		commit.InstanceID = text("other")
		ask[*kmsg.OffsetCommitResponse](s, "commit of another instance", 7, commit)
		leave("leave of another instance", kmsg.LeaveGroupRequestMember{InstanceID: text("other")})
		leave("leave of the fenced", kmsg.LeaveGroupRequestMember{InstanceID: text("one"), MemberID: one.MemberID})
		leave("leave with a member only", kmsg.LeaveGroupRequestMember{MemberID: "nobody"})
		changed := ask[*kmsg.JoinGroupResponse](s, "comes back with other protocols", v, static("one", "", "b", "a"))
		s.state("came back with other protocols", group)
		leave("leave", kmsg.LeaveGroupRequestMember{InstanceID: text("one")})
		beat("heartbeat after leaving", text("one"), changed.MemberID, changed.Generation)
		s.state("left", group)
	})
}}}

func commitRequest(group, member string, generation int32, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, offset, text(fmt.Sprint("metadata ", offset))
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}
