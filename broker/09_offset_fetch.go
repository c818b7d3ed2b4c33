package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// OffsetFetch (9), versions 1 to 10: the positions of groups. Null topics (v2) are all that the group committed. v5 has
// leader epochs (KIP-320), v8 several groups (KIP-709), v9 the member and its epoch, which must be right if the group is a
// consumer group (KIP-848), v10 topic ids. A partition without a position, a topic or a group that does not exist: offset -1
// and no error, but UNKNOWN_TOPIC_ID for an id. With RequireStable (v7, KIP-447) a partition whose position an ongoing
// transaction may change is UNSTABLE_OFFSET_COMMIT. A partition that is named twice is answered once, where Kafka repeats what
// the group keeps with it: that may be a thousand times as long as what names it.
//
// Inside, every version is one of v10's groups; v1 to v7 have one, and v1 has no place for an error but its partitions.

func (b *Broker) offsetFetch(ctx context.Context, c *wire.Conn, req *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	ctx, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	resp := respond[*kmsg.OffsetFetchResponse](req)
	describes := b.permits(c, acl.Describe, acl.Topic)
	if req.Version >= 8 {
		for _, asked := range once(req.Groups, func(g kmsg.OffsetFetchRequestGroup) string { return g.Group }) {
			resp.Groups = append(resp.Groups, b.fetchGroupOffsets(ctx, describes, req, asked))
		}
		return resp
	}
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = req.Group
	if req.Topics != nil {
		asked.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetFetchRequestGroupTopic()
		topic.Topic, topic.Partitions = t.Topic, t.Partitions
		asked.Topics = append(asked.Topics, topic)
	}
	single := b.fetchGroupOffsets(ctx, describes, req, asked)
	resp.ErrorCode = single.ErrorCode
	if req.Version < 2 && single.ErrorCode != 0 {
		single.Topics = refusedTopics(asked.Topics, single.ErrorCode)
	}
	for _, t := range single.Topics {
		topic := kmsg.NewOffsetFetchResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseTopicPartition(p))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func (b *Broker) fetchGroupOffsets(ctx context.Context, describes *permits, req *kmsg.OffsetFetchRequest, asked kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	version := req.Version
	answer := kmsg.NewOffsetFetchResponseGroup()
	answer.Group = asked.Group
	if !b.may(describes.conn, acl.Describe, acl.Group, asked.Group) {
		answer.ErrorCode = code(errGroupDenied)
		return answer
	}
	all := asked.Topics == nil && version >= 2
	var wanted []metastore.TopicPartition
	if !all {
		asked.Topics = distinct(asked.Topics)
		wanted = b.wantedOffsets(describes, version, asked.Topics)
	}
	err := b.Groups.CheckFetch(ctx, asked.Group, asked.MemberID, group.MemberEpoch(asked.MemberEpoch))
	var unstable map[metastore.TopicPartition]bool
	if err == nil && version >= 7 && req.RequireStable {
		unstable, err = b.unstable(ctx, asked.Group, wanted)
	}
	var committed []metastore.CommittedOffset
	if err == nil {
		committed, err = b.Groups.FetchOffsets(ctx, asked.Group, wanted)
	}
	switch {
	case err != nil:
		answer.ErrorCode = groupCode(err)
	case all:
		answer.Topics = b.allOffsets(describes.conn, committed, unstable)
	default:
		answer.Topics = b.someOffsets(describes, version, asked.Topics, committed, unstable)
	}
	return answer
}

// distinct is without partitions that were named before. The lists are its own.
func distinct(topics []kmsg.OffsetFetchRequestGroupTopic) []kmsg.OffsetFetchRequestGroupTopic {
	type key struct {
		topic     string
		id        [16]byte
		partition int32
	}
	seen := make(map[key]bool)
	kept := make([]kmsg.OffsetFetchRequestGroupTopic, len(topics))
	for i, t := range topics {
		kept[i], kept[i].Partitions = t, make([]int32, 0, len(t.Partitions))
		for _, p := range t.Partitions {
			if k := (key{t.Topic, t.TopicID, p}); !seen[k] {
				seen[k] = true
				kept[i].Partitions = append(kept[i].Partitions, p)
			}
		}
	}
	return kept
}

// unstable are the partitions, among those that are wanted or that the group committed (nil), whose position an ongoing
// transaction may change. It is called before the positions are read: those of a transaction that is committed in between
// are among them, where the other way round neither would be told.
func (b *Broker) unstable(ctx context.Context, groupID string, wanted []metastore.TopicPartition) (map[metastore.TopicPartition]bool, error) {
	if !b.refreshed(ctx) {
		return nil, errLogAway // a transaction may hold offsets that we have not heard of
	}
	if wanted == nil {
		committed, err := b.Groups.FetchOffsets(ctx, groupID, nil)
		if err != nil {
			return nil, err
		}
		for _, o := range committed {
			wanted = append(wanted, o.TopicPartition)
		}
	}
	unstable := make(map[metastore.TopicPartition]bool)
	for _, tp := range wanted {
		if b.States.OffsetsPending(groupID, tp) {
			unstable[tp] = true
		}
	}
	return unstable, nil
}

// describable is topicOf for a client that may describe the topic.
func (b *Broker) describable(describes *permits, byID bool, name string, id [16]byte) (*metastore.Topic, error) {
	t, err := b.topicOf(byID, name, id)
	if name = nameOf(t, name); name != "" && !describes.allow(name) {
		return nil, errTopicDenied
	}
	return t, err
}

// wantedOffsets are the partitions asked for, of topics that exist; not nil.
func (b *Broker) wantedOffsets(describes *permits, version int16, topics []kmsg.OffsetFetchRequestGroupTopic) []metastore.TopicPartition {
	wanted := []metastore.TopicPartition{}
	for _, asked := range topics {
		t, err := b.describable(describes, version >= 10, asked.Topic, asked.TopicID)
		if err != nil {
			continue
		}
		for _, p := range asked.Partitions {
			wanted = append(wanted, metastore.TopicPartition{Topic: t.ID, Partition: p})
		}
	}
	return wanted
}

// allOffsets groups by topic what is ordered by topic, without topics that are gone and those that the client may not see.
func (b *Broker) allOffsets(c *wire.Conn, committed []metastore.CommittedOffset, unstable map[metastore.TopicPartition]bool) []kmsg.OffsetFetchResponseGroupTopic {
	topics := []kmsg.OffsetFetchResponseGroupTopic{}
	shown := b.sights(c, acl.Describe, acl.Topic)
	for _, o := range committed {
		t, ok := b.Topics.TopicByID(o.Topic)
		if !ok || !shown.allow(t.Name) {
			continue
		}
		if n := len(topics); n == 0 || topics[n-1].TopicID != [16]byte(o.Topic) {
			topic := kmsg.NewOffsetFetchResponseGroupTopic()
			topic.Topic, topic.TopicID = t.Name, o.Topic
			topics = append(topics, topic)
		}
		last := &topics[len(topics)-1]
		if unstable[o.TopicPartition] {
			last.Partitions = append(last.Partitions, noOffset(o.Partition, kerr.UnstableOffsetCommit.Code))
		} else {
			last.Partitions = append(last.Partitions, committedPartition(o))
		}
	}
	return topics
}

func (b *Broker) someOffsets(describes *permits, version int16, topics []kmsg.OffsetFetchRequestGroupTopic, committed []metastore.CommittedOffset, unstable map[metastore.TopicPartition]bool) []kmsg.OffsetFetchResponseGroupTopic {
	found := make(map[metastore.TopicPartition]metastore.CommittedOffset, len(committed))
	for _, o := range committed {
		found[o.TopicPartition] = o
	}
	answers := []kmsg.OffsetFetchResponseGroupTopic{}
	for _, asked := range topics {
		t, err := b.describable(describes, version >= 10, asked.Topic, asked.TopicID)
		if errors.Is(err, errNoSuchID) || errors.Is(err, errTopicDenied) {
			answers = append(answers, refusedTopic(asked, code(err)))
			continue
		}
		topic := kmsg.NewOffsetFetchResponseGroupTopic()
		topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
		for _, p := range asked.Partitions {
			o, ok, pending := metastore.CommittedOffset{}, false, false
			if err == nil {
				tp := metastore.TopicPartition{Topic: t.ID, Partition: p}
				o, ok = found[tp]
				pending = unstable[tp]
			}
			switch {
			case pending:
				topic.Partitions = append(topic.Partitions, noOffset(p, kerr.UnstableOffsetCommit.Code))
			case ok:
				topic.Partitions = append(topic.Partitions, committedPartition(o))
			default:
				topic.Partitions = append(topic.Partitions, noOffset(p, 0))
			}
		}
		answers = append(answers, topic)
	}
	return answers
}

func refusedTopics(topics []kmsg.OffsetFetchRequestGroupTopic, errorCode int16) []kmsg.OffsetFetchResponseGroupTopic {
	var refused []kmsg.OffsetFetchResponseGroupTopic
	for _, t := range topics {
		refused = append(refused, refusedTopic(t, errorCode))
	}
	return refused
}

func refusedTopic(asked kmsg.OffsetFetchRequestGroupTopic, errorCode int16) kmsg.OffsetFetchResponseGroupTopic {
	topic := kmsg.NewOffsetFetchResponseGroupTopic()
	topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
	for _, p := range asked.Partitions {
		topic.Partitions = append(topic.Partitions, noOffset(p, errorCode))
	}
	return topic
}

func committedPartition(o metastore.CommittedOffset) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = o.Partition, int64(o.Offset), o.LeaderEpoch, &o.Metadata
	return p
}

func noOffset(partition int32, errorCode int16) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = partition, int64(metastore.NoOffset), -1, new(string), errorCode
	return p
}
