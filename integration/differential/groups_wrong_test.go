package differential

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// wrongGroupScripts asks what nobody should of groups in every state, and looks at the groups afterwards.
var wrongGroupScripts = []script{{"wrong-groups", func(s *side) {
	s.topic("wrong-groups-topic", 3)
	const topic = "wrong-groups-topic"
	stable := func(group, protocolType string, metadata []byte) string {
		req := joinRequest(group, "", "a", "b")
		req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = protocolType, 60_000, 60_000
		req.Protocols[0].Metadata = metadata
		m := s.main.join("join "+group, 5, req)
		ask[*kmsg.SyncGroupResponse](s, "sync "+group, 3, syncRequest(group, m.MemberID, m.Generation, m.MemberID))
		return m.MemberID
	}
	live := stable("wrong-live", "consumer", subscription(topic))
	worker := stable("wrong-workers", "connect", []byte("config"))
	preparing := stable("wrong-preparing", "consumer", subscription(topic))
	unsynced := joinRequest("wrong-completing", "", "a")
	unsynced.SessionTimeoutMillis, unsynced.RebalanceTimeoutMillis = 60_000, 60_000 // or a busy machine's script finds it gone
	completing := s.main.join("join wrong-completing", 3, unsynced).MemberID
	ask[*kmsg.OffsetCommitResponse](s, "commit to wrong-offsets", 8, commitRequest("wrong-offsets", "", -1, topic, 0, 42))
	for group, member := range map[string]string{"wrong-live": live, "wrong-workers": worker} {
		quiet[*kmsg.OffsetCommitResponse](s, 8, commitRequest(group, member, 1, topic, 0, 42))
	}
	aside := s.dial()
	aside.send(3, joinRequest("wrong-preparing", "", "a", "b"))
	s.until("the rebalance", func() bool {
		return quiet[*kmsg.HeartbeatResponse](s, 3, beatRequest("wrong-preparing", preparing, 1)).ErrorCode == 27
	})
	members := []struct{ group, member string }{
		{"wrong-live", live}, {"wrong-workers", worker}, {"wrong-preparing", preparing}, {"wrong-completing", completing},
		{"wrong-offsets", "nobody"}, {"wrong-unknown", "nobody"},
	}
	for _, m := range members {
		for _, who := range []struct{ name, id string }{{"its member", m.member}, {"nobody", "nobody"}, {"no member", ""}, {"a member of another group", worker}} {
			if m.group == "wrong-workers" && who.id == worker && who.name != "its member" {
				continue
			}
			for _, generation := range []int32{-2, -1, 0, 2, 1<<31 - 1} {
				s.prefix = m.group + "/" + who.name + " in generation " + number(generation) + "/"
				ask[*kmsg.HeartbeatResponse](s, "heartbeat", 4, beatRequest(m.group, who.id, generation))
				ask[*kmsg.SyncGroupResponse](s, "sync", 4, syncRequest(m.group, who.id, generation, who.id))
				if m.group == "wrong-offsets" && generation < 0 {
					continue // this is a commit as good as any
				}
				ask[*kmsg.OffsetCommitResponse](s, "commit", 8, commitRequest(m.group, who.id, generation, topic, 0, 7))
				ask[*kmsg.OffsetCommitResponse](s, "commit, version 9", 9, commitRequest(m.group, who.id, generation, topic, 0, 7))
			}
			s.prefix = m.group + "/" + who.name + "/"
			if who.name != "its member" {
				ask[*kmsg.LeaveGroupResponse](s, "leave", 4, leaveRequest(m.group, who.id))
			}
			if who.id != m.member && who.id != "" {
				ask[*kmsg.JoinGroupResponse](s, "join", 9, joinRequest(m.group, who.id, "a"))
			}
		}
		s.prefix = m.group + "/"
		if m.group == "wrong-offsets" || m.group == "wrong-unknown" {
			continue
		}
		ask[*kmsg.JoinGroupResponse](s, "join of another type", 4, func() *kmsg.JoinGroupRequest {
			req := joinRequest(m.group, "", "a")
			req.ProtocolType = "something else"
			return req
		}())
		ask[*kmsg.JoinGroupResponse](s, "join with nothing in common", 4, joinRequest(m.group, "", "z"))
		remove := kmsg.NewPtrDeleteGroupsRequest()
		remove.Groups = []string{m.group}
		ask[*kmsg.DeleteGroupsResponse](s, "delete", 2, remove)
	}
	s.prefix = ""
	for _, m := range members {
		s.state("afterwards "+m.group, m.group)
		ask[*kmsg.OffsetFetchResponse](s, "offsets afterwards "+m.group, 7, fetchOffsets(m.group, "", [16]byte{}))
	}
	ask[*kmsg.LeaveGroupResponse](s, "leave", 3, leaveRequest("wrong-preparing", preparing))
	receive[*kmsg.JoinGroupResponse](aside, "the other joins")
}}, {"offset-metadata", func(s *side) {
	s.topic("offset-metadata-topic", 1)
	commit := func(label string, v int16, metadata string) {
		req := commitRequest("offset-metadata", "", -1, "offset-metadata-topic", 0, 42)
		req.Topics[0].Partitions[0].Metadata = &metadata
		ask[*kmsg.OffsetCommitResponse](s, label, v, req)
	}
	commit("4096 letters", 7, strings.Repeat("m", 4096))
	commit("4097 letters", 7, strings.Repeat("m", 4097))
	commit("4096 letters of two bytes", 7, strings.Repeat("ä", 4096))
	commit("4097 letters of two bytes", 7, strings.Repeat("ä", 4097))
	commit("2048 letters that are two of Java's", 7, strings.Repeat("😀", 2048))
	commit("2049 letters that are two of Java's", 7, strings.Repeat("😀", 2049))
	ask[*kmsg.OffsetFetchResponse](s, "kept", 7, fetchOffsets("offset-metadata", "", [16]byte{}))
	commit("32767 bytes", 8, strings.Repeat("m", 32767))
	commit("10 MiB", 8, strings.Repeat("m", 10<<20))
	ask[*kmsg.OffsetFetchResponse](s, "kept all the same", 7, fetchOffsets("offset-metadata", "", [16]byte{}))
}}, {"offset-delete-subscribed", func(s *side) {
	// Two protocols with different subscriptions: that of the chosen one counts.
	const group = "offset-delete-subscribed"
	s.topic("topic-of-a", 1)
	s.topic("topic-of-b", 1)
	m := s.main.join("join", 5, joinRequest(group, "", "a", "b"))
	remove := func(label, topic string) {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = group
		req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
		ask[*kmsg.OffsetDeleteResponse](s, label+" "+topic, 0, req)
	}
	remove("completing", "topic-of-a")
	remove("completing", "topic-of-b")
	ask[*kmsg.SyncGroupResponse](s, "sync", 3, syncRequest(group, m.MemberID, m.Generation, m.MemberID))
	for _, topic := range []string{"topic-of-a", "topic-of-b"} {
		ask[*kmsg.OffsetCommitResponse](s, "commit "+topic, 8, commitRequest(group, m.MemberID, m.Generation, topic, 0, 1))
		remove("stable", topic)
	}
	ask[*kmsg.OffsetFetchResponse](s, "left", 7, fetchOffsets(group, "", [16]byte{}))
}}, {"find-coordinators", func(s *side) {
	s.each(kmsg.FindCoordinator, func(v int16) {
		find := func(label string, kind int8, keys ...string) {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorType, req.CoordinatorKeys = kind, keys
			if len(keys) > 0 {
				req.CoordinatorKey = keys[0]
			}
			ask[*kmsg.FindCoordinatorResponse](s, label, v, req)
		}
		find("one", 0, "find-one")
		find("empty", 0, "")
		if v >= 4 {
			find("several", 0, "find-one", "find-two", "find-three")
			find("good and empty", 0, "find-one", "")
			find("none", 0)
		}
		if v >= 1 {
			find("unknown kind", 17, "find-one")
		}
	})
}}}

func number(n int32) string {
	switch n {
	case 1<<31 - 1:
		return "the last"
	case -2:
		return "minus two"
	case -1:
		return "none"
	case 0:
		return "zero"
	default:
		return "two"
	}
}
