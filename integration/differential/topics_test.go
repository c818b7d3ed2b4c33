package differential

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var metadataScripts = []script{{"metadata", func(s *side) {
	id := s.topic("metadata-one", 2)
	s.topic("metadata-two", 1)
	s.each(kmsg.Metadata, func(v int16) {
		ask[*kmsg.MetadataResponse](s, "names", v, metadataFor("metadata-one", "metadata-two"))
		ask[*kmsg.MetadataResponse](s, "unknown", v, metadataFor(s.named("unknown")))
		for i, bad := range []string{"", ".", "..", "a b", "a/b", "ä", strings.Repeat("x", 250)} {
			ask[*kmsg.MetadataResponse](s, fmt.Sprint("bad name ", i), v, metadataFor(bad))
		}
		ask[*kmsg.MetadataResponse](s, "same name twice", v, metadataFor("metadata-one", "metadata-one"))
		if v > 0 {
			ask[*kmsg.MetadataResponse](s, "no names", v, metadataFor())
		}
		with := metadataFor("metadata-one", s.named("unknown"))
		with.IncludeTopicAuthorizedOperations, with.IncludeClusterAuthorizedOperations = true, true
		ask[*kmsg.MetadataResponse](s, "authorized operations", v, with)
	})
	s.at(kmsg.Metadata, []int16{1, 4, 10, 12, 13}, func(v int16) {
		all := kmsg.NewPtrMetadataRequest()
		all.Version = v
		s.main.send(v, all)
		resp, err := s.main.read()
		if err != nil {
			s.fatalf("all topics: %w", err)
		}
		r := resp.(*kmsg.MetadataResponse)
		var mine []kmsg.MetadataResponseTopic
		for _, t := range r.Topics {
			if t.Topic != nil && (*t.Topic == "metadata-one" || *t.Topic == "metadata-two") {
				mine = append(mine, t)
			}
		}
		r.Topics = mine
		s.record("all", s.flatten(r))
	})
	s.at(kmsg.Metadata, []int16{4, 8, 9, 13}, func(v int16) {
		create := metadataFor(s.named("auto"))
		create.AllowAutoTopicCreation = true
		resp := quiet[*kmsg.MetadataResponse](s, v, create).Topics[0]
		if resp.ErrorCode != 0 && resp.ErrorCode != 3 && resp.ErrorCode != 5 {
			s.fatalf("auto-create: %s", errorName(resp.ErrorCode))
		}
		s.awaitTopic(s.named("auto"), 3)
		ask[*kmsg.MetadataResponse](s, "auto-created", v, metadataFor(s.named("auto")))
		bad := metadataFor("a b", "")
		bad.AllowAutoTopicCreation = true
		ask[*kmsg.MetadataResponse](s, "auto-create bad names", v, bad)
		collides := metadataFor("metadata_auto.v", "metadata-one")
		collides.AllowAutoTopicCreation = false
		ask[*kmsg.MetadataResponse](s, "not created", v, collides)
	})
	s.at(kmsg.Metadata, []int16{10, 11, 12, 13}, func(v int16) {
		byID := func(label string, id [16]byte, name *string) {
			req := kmsg.NewPtrMetadataRequest()
			t := kmsg.NewMetadataRequestTopic()
			t.TopicID, t.Topic = id, name
			req.Topics = append(req.Topics, t)
			ask[*kmsg.MetadataResponse](s, label, v, req)
		}
		if v >= 12 {
			byID("by id", id, nil)
			byID("by unknown id", madeUpID, nil)
			byID("by id and a wrong name", id, text("metadata-two"))
			byID("by unknown id and a name", madeUpID, text("metadata-one"))
		} else {
			byID("by id and name", id, text("metadata-one"))
		}
		byID("neither id nor name", [16]byte{}, nil)
	})
}}}

func createTopics(validateOnly bool, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.ValidateOnly, req.Topics = 10_000, validateOnly, topics
	return req
}

func assigned(t kmsg.CreateTopicsRequestTopic, assignment map[int32][]int32) kmsg.CreateTopicsRequestTopic {
	for i := int32(-1); i < 10; i++ {
		if replicas, ok := assignment[i]; ok {
			t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: i, Replicas: replicas})
		}
	}
	return t
}

