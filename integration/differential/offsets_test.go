package differential

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchOffsets asks for offsets of a group; no partitions is all.
func fetchOffsets(group, topic string, id [16]byte, partitions ...int32) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	if partitions != nil {
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: topic, Partitions: partitions})
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, TopicID: id, Partitions: partitions})
	}
	req.Groups = append(req.Groups, g)
	return req
}

var offsetScripts = []script{{"offsets", func(s *side) {
	id := s.topic("offsets-topic", 3)
	two := s.topic("offsets-two", 1)
	s.at(kmsg.OffsetCommit, []int16{2, 5, 6, 8, 9, 10}, func(v int16) {
		group := s.named("group")
		commitAs := func(label, member string, generation int32, change func(r *kmsg.OffsetCommitRequest)) {
			req := commitRequest(group, member, generation, "offsets-topic", 0, 42)
			req.Topics[0].TopicID = id
			change(req)
			ask[*kmsg.OffsetCommitResponse](s, label, v, req)
		}
		commit := func(label string, change func(r *kmsg.OffsetCommitRequest)) { commitAs(label, "", -1, change) }
		as := func(*kmsg.OffsetCommitRequest) {}
		row := func(r *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitRequestTopicPartition {
			return &r.Topics[0].Partitions[0]
		}
		commitAs("unknown group, generation 1", "nobody", 1, as)
		commitAs("unknown group, generation 1, no member", "", 1, as)
		commitAs("unknown group, generation -1, a member", "nobody", -1, as)
		commit("simple", as)
		commitAs("standalone group, generation 1", "nobody", 1, as)
		commitAs("standalone group, generation -1, a member", "nobody", -1, as)
		commit("null metadata", func(r *kmsg.OffsetCommitRequest) { row(r).Metadata, row(r).Partition = nil, 1 })
		commit("metadata of 4096 bytes", func(r *kmsg.OffsetCommitRequest) { row(r).Metadata = text(strings.Repeat("m", 4096)) })
		commit("metadata of 4097 bytes", func(r *kmsg.OffsetCommitRequest) { row(r).Metadata = text(strings.Repeat("m", 4097)) })
		commit("one good, one with too much metadata", func(r *kmsg.OffsetCommitRequest) {
			other := commitRequest("", "", 0, "", 2, 7).Topics[0].Partitions[0]
			row(r).Metadata = text(strings.Repeat("m", 4097))
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, other)
		})
		commit("negative offset", func(r *kmsg.OffsetCommitRequest) { row(r).Offset = -1 })
		commit("very negative offset", func(r *kmsg.OffsetCommitRequest) { row(r).Offset = -99 })
		commit("leader epoch", func(r *kmsg.OffsetCommitRequest) { row(r).LeaderEpoch = 3 })
		commit("unknown topic", func(r *kmsg.OffsetCommitRequest) {
			r.Topics[0].Topic, r.Topics[0].TopicID = "offsets-unknown", madeUpID
		})
		commit("bad topic", func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic, r.Topics[0].TopicID = "a b", madeUpID })
		commit("empty topic", func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic, r.Topics[0].TopicID = "", [16]byte{} })
		commit("unknown partition", func(r *kmsg.OffsetCommitRequest) { row(r).Partition = 9 })
		commit("negative partition", func(r *kmsg.OffsetCommitRequest) { row(r).Partition = -1 })
		commit("one good, one unknown topic", func(r *kmsg.OffsetCommitRequest) {
			t := commitRequest("", "", 0, "offsets-unknown", 0, 7).Topics[0]
			t.TopicID = madeUpID
			r.Topics = append(r.Topics, t)
		})
		commit("same partition twice", func(r *kmsg.OffsetCommitRequest) {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, commitRequest("", "", 0, "", 0, 43).Topics[0].Partitions...)
		})
		commit("retention", func(r *kmsg.OffsetCommitRequest) { r.RetentionTimeMillis = 1000 })
		commit("no topics", func(r *kmsg.OffsetCommitRequest) { r.Topics = nil })
		commit("no partitions", func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions = nil })
		ask[*kmsg.OffsetFetchResponse](s, "committed", 7, fetchOffsets(group, "", id))
		s.state("standalone", group)

		m := s.main.join("join", 5, joinRequest(group, "", "a"))
		commitAs("before sync", m.MemberID, m.Generation, as)
		ask[*kmsg.SyncGroupResponse](s, "sync", 3, syncRequest(group, m.MemberID, m.Generation, m.MemberID))
		commitAs("member", m.MemberID, m.Generation, as)
		commitAs("old generation", m.MemberID, m.Generation-1, as)
		commitAs("future generation", m.MemberID, m.Generation+1, as)
		commitAs("member, generation -1", m.MemberID, -1, as)
		commitAs("unknown member", "nobody", m.Generation, as)
		commit("simple, with members", as)
		if v >= 7 {
			commitAs("unknown instance", m.MemberID, m.Generation, func(r *kmsg.OffsetCommitRequest) { r.InstanceID = text("i") })
		}
	})
	const group = "offsets-group"
	setup := commitRequest(group, "", -1, "offsets-topic", 0, 42)
	setup.Topics[0].Partitions = append(setup.Topics[0].Partitions, commitRequest("", "", 0, "", 2, 7).Topics[0].Partitions...)
	setup.Topics = append(setup.Topics, commitRequest("", "", 0, "offsets-two", 0, 1).Topics...)
	ask[*kmsg.OffsetCommitResponse](s, "setup", 8, setup)
	s.at(kmsg.OffsetFetch, []int16{1, 2, 3, 5, 7, 8, 9, 10}, func(v int16) {
		get := func(label string, req *kmsg.OffsetFetchRequest) {
			ask[*kmsg.OffsetFetchResponse](s, label, v, req)
		}
		get("some", fetchOffsets(group, "offsets-topic", id, 0, 1, 2))
		get("unknown partition", fetchOffsets(group, "offsets-topic", id, 9, -1))
		get("unknown topic", fetchOffsets(group, "offsets-unknown", madeUpID, 0))
		get("empty topic", fetchOffsets(group, "", [16]byte{}, 0))
		get("same partition twice", fetchOffsets(group, "offsets-topic", id, 0, 0))
		get("unknown group", fetchOffsets("offsets-unknown", "offsets-topic", id, 0))
		get("empty group", fetchOffsets("", "offsets-topic", id, 0))
		get("no partitions", func() *kmsg.OffsetFetchRequest {
			req := fetchOffsets(group, "offsets-topic", id, 0)
			req.Topics[0].Partitions, req.Groups[0].Topics[0].Partitions = nil, nil
			return req
		}())
		if v >= 2 {
			get("all", fetchOffsets(group, "", id))
			get("all of an unknown group", fetchOffsets("offsets-unknown", "", id))
		}
		get("no topics", func() *kmsg.OffsetFetchRequest {
			req := fetchOffsets(group, "", id)
			req.Topics, req.Groups[0].Topics = []kmsg.OffsetFetchRequestTopic{}, []kmsg.OffsetFetchRequestGroupTopic{}
			return req
		}())
		if v >= 7 {
			stable := fetchOffsets(group, "offsets-topic", id, 0)
			stable.RequireStable = true
			get("stable", stable)
		}
		if v >= 8 {
			many := fetchOffsets(group, "offsets-topic", id, 0)
			many.Groups = append(many.Groups, fetchOffsets("offsets-unknown", "offsets-two", two, 0).Groups...)
			many.Groups = append(many.Groups, fetchOffsets("", "offsets-two", two, 0).Groups...)
			get("several groups", many)
			get("same group twice", func() *kmsg.OffsetFetchRequest {
				req := fetchOffsets(group, "offsets-topic", id, 0)
				req.Groups = append(req.Groups, req.Groups[0])
				return req
			}())
			get("no groups", func() *kmsg.OffsetFetchRequest {
				req := fetchOffsets(group, "offsets-topic", id, 0)
				req.Groups = nil
				return req
			}())
		}
		if v >= 9 {
			member := fetchOffsets(group, "offsets-topic", id, 0)
			member.Groups[0].MemberID, member.Groups[0].MemberEpoch = text("nobody"), 3
			get("unknown member", member)
		}
	})
}}}

