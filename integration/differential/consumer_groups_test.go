package differential

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Member ids are made by the clients, as version 1 has it: what the broker makes up cannot be compared in requests.

// modernRequest is a heartbeat that says nothing new, or with epoch 0 a join that subscribes to topics.
func modernRequest(group, member string, epoch int32, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = group, member, epoch
	if epoch == 0 {
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames = 60_000, append([]string{}, topics...)
		req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	return req
}

// owning says what the member owns of a topic.
func owning(req *kmsg.ConsumerGroupHeartbeatRequest, topic [16]byte, partitions ...int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if len(partitions) > 0 {
		req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: topic, Partitions: partitions})
	}
	return req
}

func static(req *kmsg.ConsumerGroupHeartbeatRequest, instance string) *kmsg.ConsumerGroupHeartbeatRequest {
	req.InstanceID = &instance
	return req
}

func (s *side) modern(label string, req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	return ask[*kmsg.ConsumerGroupHeartbeatResponse](s, label, 1, req)
}

// look takes down all that there is to see of a consumer group.
func (s *side) look(label, group string) {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{group}
	ask[*kmsg.ConsumerGroupDescribeResponse](s, label, 1, req)
	s.state(label+", as a classic group", group)
}

var consumerGroupScripts = []script{{"consumer-group", func(s *side) {
	s.each(kmsg.ConsumerGroupHeartbeat, func(v int16) {
		topic, group := s.named("topic"), s.named("group")
		id := s.consumerTopic(topic, 1)
		beat := func(label string, req *kmsg.ConsumerGroupHeartbeatRequest) {
			ask[*kmsg.ConsumerGroupHeartbeatResponse](s, label, v, req)
		}
		beat("unknown group", modernRequest(group, "a", 2))
		beat("join", modernRequest(group, "a", 0, topic))
		beat("join again", modernRequest(group, "a", 0, topic))
		beat("heartbeat", owning(modernRequest(group, "a", 2), id, 0))
		beat("everything again", func() *kmsg.ConsumerGroupHeartbeatRequest {
			req := owning(modernRequest(group, "a", 2), id, 0)
			req.RebalanceTimeoutMillis, req.SubscribedTopicNames = 60_000, []string{topic}
			return req
		}())
		s.look("one member", group)
		beat("later epoch", modernRequest(group, "a", 3))
		beat("earlier epoch", modernRequest(group, "a", 0, topic))
		beat("other member", modernRequest(group, "b", 2))
		beat("other member leaves", modernRequest(group, "b", -1))
		for _, bad := range []struct {
			name  string
			spoil func(*kmsg.ConsumerGroupHeartbeatRequest)
		}{
			{"no group", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }},
			{"empty instance", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = text("") }},
			{"empty rack", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = text("") }},
			{"no timeout", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }},
			{"no partitions", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil }},
			{"partitions", func(r *kmsg.ConsumerGroupHeartbeatRequest) { owning(r, id, 0) }},
			{"no topics", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }},
			{"epoch -3", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 }},
			{"epoch -2", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -2 }},
			{"assignor", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = text("sticky") }},
		} {
			req := modernRequest(group, "c", 0, topic)
			bad.spoil(req)
			beat("bad: "+bad.name, req)
		}
		beat("leave", modernRequest(group, "a", -1))
		s.look("nobody", group)
		beat("leave again", modernRequest(group, "a", -1))
	})
}}, {"consumer-reconcile", func(s *side) {
	topic, group := s.named("topic"), s.named("group")
	id := s.consumerTopic(topic, 4)
	s.modern("first joins", modernRequest(group, "a", 0, topic))
	s.modern("first has them", owning(modernRequest(group, "a", 2), id, 0, 1, 2, 3))
	s.modern("second joins", modernRequest(group, "b", 0, topic))
	s.look("assigning", group)
	s.awaitAssignment(group, "b", 2)
	s.look("reconciling", group)
	told := s.modern("first is told", modernRequest(group, "a", 2))
	if told.Assignment == nil || len(told.Assignment.Topics) != 1 {
		s.fatalf("nothing is taken from the first member")
	}
	keeps := told.Assignment.Topics[0].Partitions
	s.modern("second waits", modernRequest(group, "b", 3))
	s.modern("first has not yet", owning(modernRequest(group, "a", 2), id, 0, 1, 2, 3))
	s.look("first revokes", group)
	s.modern("first confirms", owning(modernRequest(group, "a", 2), id, keeps...))
	s.modern("the answer was lost", owning(modernRequest(group, "a", 2), id, keeps...))
	s.modern("more than it may have, and late", owning(modernRequest(group, "a", 2), id, 0, 1, 2, 3))
	s.modern("second gets its own", modernRequest(group, "b", 3))
	s.look("stable", group)
	commit := func(label string, member string, epoch int32) {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.MemberID, req.Generation = group, member, epoch
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition = keeps[0]
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
		ask[*kmsg.OffsetCommitResponse](s, label, 9, req)
	}
	commit("commit", "a", 3)
	commit("commit with a later epoch", "a", 4)
	commit("commit of a stranger", "x", 3)
	commit("commit of nobody", "", -1)
	for _, v := range []int16{2, 8} {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.MemberID, req.Generation = group, "a", 3
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{kmsg.NewOffsetCommitRequestTopicPartition()}}}
		s.at(kmsg.OffsetCommit, []int16{v}, func(v int16) { ask[*kmsg.OffsetCommitResponse](s, "commit", v, req) })
	}
	fetch := func(label string, member *string, epoch int32) {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberID, g.MemberEpoch = group, member, epoch
		req.Groups = []kmsg.OffsetFetchRequestGroup{g}
		ask[*kmsg.OffsetFetchResponse](s, label, 9, req)
	}
	fetch("fetch", text("a"), 3)
	fetch("fetch without a name", nil, -1)
	fetch("fetch with an earlier epoch", text("a"), 2)
	fetch("fetch of a stranger", text("x"), 3)
	forget := kmsg.NewPtrOffsetDeleteRequest()
	forget.Group = group
	forget.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: keeps[0]}}}}
	ask[*kmsg.OffsetDeleteResponse](s, "forget what is subscribed to", 0, forget)
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{group}
	ask[*kmsg.DeleteGroupsResponse](s, "delete with members", 2, remove)
	s.modern("first leaves", modernRequest(group, "a", -1))
	s.look("to be assigned", group)
	s.awaitAssignment(group, "b", 3)
	s.look("assigned to the second", group)
	s.pause()
	s.modern("second asks for nothing", func() *kmsg.ConsumerGroupHeartbeatRequest {
		req := modernRequest(group, "b", 4)
		req.SubscribedTopicNames = []string{}
		return req
	}())
	s.look("unsubscribed", group)
	s.modern("second gives up", owning(modernRequest(group, "b", 4), id))
	s.look("and has", group)
	s.modern("second leaves", modernRequest(group, "b", -1))
	ask[*kmsg.DeleteGroupsResponse](s, "delete", 2, remove)
	s.look("gone", group)
}}, {"consumer-static", func(s *side) {
	topic, group := s.named("topic"), s.named("group")
	id := s.consumerTopic(topic, 1)
	s.modern("join", static(modernRequest(group, "a", 0, topic), "i"))
	s.modern("heartbeat", static(owning(modernRequest(group, "a", 2), id, 0), "i"))
	s.modern("its instance is in use", static(modernRequest(group, "b", 0, topic), "i"))
	s.modern("it is fenced", static(modernRequest(group, "b", 2), "i"))
	s.modern("another may not send it away", static(modernRequest(group, "b", -2), "i"))
	s.modern("unknown instance", static(modernRequest(group, "a", 2), "j"))
	s.modern("leaves for a while", static(modernRequest(group, "a", -2), "i"))
	s.look("away", group)
	s.modern("it has left", static(modernRequest(group, "a", 2), "i"))
	s.modern("comes back", static(modernRequest(group, "b", 0, topic), "i"))
	s.look("back", group)
	s.modern("the one before", static(owning(modernRequest(group, "a", 2), id, 0), "i"))
	s.modern("the one before, without its instance", owning(modernRequest(group, "a", 2), id, 0))
	s.modern("leaves for good", static(modernRequest(group, "b", -1), "i"))
	s.look("gone", group)
}}, {"consumer-regex", func(s *side) {
	topic, group := s.named("topic"), s.named("group")
	s.consumerTopic(topic, 1)
	join := modernRequest(group, "a", 0)
	join.SubscribedTopicNames = nil
	for _, regex := range []string{"(", "a)|(b", "(?=a)", `(a)\1`} {
		join.SubscribedTopicRegex = text(regex)
		s.modern("bad: "+regex, join)
	}
	s.look("nobody", group)
	join.SubscribedTopicRegex = text(topic + ".*")
	s.modern("join", join)
	s.modern("leave", modernRequest(group, "a", -1))
}}, {"consumer-migration", func(s *side) {
	group := s.named("group")
	topic := s.topicForAssignors(4)
	c := s.dial()
	first := c.join("classic", 9, joinRequest(group, "", "range"))
	classic := first.MemberID
	s.main.send(9, joinRequest(group, "", "connectors"))
	sync := syncRequest(group, classic, first.Generation)
	sync.Protocol = text("range")
	_ = receive[*kmsg.JoinGroupResponse](s.main, "one that shares no assignor")
	ask[*kmsg.SyncGroupResponse](s, "nothing is assigned", 5, sync)
	s.modern("bad assignor", func() *kmsg.ConsumerGroupHeartbeatRequest {
		req := modernRequest(group, "m", 0, topic)
		req.ServerAssignor = text("sticky")
		return req
	}())
	s.state("still classic", group)
	s.modern("not a member of a classic group", modernRequest(group, "m", 1))
	s.modern("upgrades", modernRequest(group, "m", 0, topic))
	beat := func(label string, generation int32) {
		ask[*kmsg.HeartbeatResponse](s, label, 4, beatRequest(group, classic, generation))
	}
	beat("classic is to join again", first.Generation)
	beat("classic, with another generation", first.Generation+5)
	ask[*kmsg.SyncGroupResponse](s, "classic syncs too early", 5, sync)
	again := ask[*kmsg.JoinGroupResponse](s, "classic joins again", 9, joinRequest(group, classic, "range"))
	sync.Generation = again.Generation
	ask[*kmsg.SyncGroupResponse](s, "classic syncs", 5, sync)
	beat("classic has joined", again.Generation)
	wrong := joinRequest(group, "", "range")
	wrong.ProtocolType = "connect"
	ask[*kmsg.JoinGroupResponse](s, "another type of protocol", 9, wrong)
	ask[*kmsg.JoinGroupResponse](s, "another assignor", 9, joinRequest(group, classic+"x", "sticky"))
	ask[*kmsg.HeartbeatResponse](s, "a consumer does not send classic heartbeats", 4, beatRequest(group, "m", again.Generation))
	ask[*kmsg.LeaveGroupResponse](s, "downgrades: LeaveGroup removes the last consumer", 4, leaveRequest(group, "m"))
	beat("classic is to join the classic group", again.Generation)
	ask[*kmsg.JoinGroupResponse](s, "classic joins", 9, joinRequest(group, classic, "range"))
	ask[*kmsg.LeaveGroupResponse](s, "classic leaves", 4, leaveRequest(group, classic))
	s.modern("an empty group", modernRequest(group, "m", 0, topic))
	s.modern("leaves", modernRequest(group, "m", -1))
	wrong.Group = group
	_ = c.join("an empty group, of another type", 9, wrong)
}}}