var topicScripts = []script{{"create-topics", func(s *side) {
	s.topic("create-topics-a.b", 1)
	s.topic("create-topics-there", 1)
	s.each(kmsg.CreateTopics, func(v int16) {
		create := func(label string, topics ...kmsg.CreateTopicsRequestTopic) {
			ask[*kmsg.CreateTopicsResponse](s, label, v, createTopics(false, topics...))
		}
		validate := func(label string, topics ...kmsg.CreateTopicsRequestTopic) {
			ask[*kmsg.CreateTopicsResponse](s, label, v, createTopics(true, topics...))
		}
		create("plain", newTopic(s.named("plain"), 2, 1))
		create("again", newTopic(s.named("plain"), 2, 1))
		validate("validate", newTopic(s.named("not-made"), 2, 1, "retention.ms", "1000"))
		validate("validate existing", newTopic("create-topics-there", 2, 1))
		create("configs", newTopic(s.named("configs"), 1, 1, "retention.ms", "86400000", "cleanup.policy", "compact", "max.message.bytes", "2000"))
		create("defaults", newTopic(s.named("defaults"), -1, -1))
		validate("collision", newTopic("create-topics-a_b", 1, 1))
		for i, bad := range []string{"", ".", "..", "a b", "a/b", "ä", strings.Repeat("x", 250)} {
			validate(fmt.Sprint("bad name ", i), newTopic(bad, 1, 1))
		}
		validate("longest name", newTopic(strings.Repeat("x", 249), 1, 1))
		validate("no partitions", newTopic(s.named("x"), 0, 1))
		validate("-2 partitions", newTopic(s.named("x"), -2, 1))
		validate("no replicas", newTopic(s.named("x"), 1, 0))
		validate("-2 replicas", newTopic(s.named("x"), 1, -2))
		validate("three replicas", newTopic(s.named("x"), 1, 3))
		create("twice in one request", newTopic(s.named("twice"), 1, 1), newTopic(s.named("twice"), 2, 1), newTopic(s.named("once"), 1, 1))
		validate("unknown config", newTopic(s.named("x"), 1, 1, "no.such.config", "1"))
		validate("bad config value", newTopic(s.named("x"), 1, 1, "retention.ms", "soon"))
		validate("config out of range", newTopic(s.named("x"), 1, 1, "min.insync.replicas", "0"))
		validate("bad cleanup policy", newTopic(s.named("x"), 1, 1, "cleanup.policy", "compact,shrink"))
		validate("empty cleanup policy", newTopic(s.named("x"), 1, 1, "cleanup.policy", ""))
		validate("bad timestamp type", newTopic(s.named("x"), 1, 1, "message.timestamp.type", "NoTime"))
		validate("negative max message", newTopic(s.named("x"), 1, 1, "max.message.bytes", "-1"))
		validate("config twice", newTopic(s.named("x"), 1, 1, "retention.ms", "1", "retention.ms", "2"))
		null := newTopic(s.named("x"), 1, 1, "retention.ms", "")
		null.Configs[0].Value = nil
		validate("null config", null)
		validate("empty config", newTopic(s.named("x"), 1, 1, "retention.ms", ""))
		validate("blanks around a value", newTopic(s.named("x"), 1, 1, "retention.ms", " 5 "))
		validate("assignment", assigned(newTopic(s.named("x"), -1, -1), map[int32][]int32{0: {s.node}, 1: {s.node}}))
		validate("assignment with a count", assigned(newTopic(s.named("x"), 2, -1), map[int32][]int32{0: {s.node}, 1: {s.node}}))
		validate("assignment with a factor", assigned(newTopic(s.named("x"), -1, 1), map[int32][]int32{0: {s.node}}))
		validate("assignment with a gap", assigned(newTopic(s.named("x"), -1, -1), map[int32][]int32{0: {s.node}, 2: {s.node}}))
		validate("assignment that begins at 1", assigned(newTopic(s.named("x"), -1, -1), map[int32][]int32{1: {s.node}}))
		validate("assignment of a negative", assigned(newTopic(s.named("x"), -1, -1), map[int32][]int32{-1: {s.node}}))
		validate("assignment of nobody", assigned(newTopic(s.named("x"), -1, -1), map[int32][]int32{0: {}}))
		validate("assignment of one twice", assigned(newTopic(s.named("x"), -1, -1), map[int32][]int32{0: {s.node, s.node}}))
		validate("assignment of a stranger", assigned(newTopic(s.named("x"), -1, -1), map[int32][]int32{0: {77}}))
		create("no topics")
		s.awaitTopic(s.named("plain"), 2)
		ask[*kmsg.MetadataResponse](s, "what was made", 9, metadataFor(s.named("plain"), s.named("not-made"), s.named("twice"), s.named("once")))
	})
}}, {"delete-topics", func(s *side) {
	s.each(kmsg.DeleteTopics, func(v int16) {
		id := s.topic(s.named("a"), 1)
		s.topic(s.named("b"), 1)
		remove := func(label string, names ...string) {
			req := kmsg.NewPtrDeleteTopicsRequest()
			req.TimeoutMillis = 10_000
			req.TopicNames = names
			for i := range names {
				req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &names[i]})
			}
			ask[*kmsg.DeleteTopicsResponse](s, label, v, req)
		}
		remove("unknown and bad names", s.named("unknown"), "a b", "")
		remove("twice", s.named("b"), s.named("b"))
		remove("one", s.named("b"))
		s.awaitNoTopic(s.named("b"))
		remove("again", s.named("b"))
		remove("none")
		if v >= 6 {
			byID := func(label string, topics ...kmsg.DeleteTopicsRequestTopic) {
				req := kmsg.NewPtrDeleteTopicsRequest()
				req.TimeoutMillis, req.Topics = 10_000, topics
				ask[*kmsg.DeleteTopicsResponse](s, label, v, req)
			}
			byID("unknown id", kmsg.DeleteTopicsRequestTopic{TopicID: madeUpID})
			byID("neither", kmsg.DeleteTopicsRequestTopic{})
			byID("both", kmsg.DeleteTopicsRequestTopic{TopicID: id, Topic: text(s.named("a"))})
			byID("name and id apart", kmsg.DeleteTopicsRequestTopic{TopicID: id}, kmsg.DeleteTopicsRequestTopic{Topic: text(s.named("a"))})
			byID("id twice", kmsg.DeleteTopicsRequestTopic{TopicID: id}, kmsg.DeleteTopicsRequestTopic{TopicID: id})
			byID("id", kmsg.DeleteTopicsRequestTopic{TopicID: id})
			s.awaitNoTopic(s.named("a"))
			byID("id again", kmsg.DeleteTopicsRequestTopic{TopicID: id})
		}
	})
}}}

