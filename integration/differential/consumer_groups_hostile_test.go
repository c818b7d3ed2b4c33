package differential

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// typesOf takes down what requests for groups of one type and of the other say of a group, and lists of groups.
func (s *side) typesOf(group string) {
	for v := range int16(2) {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups, req.IncludeAuthorizedOperations = []string{group}, true
		ask[*kmsg.ConsumerGroupDescribeResponse](s, fmt.Sprintf("describe as a consumer group, version %d", v), v, req)
	}
	for _, v := range []int16{0, 4, 5, 6} {
		ask[*kmsg.DescribeGroupsResponse](s, fmt.Sprintf("describe as a classic group, version %d", v), v, describeRequest(group))
	}
	for _, filter := range []struct{ states, types []string }{
		{}, {types: []string{"consumer"}}, {types: []string{"classic"}}, {types: []string{"CONSUMER", "nonsense"}}, {states: []string{"Stable"}},
		{states: []string{"stable", "assigning"}, types: []string{"Consumer"}}, {states: []string{"Empty"}}, {states: []string{"Reconciling"}},
		{states: []string{"PreparingRebalance", "CompletingRebalance"}}, {states: []string{"Dead", "NotReady"}},
	} {
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter, req.TypesFilter = filter.states, filter.types
		resp := quiet[*kmsg.ListGroupsResponse](s, 5, req)
		mine := resp.Groups[:0]
		for _, g := range resp.Groups {
			if g.Group == group {
				mine = append(mine, g)
			}
		}
		resp.Groups = mine
		s.record(fmt.Sprint("list ", filter), s.flatten(resp))
	}
}