// awaitAssignment sends heartbeats of a member until there is a target for the group's epoch and the member knows: Kafka computes
// one a second, beside the heartbeats. The member says nothing of what it owns, so it must be one that loses nothing.
func (s *side) awaitAssignment(group, member string, epoch int32) {
	describe := kmsg.NewPtrConsumerGroupDescribeRequest()
	describe.Groups = []string{group}
	s.until("an assignment", func() bool {
		epoch = quiet[*kmsg.ConsumerGroupHeartbeatResponse](s, 1, modernRequest(group, member, epoch)).MemberEpoch
		return epoch == quiet[*kmsg.ConsumerGroupDescribeResponse](s, 1, describe).Groups[0].Epoch
	})
}

// consumerTopic makes a topic that the group coordinator knows: Kafka's hears of it a moment later than clients do.
func (s *side) consumerTopic(name string, partitions int32) [16]byte {
	id := s.topic(name, partitions)
	s.pause()
	return id
}

// pause is until another assignment may be computed.
func (s *side) pause() { time.Sleep(1100 * time.Millisecond) }

// topicForAssignors is the topic that consumers with the assignor range subscribe to.
func (s *side) topicForAssignors(partitions int32) string {
	const name = "topic-of-range"
	s.consumerTopic(name, partitions)
	return name
}