var partitionScripts = []script{{"create-partitions", func(s *side) {
	s.each(kmsg.CreatePartitions, func(v int16) {
		name := s.named("grows")
		s.topic(name, 2)
		grow := func(label string, validateOnly bool, topics ...kmsg.CreatePartitionsRequestTopic) {
			req := kmsg.NewPtrCreatePartitionsRequest()
			req.TimeoutMillis, req.ValidateOnly, req.Topics = 10_000, validateOnly, topics
			ask[*kmsg.CreatePartitionsResponse](s, label, v, req)
		}
		to := func(name string, count int32, assignment ...[]int32) kmsg.CreatePartitionsRequestTopic {
			t := kmsg.NewCreatePartitionsRequestTopic()
			t.Topic, t.Count = name, count
			for _, a := range assignment {
				t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: a})
			}
			return t
		}
		me := []int32{s.node}
		grow("unknown topic", false, to(s.named("unknown"), 3))
		grow("bad name", false, to("a b", 3))
		grow("as many", false, to(name, 2))
		grow("fewer", false, to(name, 1))
		grow("none", false, to(name, 0))
		grow("negative", false, to(name, -1))
		grow("twice", false, to(name, 3), to(name, 4))
		grow("validate", true, to(name, 3))
		grow("as many, assigned", true, to(name, 2, me))
		grow("too few assigned", true, to(name, 4, me))
		grow("too many assigned", true, to(name, 3, me, me))
		grow("a stranger assigned", true, to(name, 3, []int32{77}))
		grow("nobody assigned", true, to(name, 3, []int32{}))
		grow("one assigned twice", true, to(name, 3, []int32{s.node, s.node}))
		grow("another factor assigned", true, to(name, 4, me, []int32{}))
		grow("assigned", false, to(name, 3, me))
		s.awaitTopic(name, 3)
		grow("more", false, to(name, 5))
		s.awaitTopic(name, 5)
		ask[*kmsg.MetadataResponse](s, "after all", 9, metadataFor(name))
	})
}}}
