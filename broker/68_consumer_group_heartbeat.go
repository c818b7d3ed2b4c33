package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// ConsumerGroupHeartbeat (68), versions 0 and 1: all of the group protocol of KIP-848 in one request: a member joins (epoch 0),
// says what it owns, is told what it may have, and leaves (epoch -1, or -2 if it is static and will be back). The broker computes
// assignments. v1 has member ids made by clients, and subscriptions by regular expression, which the broker resolves. What is null
// is as it was before.
//
// Topics that are named must be the member's to describe, and expressions match only those that are, which is asked again
// every minute.
//
// A join may name topics that were created a moment ago through another broker, so it looks at the commit log if it names one
// that is not known. Racks are kept and shown; assignors do not look at them, as in Kafka.

func (b *Broker) consumerGroupHeartbeat(ctx context.Context, c *wire.Conn, req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	resp := respond[*kmsg.ConsumerGroupHeartbeatResponse](req)
	if err := b.mayConsume(c, req); err != nil {
		resp.ErrorCode, resp.ErrorMessage = failure(err)
		return resp
	}
	b.lookForTopics(ctx, req.SubscribedTopicNames)
	beat := group.ConsumerHeartbeatRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: deref(req.InstanceID),
		ClientID: c.ClientID(), ClientHost: "/" + c.ClientHost(), // as Java prints addresses
		Epoch: group.MemberEpoch(req.MemberEpoch), Rack: req.RackID, RebalanceTimeout: millis(req.RebalanceTimeoutMillis),
		TopicNames: req.SubscribedTopicNames, TopicRegex: req.SubscribedTopicRegex, Assignor: req.ServerAssignor, Sight: b.sight(c),
	}
	if req.Topics != nil {
		beat.Owned = []metastore.TopicPartition{}
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			beat.Owned = append(beat.Owned, metastore.TopicPartition{Topic: t.TopicID, Partition: p})
		}
	}
	told, err := b.Groups.ConsumerHeartbeat(ctx, beat)
	if err != nil {
		_, resp.ErrorMessage = failure(err)
		resp.ErrorCode = groupCode(err)
		return resp
	}
	resp.MemberID, resp.MemberEpoch = &told.MemberID, int32(told.Epoch)
	resp.HeartbeatIntervalMillis = int32(told.Interval.Milliseconds())
	if told.Assignment != nil {
		resp.Assignment = heartbeatAssignment(told.Assignment)
	}
	return resp
}

// mayConsume refuses what the client may not, or should not, ask for.
func (b *Broker) mayConsume(c *wire.Conn, req *kmsg.ConsumerGroupHeartbeatRequest) error {
	switch {
	case !b.Settings.Load().GroupConsumerProtocol:
		return refuse(kerr.UnsupportedVersion, "the consumer protocol is disabled by group.coordinator.rebalance.protocols")
	case !b.may(c, acl.Read, acl.Group, req.Group):
		return errGroupDenied
	}
	describes := b.permits(c, acl.Describe, acl.Topic)
	for _, name := range req.SubscribedTopicNames {
		if !describes.allow(name) {
			return errTopicDenied
		}
	}
	return checkConsumerHeartbeat(req)
}

// sight is which topics the client may know of, now and later.
func (b *Broker) sight(c *wire.Conn) group.Sight {
	if !b.Access.Enabled() {
		return group.Sight{}
	}
	who, access := client(c), b.Access
	return group.Sight{Who: who.Principal + "@" + who.Host, Sees: func(topic string) bool {
		return access.Allowed(who, acl.Describe, acl.Resource{Type: acl.Topic, Name: topic})
	}}
}

// lookForTopics makes sure that topics which exist are known, if there are any among the names that are not.
func (b *Broker) lookForTopics(ctx context.Context, names []string) {
	for _, name := range names {
		if _, ok := b.Topics.Topic(name); !ok {
			b.refreshed(ctx)
			return
		}
	}
}

// heartbeatAssignment groups by topic what is sorted by topic.
func heartbeatAssignment(all []metastore.TopicPartition) *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	a := &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{}}
	for _, p := range all {
		if n := len(a.Topics); n == 0 || a.Topics[n-1].TopicID != [16]byte(p.Topic) {
			topic := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
			topic.TopicID = p.Topic
			a.Topics = append(a.Topics, topic)
		}
		last := &a.Topics[len(a.Topics)-1]
		last.Partitions = append(last.Partitions, p.Partition)
	}
	return a
}

// checkConsumerHeartbeat refuses requests that no client should make.
func checkConsumerHeartbeat(req *kmsg.ConsumerGroupHeartbeatRequest) error {
	bad := func(text string) error { return refuse(kerr.InvalidRequest, text) }
	empty := func(s *string) bool { return s != nil && *s == "" }
	joins := req.MemberEpoch == int32(group.JoinEpoch)
	switch {
	case req.Group == "":
		return bad("GroupId can't be empty.")
	case empty(req.InstanceID):
		return bad("InstanceId can't be empty.")
	case empty(req.RackID):
		return bad("RackId can't be empty.")
	case req.MemberID == "" && (req.Version >= 1 || !joins):
		return bad("MemberId can't be empty.")
	case req.MemberEpoch < int32(group.LeaveStaticEpoch):
		return bad("MemberEpoch is invalid.")
	case req.MemberEpoch == int32(group.LeaveStaticEpoch) && req.InstanceID == nil:
		return bad("InstanceId can't be null.")
	case !joins:
		return nil
	case req.RebalanceTimeoutMillis < 0:
		return bad("RebalanceTimeoutMs must be provided in first request.")
	case req.Topics == nil || len(req.Topics) > 0:
		return bad("TopicPartitions must be empty when (re-)joining.")
	case req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil:
		return bad("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	}
	return nil
}