// hostileConsumerScripts does with groups of the consumer protocol what clients hardly ever do.
var hostileConsumerScripts = []script{{"group-types", func(s *side) {
	topic := s.named("topic")
	id := s.consumerTopic(topic, 2)
	modern, classic, offsets, empty := s.named("modern"), s.named("classic"), s.named("offsets"), s.named("empty")
	s.modern("join", modernRequest(modern, "a", 0, topic))
	s.modern("has them", owning(modernRequest(modern, "a", 2), id, 0, 1))
	m := s.main.join("classic joins", 5, joinRequest(classic, "", "a"))
	ask[*kmsg.SyncGroupResponse](s, "classic syncs", 3, syncRequest(classic, m.MemberID, m.Generation, m.MemberID))
	ask[*kmsg.OffsetCommitResponse](s, "commit", 8, commitRequest(offsets, "", -1, topic, 0, 3))
	s.modern("another joins", modernRequest(empty, "a", 0, topic))
	ask[*kmsg.OffsetCommitResponse](s, "it commits", 9, commitRequest(empty, "a", 2, topic, 0, 3))
	s.modern("and leaves", modernRequest(empty, "a", -1))
	for _, g := range []string{modern, classic, offsets, empty, s.named("unknown"), ""} {
		s.prefix = g + "/"
		s.typesOf(g)
	}
	s.prefix = ""
	for _, v := range []int16{8, 9} {
		ask[*kmsg.OffsetCommitResponse](s, fmt.Sprintf("commit to an empty consumer group as an administrator, version %d", v), v, commitRequest(empty, "", -1, topic, 0, int64(v)))
		ask[*kmsg.OffsetCommitResponse](s, fmt.Sprintf("as a member, version %d", v), v, commitRequest(empty, "a", 2, topic, 0, 99))
		ask[*kmsg.OffsetCommitResponse](s, fmt.Sprintf("as a member without epoch, version %d", v), v, commitRequest(empty, "a", -1, topic, 0, 10+int64(v)))
	}
	ask[*kmsg.OffsetFetchResponse](s, "its offsets", 8, fetchOffsets(empty, "", id))
	forget := func(label, group, topic string, partitions ...int32) {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = group
		t := kmsg.OffsetDeleteRequestTopic{Topic: topic}
		for _, p := range partitions {
			t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
		}
		req.Topics = []kmsg.OffsetDeleteRequestTopic{t}
		ask[*kmsg.OffsetDeleteResponse](s, label, 0, req)
	}
	forget("forget, nobody subscribes", empty, topic, 0, 1)
	forget("forget, subscribed", modern, topic, 0)
	s.modern("an offsets-only group becomes a consumer group", modernRequest(offsets, "a", 0, topic))
	s.look("became one", offsets)
	ask[*kmsg.OffsetFetchResponse](s, "with its offsets", 8, fetchOffsets(offsets, "", id))
	s.main.join("classic joins what was one", 5, joinRequest(empty, "", "a"))
	s.state("was one", empty)
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{modern, classic, offsets, empty}
	ask[*kmsg.DeleteGroupsResponse](s, "delete", 2, remove)
}}, {"consumer-hostile", func(s *side) {
	topic, other := s.named("topic"), s.named("other")
	id, otherID := s.topic(topic, 2), s.consumerTopic(other, 1)
	group := s.named("group")
	change := func(req *kmsg.ConsumerGroupHeartbeatRequest, changes ...func(r *kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatRequest {
		for _, c := range changes {
			c(req)
		}
		return req
	}
	names := func(names ...string) func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		return func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = names }
	}
	s.modern("no member id", modernRequest(group, "", 0, topic))
	s.modern("unknown member leaves", modernRequest(group, "a", -1))
	s.modern("unknown static member leaves", static(modernRequest(group, "a", -2), "i"))
	s.modern("join", modernRequest(group, "a", 0, topic))
	s.modern("owns what there is not", owning(modernRequest(group, "a", 2), madeUpID, 0))
	s.modern("owns what it has not", owning(modernRequest(group, "a", 2), otherID, 0))
	s.modern("owns partitions that there are not", owning(modernRequest(group, "a", 2), id, 0, 1, 2, -1))
	s.modern("owns the same twice", owning(modernRequest(group, "a", 2), id, 0, 1, 1, 0))
	s.modern("says nothing of names", modernRequest(group, "a", 2))
	s.modern("time-out 0", change(modernRequest(group, "a", 2), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = 0 }))
	s.modern("the same names twice", change(modernRequest(group, "a", 2), names(topic, topic)))
	s.look("as before", group)
	s.modern("unheard-of assignor", change(modernRequest(group, "a", 2), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = text("sticky") }))
	s.modern("empty assignor", change(modernRequest(group, "a", 2), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = text("") }))
	s.modern("an instance", static(modernRequest(group, "a", 2), "i"))
	s.modern("bad expression", change(modernRequest(group, "a", 2), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = text("(") }))
	s.look("still as before", group)
	s.modern("leave with an instance that it has not", static(modernRequest(group, "a", -1), "i"))
	s.modern("leaves for a while, but is not static", modernRequest(group, "a", -2))
	s.look("after all that", group)
	s.modern("leave", modernRequest(group, "a", -1))
	s.modern("epoch 0 of an unknown topic", modernRequest(group, "b", 0, "no-such-topic"))
}}, {"consumer-expressions", func(s *side) {
	bad, good := []string{
		"*", "a**", "a{1001}", "[", "[b-a]", `\`, `\C`, `\pX`, "(?P<n", "(?x)a", "a)", "x*+", `(?<!a)b`, `\1`, "(?i", "a{2,1}", "[[:nope:]]", `\8`, "\\Qa\\Eb)",
	}, []string{
		"a", "(?i)A", `\pL+`, "[[:alpha:]]+", "a{1000}", "(?P<n>a)", `a\z`, `\Aa`, "^a$", "a|b", "(a)(b)", `\x{10FFFF}`, "(?s).*", "(?m)^a$", `\Qa.b\E`, ".*?", "a{,2}", "",
		`\Qa`, "(?<n>a)", "a\\z|b",
	}
	join := modernRequest(s.named("group"), "a", 0)
	join.SubscribedTopicNames = nil
	for i, regex := range append(bad, good...) {
		join.Group, join.SubscribedTopicRegex = fmt.Sprint(s.named("group"), i), &regex
		resp := quiet[*kmsg.ConsumerGroupHeartbeatResponse](s, 1, join)
		s.record("expression "+regex, map[string]string{"ErrorCode": errorName(resp.ErrorCode)})
	}
	topics := []string{"consumer-expressions-a", "consumer-expressions-ab", "consumer-expressions-B", "consumer-expressions.c"}
	ids := make(map[[16]byte]string)
	for _, t := range topics {
		ids[s.topic(t, 1)] = t
	}
	s.pause()
	for i, regex := range []string{"consumer-expressions-a", "consumer-expressions-a|b", "(?i)consumer-expressions-b", "consumer-expressions.[abc]", `consumer\-expressions\..`,
		"^consumer-expressions-a$|consumer-expressions-ab", `consumer-expressions[-.]\pL`, `\Qconsumer-expressions.\Ec`} {
		group := fmt.Sprint(s.named("matching"), i)
		join := modernRequest(group, "a", 0)
		join.SubscribedTopicNames, join.SubscribedTopicRegex = nil, &regex
		resp := quiet[*kmsg.ConsumerGroupHeartbeatResponse](s, 1, join)
		epoch, got := resp.MemberEpoch, resp.Assignment
		s.until("topics of "+regex, func() bool {
			if got != nil && len(got.Topics) > 0 {
				return true
			}
			resp = quiet[*kmsg.ConsumerGroupHeartbeatResponse](s, 1, modernRequest(group, "a", epoch))
			if resp.ErrorCode != 0 {
				s.fatalf("heartbeat: %s", errorName(resp.ErrorCode))
			}
			epoch = resp.MemberEpoch
			if resp.Assignment != nil {
				got = resp.Assignment
			}
			return false
		})
		found := make(map[string]string)
		for _, t := range got.Topics {
			found[ids[t.TopicID]] = "matched"
		}
		s.record("topics of "+regex, found)
	}
}}, {"consumer-static-hostile", func(s *side) {
	topic, group := s.named("topic"), s.named("group")
	id := s.consumerTopic(topic, 2)
	s.modern("join", static(modernRequest(group, "a", 0, topic), "i"))
	s.modern("the answer was lost", static(modernRequest(group, "a", 0, topic), "i"))
	s.modern("heartbeat without its instance", owning(modernRequest(group, "a", 2), id, 0, 1))
	s.modern("leaves for a while without its instance", modernRequest(group, "a", -2))
	s.modern("leaves for a while", static(modernRequest(group, "a", -2), "i"))
	s.modern("again", static(modernRequest(group, "a", -2), "i"))
	commit := commitRequest(group, "a", 2, topic, 0, 5)
	commit.InstanceID = text("i")
	ask[*kmsg.OffsetCommitResponse](s, "commit while it is away", 9, commit)
	commit.Generation = -2
	ask[*kmsg.OffsetCommitResponse](s, "commit in epoch -2", 9, commit)
	s.modern("comes back under its name", static(modernRequest(group, "a", 0, topic), "i"))
	s.look("back", group)
	s.modern("leaves for a while once more", static(modernRequest(group, "a", -2), "i"))
	s.pause()
	s.modern("comes back with more topics", static(modernRequest(group, "b", 0, topic, "no-such-topic"), "i"))
	s.look("back with more", group)
	s.modern("one before leaves", static(modernRequest(group, "a", -1), "i"))
	commit = commitRequest(group, "a", 2, topic, 0, 5)
	commit.InstanceID = text("i")
	ask[*kmsg.OffsetCommitResponse](s, "commit of the one before", 9, commit)
	s.modern("goes while away", static(modernRequest(group, "b", -2), "i"))
	s.modern("for good", static(modernRequest(group, "b", -1), "i"))
	s.look("gone", group)
	s.modern("a long name", static(modernRequest(group, "c", 0, topic), strings.Repeat("i", 300)))
}}}