// subscription is what consumers say in a JoinGroup: the topics that they want.
func subscription(topics ...string) []byte {
	b := []byte{0, 0}
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(t))), t...)
	}
	return binary.BigEndian.AppendUint32(b, 0xffffffff)
}

var groupAdminScripts = []script{{"group-admin", func(s *side) {
	s.topic("group-admin-topic", 2)
	s.topic("group-admin-other", 1)
	const live, offsets = "group-admin-live", "group-admin-offsets"
	join := joinRequest(live, "", "a")
	join.Protocols[0].Metadata = subscription("group-admin-topic")
	m := s.main.join("join", 5, join)
	ask[*kmsg.SyncGroupResponse](s, "sync", 3, syncRequest(live, m.MemberID, m.Generation, m.MemberID))
	for _, topic := range []string{"group-admin-topic", "group-admin-other"} {
		ask[*kmsg.OffsetCommitResponse](s, "commit of a member "+topic, 8, commitRequest(live, m.MemberID, m.Generation, topic, 0, 3))
		ask[*kmsg.OffsetCommitResponse](s, "commit without members "+topic, 8, commitRequest(offsets, "", -1, topic, 0, 3))
	}

	s.each(kmsg.DescribeGroups, func(v int16) {
		describe := func(label string, groups ...string) {
			req := describeRequest(groups...)
			ask[*kmsg.DescribeGroupsResponse](s, label, v, req)
		}
		describe("live", live)
		describe("offsets only", offsets)
		describe("unknown", "group-admin-unknown")
		describe("empty name", "")
		describe("several", live, "group-admin-unknown", offsets)
		describe("twice", live, live)
		describe("none")
		with := describeRequest(live, "group-admin-unknown", offsets)
		with.IncludeAuthorizedOperations = true
		ask[*kmsg.DescribeGroupsResponse](s, "authorized operations", v, with)
	})
	s.at(kmsg.ListGroups, []int16{0, 2, 3, 4, 5}, func(v int16) {
		list := func(label string, states, types []string) {
			req := kmsg.NewPtrListGroupsRequest()
			req.StatesFilter, req.TypesFilter = states, types
			s.main.send(v, req)
			resp, err := s.main.read()
			if err != nil {
				s.fatalf("list groups: %w", err)
			}
			r := resp.(*kmsg.ListGroupsResponse)
			mine := r.Groups[:0]
			for _, g := range r.Groups {
				if strings.HasPrefix(g.Group, "group-admin-") {
					mine = append(mine, g)
				}
			}
			r.Groups = mine
			s.record(label, s.flatten(r))
		}
		list("all", nil, nil)
		if v >= 4 {
			for _, states := range [][]string{{"Stable"}, {"stable"}, {"Empty"}, {"Empty", "Stable"}, {"Nonsense"}, {""}, {"Dead"}} {
				list(fmt.Sprint("states ", states), states, nil)
			}
		}
		if v >= 5 {
			for _, types := range [][]string{{"classic"}, {"Classic"}, {"consumer"}, {"share"}, {"nonsense"}, {"consumer", "classic"}, {""}} {
				list(fmt.Sprint("types ", types), nil, types)
			}
		}
	})
	s.each(kmsg.OffsetDelete, func(v int16) {
		remove := func(label, group string, partitions ...int32) {
			for _, topic := range []string{"group-admin-topic", "group-admin-other", "group-admin-unknown", ""} {
				req := kmsg.NewPtrOffsetDeleteRequest()
				req.Group = group
				t := kmsg.NewOffsetDeleteRequestTopic()
				t.Topic = topic
				for _, p := range partitions {
					t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
				}
				req.Topics = append(req.Topics, t)
				ask[*kmsg.OffsetDeleteResponse](s, label+" "+topic, v, req)
			}
		}
		remove("unknown group", "group-admin-unknown", 0)
		remove("empty group", "", 0)
		remove("live", live, 0, 1)
		remove("offsets only", offsets, 0, 9)
		remove("again", offsets, 0)
		remove("no partitions", offsets)
		ask[*kmsg.OffsetFetchResponse](s, "left of live", 7, fetchOffsets(live, "", [16]byte{}))
		ask[*kmsg.OffsetFetchResponse](s, "left of offsets", 7, fetchOffsets(offsets, "", [16]byte{}))
		s.state("after the offsets went", offsets)
	})
	s.each(kmsg.DeleteGroups, func(v int16) {
		remove := func(label string, groups ...string) {
			req := kmsg.NewPtrDeleteGroupsRequest()
			req.Groups = groups
			ask[*kmsg.DeleteGroupsResponse](s, label, v, req)
		}
		group := s.named("doomed")
		ask[*kmsg.OffsetCommitResponse](s, "commit", 8, commitRequest(group, "", -1, "group-admin-topic", 0, 3))
		remove("live", live)
		remove("unknown", "group-admin-unknown")
		remove("empty name", "")
		remove("several", group, live, "group-admin-unknown")
		remove("again", group)
		remove("twice", live, live)
		remove("none")
		ask[*kmsg.OffsetFetchResponse](s, "nothing is left", 7, fetchOffsets(group, "", [16]byte{}))
		s.state("deleted", group)
	})
	s.at(kmsg.OffsetCommit, []int16{2, 5, 8}, func(v int16) { // last, because it makes the group
		ask[*kmsg.OffsetCommitResponse](s, "commit of the empty group", v, commitRequest("", "", -1, "group-admin-topic", 0, 3))
		ask[*kmsg.OffsetCommitResponse](s, "commit of a member of the empty group", v, commitRequest("", "nobody", 3, "group-admin-topic", 0, 3))
	})
}}}
