package differential

import "github.com/twmb/franz-go/pkg/kmsg"

// wrongConsumerGroupScripts asks what nobody should of groups of the consumer protocol, and looks at the groups afterwards.
var wrongConsumerGroupScripts = []script{{"wrong-consumer-groups", func(s *side) {
	topic, group, garbage := s.named("topic"), s.named("group"), s.named("garbage")
	id := s.consumerTopic(topic, 2)
	s.modern("join", modernRequest(group, "a", 0, topic))
	s.modern("has them", owning(modernRequest(group, "a", 2), id, 0, 1))

	bad := func(group, member string, metadata []byte) *kmsg.JoinGroupRequest {
		req := joinRequest(group, member, "range")
		req.Protocols[0].Metadata = metadata
		return req
	}
	for _, c := range []struct {
		name     string
		metadata []byte
	}{
		{"no bytes", nil}, {"garbage", []byte("\x00\x01\x7f\xff\xff\xff")}, {"a negative version", []byte("\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff")},
		{"half", subscription(topic)[:7]}, {"no user data", subscription(topic)[:6+2+len(topic)]},
	} {
		ask[*kmsg.JoinGroupResponse](s, "a classic member says "+c.name, 9, bad(group, "x", c.metadata))
		ask[*kmsg.JoinGroupResponse](s, "a classic member without id says "+c.name, 3, bad(group, "", c.metadata))
	}
	m := s.main.join("classic", 9, bad(garbage, "", subscription(topic)[:7]))
	ask[*kmsg.SyncGroupResponse](s, "classic syncs", 3, syncRequest(garbage, m.MemberID, m.Generation, m.MemberID))
	s.modern("a group that cannot be read is not upgraded", modernRequest(garbage, "n", 0, topic))
	s.state("it is as it was", garbage)

	for _, who := range []struct{ name, id string }{{"its member", "a"}, {"nobody", "nobody"}, {"no member", ""}} {
		for _, epoch := range []int32{-2, -1, 0, 1, 3, 1<<31 - 1} {
			s.prefix = who.name + " in epoch " + string(rune('a'+epoch%20+2)) + "/"
			ask[*kmsg.HeartbeatResponse](s, "heartbeat", 4, beatRequest(group, who.id, epoch))
			ask[*kmsg.SyncGroupResponse](s, "sync", 4, syncRequest(group, who.id, epoch, who.id))
			ask[*kmsg.OffsetCommitResponse](s, "commit", 8, commitRequest(group, who.id, epoch, topic, 0, 7))
			ask[*kmsg.OffsetCommitResponse](s, "commit, version 9", 9, commitRequest(group, who.id, epoch, topic, 0, 7))
			req := kmsg.NewPtrOffsetFetchRequest()
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group, g.MemberID, g.MemberEpoch = group, text(who.id), epoch
			req.Groups = []kmsg.OffsetFetchRequestGroup{g}
			ask[*kmsg.OffsetFetchResponse](s, "fetch", 9, req)
		}
		if who.id != "a" {
			ask[*kmsg.LeaveGroupResponse](s, who.name+" leaves", 4, leaveRequest(group, who.id))
		}
	}
	s.prefix = ""
	ask[*kmsg.OffsetCommitResponse](s, "commit to an unknown topic", 9, commitRequest(group, "a", 2, "missing", 0, 7))
	ask[*kmsg.OffsetCommitResponse](s, "commit to an unknown partition", 9, commitRequest(group, "a", 2, topic, 2, 7))
	wrong := joinRequest(group, "", "range")
	wrong.ProtocolType = "connect"
	ask[*kmsg.JoinGroupResponse](s, "a worker joins", 9, wrong)
	ask[*kmsg.JoinGroupResponse](s, "one without protocols joins", 9, joinRequest(group, ""))
	s.look("afterwards", group)
	ask[*kmsg.OffsetFetchResponse](s, "nothing is committed", 7, fetchOffsets(group, topic, id, 0, 1))
	s.modern("the member goes on", owning(modernRequest(group, "a", 2), id, 0, 1))
}}, {"consumer-commits-of-earlier-epochs", func(s *side) {
	topic, group := s.named("topic"), s.named("group")
	id := s.consumerTopic(topic, 4)
	s.modern("first joins", modernRequest(group, "a", 0, topic))
	s.modern("first has them", owning(modernRequest(group, "a", 2), id, 0, 1, 2, 3))
	s.modern("second joins", modernRequest(group, "b", 0, topic))
	s.awaitAssignment(group, "b", 2)
	told := s.modern("first is told", modernRequest(group, "a", 2))
	keeps := told.Assignment.Topics[0].Partitions
	s.modern("first confirms", owning(modernRequest(group, "a", 2), id, keeps...))
	got := s.modern("second gets its own", modernRequest(group, "b", 3))
	for _, epoch := range []int32{-1, 0, 1, 2, 3, 4} {
		s.prefix = "in epoch " + string(rune('a'+epoch+1)) + "/"
		ask[*kmsg.OffsetCommitResponse](s, "of the first, what it keeps", 9, commitRequest(group, "a", epoch, topic, keeps[0], 7))
		ask[*kmsg.OffsetCommitResponse](s, "of the second, what it got", 9, commitRequest(group, "b", epoch, topic, got.Assignment.Topics[0].Partitions[0], 7))
	}
	s.prefix = ""
}}}
