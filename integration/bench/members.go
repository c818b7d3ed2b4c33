package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupMember is a member of a classic group on a connection of its own.
type groupMember struct {
	*client
	group, id  string
	generation int32
	round      byte          // of joining: what it says about itself differs each time, so that it is a rebalance
	interval   time.Duration // from one heartbeat to the next
}

const sessionTimeout = 45 * time.Second // the default of clients

func newGroupMember(ctx context.Context, address, group string) (*groupMember, error) {
	c, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return &groupMember{client: c, group: group}, nil
}

// join waits for the generation; the leader is told the members.
func (g *groupMember) join() (members []kmsg.JoinGroupResponseMember, err error) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType = 9, g.group, g.id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(sessionTimeout.Milliseconds()), 60_000
	g.round++
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Topics, subscription.UserData = []string{topicName(0)}, []byte{g.round}
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription.AppendTo(nil)}}
	for {
		resp, err := g.ask(req)
		if err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
		joined := resp.(*kmsg.JoinGroupResponse)
		g.id, req.MemberID = joined.MemberID, joined.MemberID
		if joined.ErrorCode == kerr.MemberIDRequired.Code {
			continue
		}
		if err := kerr.ErrorForCode(joined.ErrorCode); err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
		g.generation = joined.Generation
		return joined.Members, nil
	}
}

// sync waits for the assignment. The leader gives every member the same.
func (g *groupMember) sync(members []kmsg.JoinGroupResponseMember) error {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 5, g.group, g.id, g.generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	for _, m := range members {
		assignment := kmsg.NewConsumerMemberAssignment()
		assignment.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: topicName(0), Partitions: []int32{0, 1, 2, 3}}}
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: assignment.AppendTo(nil)})
	}
	resp, err := g.ask(req)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	synced := resp.(*kmsg.SyncGroupResponse)
	if err := kerr.ErrorForCode(synced.ErrorCode); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if len(synced.MemberAssignment) == 0 {
		return fmt.Errorf("sync: no assignment")
	}
	return nil
}

// heartbeat is what a member of a classic group sends all the time.
func (g *groupMember) heartbeat() kmsg.Request {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 4, g.group, g.id, g.generation
	return req
}

// joinAlone makes the member the only one of its classic group.
func (g *groupMember) joinAlone() error {
	told, err := g.join()
	if err != nil {
		return err
	}
	g.interval = beatInterval
	return g.sync(told)
}

// consume makes the member the only one of its consumer group (KIP-848), and returns when it owns what it is told to.
func (g *groupMember) consume() error {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.RebalanceTimeoutMillis = 1, g.group, g.group+"-member", 60_000
	req.SubscribedTopicNames = []string{topicName(0)}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for owned := 0; owned < groupPartitions; {
		resp, err := g.ask(req)
		if err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		told := resp.(*kmsg.ConsumerGroupHeartbeatResponse)
		if err := kerr.ErrorForCode(told.ErrorCode); err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		g.generation = told.MemberEpoch
		g.interval = time.Duration(told.HeartbeatIntervalMillis) * time.Millisecond
		req = g.consumerHeartbeat().(*kmsg.ConsumerGroupHeartbeatRequest)
		if told.Assignment == nil {
			continue
		}
		owned = 0
		for _, t := range told.Assignment.Topics {
			owned += len(t.Partitions)
			req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
	resp, err := g.ask(req)
	if err == nil {
		err = kerr.ErrorForCode(resp.(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode)
	}
	return err
}

// consumerHeartbeat is what a member of a consumer group sends all the time.
func (g *groupMember) consumerHeartbeat() kmsg.Request {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = 1, g.group, g.group+"-member", g.generation, -1
	return req
}

// heartbeats sends one per interval, the first after a wait, until ctx ends.
func (g *groupMember) heartbeats(ctx context.Context, req kmsg.Request, first, interval time.Duration) error {
	next := time.NewTimer(first)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return nil
		}
		resp, err := g.ask(req)
		if err == nil {
			err = heartbeatError(resp)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
		next.Reset(interval)
	}
}

func heartbeatError(resp kmsg.Response) error {
	switch resp := resp.(type) {
	case *kmsg.HeartbeatResponse:
		return kerr.ErrorForCode(resp.ErrorCode)
	case *kmsg.ConsumerGroupHeartbeatResponse:
		return kerr.ErrorForCode(resp.ErrorCode)
	default:
		return fmt.Errorf("an answer of kind %T", resp)
	}
}

// commit commits an offset of so many partitions in one request.
func (g *groupMember) commit(partitions int32, offset int64) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 9, g.group, g.id, g.generation
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = topicName(0)
	for p := range partitions {
		row := kmsg.NewOffsetCommitRequestTopicPartition()
		row.Partition, row.Offset, row.Metadata = p, offset, kmsg.StringPtr("")
		topic.Partitions = append(topic.Partitions, row)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := g.ask(req)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, p := range resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	return nil
}
