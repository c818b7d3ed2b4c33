package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// ConsumerGroupDescribe (69), versions 0 and 1: the state and the members of groups of the consumer protocol (KIP-848) that this
// broker coordinates, with what members have and what they are to have. v1 tells members that use the classic protocol. Groups of
// another type, and those that do not exist, are GROUP_ID_NOT_FOUND: administrators then ask DescribeGroups. Topics that are gone
// are left out. A group that is named twice is answered once.

const (
	classicMember  = 0
	consumerMember = 1
)

func (b *Broker) consumerGroupDescribe(ctx context.Context, c *wire.Conn, req *kmsg.ConsumerGroupDescribeRequest) *kmsg.ConsumerGroupDescribeResponse {
	ctx, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	resp := respond[*kmsg.ConsumerGroupDescribeResponse](req)
	describes := b.permits(c, acl.Describe, acl.Topic)
	for _, id := range once(req.Groups, func(id string) string { return id }) {
		answer := kmsg.NewConsumerGroupDescribeResponseGroup()
		answer.Group = id
		if !b.may(c, acl.Describe, acl.Group, id) {
			answer.ErrorCode, answer.ErrorMessage = failure(errGroupDenied)
			resp.Groups = append(resp.Groups, answer)
			continue
		}
		described, err := b.Groups.DescribeConsumer(ctx, id)
		if err != nil {
			_, answer.ErrorMessage = failure(fmt.Errorf("consumer group %q: %w", id, err))
			answer.ErrorCode = groupCode(err)
			resp.Groups = append(resp.Groups, answer)
			continue
		}
		if !b.describesAll(described.Members, describes) {
			answer.ErrorCode, answer.ErrorMessage = failure(errMembersTopics)
			resp.Groups = append(resp.Groups, answer)
			continue
		}
		if req.IncludeAuthorizedOperations {
			answer.AuthorizedOperations = b.operations(c, acl.Group, id)
		}
		answer.State, answer.Epoch, answer.AssignmentEpoch = described.State.String(), described.Epoch, described.AssignmentEpoch
		answer.AssignorName = described.Assignor
		for _, m := range described.Members {
			answer.Members = append(answer.Members, b.describedMember(m))
		}
		resp.Groups = append(resp.Groups, answer)
	}
	return resp
}

var errMembersTopics = refuse(kerr.TopicAuthorizationFailed, "not authorized for topics that members of the group have")

// describesAll tells whether the client may describe all topics that members have or are to have.
func (b *Broker) describesAll(members []group.ConsumerMemberDescription, describes *permits) bool {
	if describes.open {
		return true
	}
	for _, m := range members {
		for _, tp := range slices.Concat(m.Assignment, m.Target) {
			if t, ok := b.Topics.TopicByID(tp.Topic); ok && !describes.allow(t.Name) {
				return false
			}
		}
	}
	return true
}

func (b *Broker) describedMember(m group.ConsumerMemberDescription) kmsg.ConsumerGroupDescribeResponseGroupMember {
	member := kmsg.NewConsumerGroupDescribeResponseGroupMember()
	member.MemberID, member.InstanceID, member.RackID = m.MemberID, orNil(m.InstanceID), orNil(m.Rack)
	member.MemberEpoch, member.ClientID, member.ClientHost = int32(m.Epoch), m.ClientID, m.ClientHost
	member.SubscribedTopics, member.SubscribedTopicRegex = m.TopicNames, &m.TopicRegex
	member.Assignment, member.TargetAssignment = b.namedAssignment(m.Assignment), b.namedAssignment(m.Target)
	member.MemberType = consumerMember
	if m.Classic {
		member.MemberType = classicMember
	}
	return member
}

// namedAssignment groups by topic what is sorted by topic.
func (b *Broker) namedAssignment(all []metastore.TopicPartition) kmsg.Assignment {
	a := kmsg.NewAssignment()
	for _, p := range all {
		if n := len(a.TopicPartitions); n == 0 || a.TopicPartitions[n-1].TopicID != [16]byte(p.Topic) {
			t, ok := b.Topics.TopicByID(p.Topic)
			if !ok {
				continue
			}
			topic := kmsg.NewAssignmentTopicPartition()
			topic.TopicID, topic.Topic = p.Topic, t.Name
			a.TopicPartitions = append(a.TopicPartitions, topic)
		}
		last := &a.TopicPartitions[len(a.TopicPartitions)-1]
		last.Partitions = append(last.Partitions, p.Partition)
	}
	return a
}
