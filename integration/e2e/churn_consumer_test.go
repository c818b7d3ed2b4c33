package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// consumerChurner is a member of a group of the consumer protocol (KIP-848). It has what it was told, gives up what is taken from
// it before it says so, and commits all the time.
type consumerChurner struct {
	*churner
	epoch int32
}

// TestConsumerGroupChurn: members of a group of the consumer protocol join, leave, die, and come back as if nothing had happened
// after a pause, while the brokers that coordinate it are killed. At no time do two members that the group cannot have given up
// own the same partition, and no committed offset goes back. RUNNEL_CHURN makes it longer, as in TestGroupChurn.
func TestConsumerGroupChurn(t *testing.T) {
	t.Parallel()
	members, duration := churnSize(t)
	seed := churnSeed(t)
	t.Logf("seed %d (RUNNEL_CHURN_SEED), %d members, %v", seed, members, duration)
	c := startChurn(t, seed, map[string]string{
		"group.consumer.min.session.timeout.ms": "1000", "group.consumer.session.timeout.ms": fmt.Sprint(churnSession.Milliseconds()),
		"group.consumer.min.heartbeat.interval.ms": "100", "group.consumer.heartbeat.interval.ms": fmt.Sprint(churnBeat.Milliseconds()),
		"group.consumer.assignment.interval.ms": "300",
	})
	c.consumers = true
	c.last(members, duration)
	t.Log("quiet from here on")
	eventually(t, "all partitions have an owner", 60*time.Second, func() bool { return c.ledger.held() == churnPartitions })
	c.awaitProgress("offsets are committed", churnPartitions)
	c.conclude()
}

// run is a member until ctx ends.
func (c *consumerChurner) run(ctx context.Context) {
	defer func() { c.ledger.holds(c.name, c.epoch, nil, time.Time{}) }()
	c.id = fmt.Sprintf("%s at %d", c.name, time.Now().UnixNano())
	c.beginAnew()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case long := <-c.pause:
			select {
			case <-time.After(long):
			case <-ctx.Done():
				return
			}
			// It goes on where it was, before it hears of anything.
		case <-time.After(churnBeat):
		}
		_ = c.commit(ctx)
		c.beat(ctx)
	}
}

func (c *consumerChurner) beginAnew() {
	c.epoch, c.generation, c.next = 0, 0, make(map[int32]int64)
	c.ledger.holds(c.name, c.epoch, nil, time.Time{})
}

// beat sends one heartbeat, with everything in it, and does what it is told.
func (c *consumerChurner) beat(ctx context.Context) {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = churnGroup, c.id, c.epoch
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames = int32(churnRebalance.Milliseconds()), []string{churnTopic}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if len(c.next) > 0 {
		req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: c.topic, Partitions: slices.Sorted(maps.Keys(c.next))})
	}
	sent := time.Now()
	resp, err := request[*kmsg.ConsumerGroupHeartbeatResponse](ctx, c.churner, req)
	if err != nil {
		return // the coordinator may be dead
	}
	switch err := kerr.ErrorForCode(resp.ErrorCode); {
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.FencedMemberEpoch), errors.Is(err, kerr.GroupIDNotFound):
		c.beginAnew()
		return
	case err != nil:
		return
	}
	c.epoch, c.generation = resp.MemberEpoch, resp.MemberEpoch
	if resp.Assignment == nil {
		c.ledger.holds(c.name, c.epoch, slices.Collect(maps.Keys(c.next)), sent.Add(churnSession))
		return
	}
	var told, taken []int32
	for _, t := range resp.Assignment.Topics {
		told = append(told, t.Partitions...)
	}
	maps.DeleteFunc(c.next, func(p int32, _ int64) bool { return !slices.Contains(told, p) })
	for _, p := range told {
		if _, ok := c.next[p]; !ok {
			taken = append(taken, p)
		}
	}
	c.ledger.holds(c.name, c.epoch, told, sent.Add(churnSession))
	kept := c.next
	for c.find(ctx, taken) != nil { // as clients do, which do not consume before they know where
		if ctx.Err() != nil {
			return
		}
		backOff(ctx)
	}
	maps.Copy(c.next, kept)
}

// leaveConsumers tells the coordinator.
func (c *churn) leaveConsumers(l *life) {
	client, err := harness.Client(c.t, c.seeds)
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = churnGroup, l.id, -1
	_, _ = request[*kmsg.ConsumerGroupHeartbeatResponse](ctx, &churner{client: client}, req)
}
