package e2e

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	churnTopic      = "churn"
	churnGroup      = "churners"
	churnPartitions = 40
	churnSession    = 4 * time.Second
	churnRebalance  = 6 * time.Second
	churnBeat       = 300 * time.Millisecond
)

// churner is a member of the group that speaks the protocol itself, so that it knows exactly what it was told in which
// generation, and can go on like one that did not notice that it was thrown out.
type churner struct {
	ledger   *groupLedger
	client   *kgo.Client
	topic    [16]byte
	name     string // of who holds the partitions: a static member's instance, else this life
	instance *string

	id         string
	generation int32
	protocol   string
	next       map[int32]int64 // of the partitions it owns: the next offset to commit

	pause chan time.Duration // for which it does nothing, like a process that is not scheduled
}

var errLost = errors.New("has to join again")

// run is a member until ctx ends or another took its instance over.
func (c *churner) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.join(ctx)
		if err == nil {
			err = c.hold(ctx)
		}
		switch {
		case errors.Is(err, kerr.FencedInstanceID):
			return
		case errors.Is(err, kerr.UnknownMemberID):
			c.id = ""
		case errors.Is(err, errLost), errors.Is(err, kerr.RebalanceInProgress):
		default:
			backOff(ctx)
		}
	}
}

// request sends a request to the coordinator.
func request[Resp kmsg.Response](ctx context.Context, c *churner, req kmsg.Request) (resp Resp, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	answer, err := c.client.Request(ctx, req)
	if err != nil {
		return resp, err
	}
	return answer.(Resp), nil
}

// join brings the member into a generation with its assignment.
func (c *churner) join(ctx context.Context) error {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.ProtocolType = churnGroup, c.id, c.instance, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(churnSession.Milliseconds()), int32(churnRebalance.Milliseconds())
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Topics = []string{churnTopic}
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription.AppendTo(nil)}}
	joined, err := request[*kmsg.JoinGroupResponse](ctx, c, req)
	if err == nil && joined.ErrorCode == kerr.MemberIDRequired.Code {
		req.MemberID = joined.MemberID
		joined, err = request[*kmsg.JoinGroupResponse](ctx, c, req)
	}
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(joined.ErrorCode); err != nil {
		return err
	}
	c.id, c.generation, c.protocol = joined.MemberID, joined.Generation, *joined.Protocol
	return c.sync(ctx, joined)
}

func (c *churner) sync(ctx context.Context, joined *kmsg.JoinGroupResponse) error {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = churnGroup, c.id, c.instance, c.generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), &c.protocol
	if joined.LeaderID == c.id && !joined.SkipAssignment {
		req.GroupAssignment = deal(joined.Members)
	}
	synced, err := request[*kmsg.SyncGroupResponse](ctx, c, req)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(synced.ErrorCode); err != nil {
		return err
	}
	partitions, err := partitionsIn(synced.MemberAssignment)
	if err != nil {
		return err
	}
	c.ledger.owns(c.name, c.generation, partitions)
	return c.find(ctx, partitions)
}

// deal gives the partitions to the members, each time other ones.
func deal(members []kmsg.JoinGroupResponseMember) (all []kmsg.SyncGroupRequestGroupAssignment) {
	hands := make([][]int32, len(members))
	for i, p := range rand.Perm(churnPartitions) {
		hands[i%len(members)] = append(hands[i%len(members)], int32(p))
	}
	for i, m := range members {
		assignment := kmsg.NewConsumerMemberAssignment()
		assignment.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: churnTopic, Partitions: hands[i]}}
		all = append(all, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: assignment.AppendTo(nil)})
	}
	return all
}

func partitionsIn(assignment []byte) (partitions []int32, err error) {
	if len(assignment) == 0 {
		return nil, nil
	}
	decoded := kmsg.NewConsumerMemberAssignment()
	if err := decoded.ReadFrom(assignment); err != nil {
		return nil, err
	}
	for _, t := range decoded.Topics {
		partitions = append(partitions, t.Partitions...)
	}
	return partitions, nil
}

// find reads where the partitions were left.
func (c *churner) find(ctx context.Context, partitions []int32) error {
	c.next = make(map[int32]int64)
	floor := c.ledger.floor()
	found, err := committedOffsets(ctx, c, partitions)
	if err != nil {
		return err
	}
	for p, offset := range found {
		c.ledger.read(c.name, p, offset, floor)
		c.next[p] = offset + 1
	}
	return nil
}

// committedOffsets asks the coordinator for the offsets of the group; -1 for none.
func committedOffsets(ctx context.Context, c *churner, partitions []int32) (map[int32]int64, error) {
	found := make(map[int32]int64)
	if len(partitions) == 0 {
		return found, nil
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = churnGroup
	group.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: churnTopic, TopicID: c.topic, Partitions: partitions}}
	req.Groups = append(req.Groups, group)
	resp, err := request[*kmsg.OffsetFetchResponse](ctx, c, req)
	if err != nil {
		return nil, err
	}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, err
				}
				found[p.Partition] = p.Offset
			}
		}
	}
	return found, nil
}

// hold keeps the member in its generation, and commits, until it has to join again.
func (c *churner) hold(ctx context.Context) error {
	beat := time.NewTicker(churnBeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case long := <-c.pause:
			select {
			case <-time.After(long):
			case <-ctx.Done():
				return ctx.Err()
			}
			// It goes on where it was, before it hears of anything.
		case <-beat.C:
		}
		if err := c.commit(ctx); err != nil {
			return err
		}
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.InstanceID, req.Generation = churnGroup, c.id, c.instance, c.generation
		resp, err := request[*kmsg.HeartbeatResponse](ctx, c, req)
		if err != nil {
			continue // the coordinator may be dead
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			if errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) {
				return errLost
			}
			return err
		}
	}
}

// commit moves every partition on by one.
func (c *churner) commit(ctx context.Context) error {
	if len(c.next) == 0 {
		return nil
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = churnGroup, c.id, c.instance, c.generation
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = churnTopic, c.topic
	sent := make(map[int32]int64)
	for p, offset := range c.next {
		row := kmsg.NewOffsetCommitRequestTopicPartition()
		row.Partition, row.Offset = p, offset
		topic.Partitions = append(topic.Partitions, row)
		sent[p] = offset
		c.next[p] = offset + 1 // also if nobody knows what becomes of it
	}
	req.Topics = append(req.Topics, topic)
	resp, err := request[*kmsg.OffsetCommitResponse](ctx, c, req)
	if err != nil {
		return nil // the heartbeat tells
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				c.ledger.refuse(err.(*kerr.Error).Message)
				if errors.Is(err, kerr.FencedInstanceID) || errors.Is(err, kerr.UnknownMemberID) {
					return err
				}
				continue
			}
			c.ledger.acked(c.name, c.generation, p.Partition, sent[p.Partition])
		}
	}
	return nil
}

// leave tells the coordinator.
func (c *churner) leave(ctx context.Context) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = churnGroup
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: c.id, InstanceID: c.instance}}
	_, _ = request[*kmsg.LeaveGroupResponse](ctx, c, req)
}
