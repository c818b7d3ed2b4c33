package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// churn is a group whose members come and go.
type churn struct {
	t       *testing.T
	brokers []*member
	ledger  *groupLedger
	seeds   kgo.Opt
	topic   [16]byte
	rng     *rand.Rand
	lives   []*life
	born    int
	running sync.WaitGroup
	counts  map[string]int // what happened

	consumers bool // members use the consumer protocol
}

// life is a member as long as it lives.
type life struct {
	*churner
	end  context.CancelFunc
	done chan struct{}
}

// churnSize is how many members there are at most, and for how long. RUNNEL_CHURN=MEMBERS,DURATION makes it more:
//
//	cd integration && RUNNEL_CHURN=100,5m go run ./cmd/withservers -- go test -timeout 20m -count=1 -run TestGroupChurn -v ./e2e
func churnSize(t *testing.T) (members int, duration time.Duration) {
	t.Helper()
	members, duration = 30, 40*time.Second
	if testing.Short() {
		duration = 15 * time.Second
	}
	if text := os.Getenv("RUNNEL_CHURN"); text != "" {
		count, long, _ := strings.Cut(text, ",")
		var err error
		if members, err = strconv.Atoi(count); err != nil {
			t.Fatal(err)
		}
		if duration, err = time.ParseDuration(long); err != nil {
			t.Fatal(err)
		}
	}
	return members, duration
}

// TestGroupChurn: members of a group join, leave, die, come back under their instance id, and go on after a pause as if
// nothing had happened, while the brokers that coordinate it are killed. In no generation is a partition told to two of
// them, no committed offset goes back, and in the end the group shares all partitions.
func TestGroupChurn(t *testing.T) {
	t.Parallel()
	members, duration := churnSize(t)
	seed := churnSeed(t)
	t.Logf("seed %d (RUNNEL_CHURN_SEED), %d members, %v", seed, members, duration)
	c := startChurn(t, seed, map[string]string{"group.min.session.timeout.ms": "1000"})
	c.realConsumer()
	c.last(members, duration)
	c.settle()
	c.conclude()
}

func churnSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if fixed := os.Getenv("RUNNEL_CHURN_SEED"); fixed != "" {
		var err error
		if seed, err = strconv.ParseUint(fixed, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return seed
}

// last lets things happen for a time.
func (c *churn) last(members int, duration time.Duration) {
	c.t.Helper()
	for range members / 2 {
		c.join("")
	}
	c.awaitProgress("the group begins", 1)
	nextKill, began := time.Now().Add(6*time.Second), time.Now()
	for time.Since(began) < duration {
		c.happen(members)
		if time.Now().After(nextKill) {
			c.killCoordinator()
			nextKill = time.Now().Add(8*time.Second + time.Duration(c.rng.Int64N(int64(4*time.Second))))
		}
		if err := c.ledger.err(); err != nil {
			c.t.Fatal(err)
		}
		<-time.After(300*time.Millisecond + time.Duration(c.rng.Int64N(int64(900*time.Millisecond))))
	}
}

func startChurn(t *testing.T, seed uint64, settings map[string]string) *churn {
	t.Helper()
	brokers := startClusterWith(t, 3, settings)
	var addresses []string
	for _, b := range brokers {
		addresses = append(addresses, b.Addr)
	}
	c := &churn{
		t: t, brokers: brokers, ledger: newGroupLedger(), seeds: kgo.SeedBrokers(addresses...),
		rng: rand.New(rand.NewPCG(seed, 3)), counts: make(map[string]int),
	}
	createTopic(t, churnTopic, churnPartitions, c.seeds)
	for _, b := range brokers {
		eventually(t, "the broker knows the topic", 10*time.Second, func() bool {
			found, err := admin(t, through(b.Broker)...).ListTopics(harness.Soon(t), churnTopic)
			c.topic = found[churnTopic].ID
			return err == nil && found[churnTopic].Err == nil && len(found[churnTopic].Partitions) == churnPartitions
		})
	}
	t.Cleanup(func() {
		for _, l := range c.lives {
			l.end()
		}
		c.running.Wait()
	})
	c.observe()
	return c
}

// join starts a member; with an instance, a static one.
func (c *churn) join(instance string) {
	client, err := harness.Client(c.t, c.seeds)
	if err != nil {
		c.t.Fatal(err)
	}
	c.born++
	m := &churner{ledger: c.ledger, client: client, topic: c.topic, name: fmt.Sprint("life ", c.born), pause: make(chan time.Duration, 1)}
	if instance != "" {
		m.name, m.instance = instance, &instance
	}
	ctx, end := context.WithCancel(context.Background())
	l := &life{m, end, make(chan struct{})}
	c.lives = append(c.lives, l)
	c.running.Go(func() {
		defer close(l.done)
		defer client.Close()
		if c.consumers {
			(&consumerChurner{churner: m}).run(ctx)
			return
		}
		m.run(ctx)
	})
}

// take removes a member at random from those that live; nil if there are few.
func (c *churn) take() *life {
	c.lives = living(c.lives)
	if len(c.lives) < 3 {
		return nil
	}
	i := c.rng.IntN(len(c.lives))
	l := c.lives[i]
	c.lives = append(c.lives[:i], c.lives[i+1:]...)
	return l
}

func living(all []*life) (kept []*life) {
	for _, l := range all {
		select {
		case <-l.done:
		default:
			kept = append(kept, l)
		}
	}
	return kept
}

// happen lets one thing happen.
func (c *churn) happen(members int) {
	what := c.rng.IntN(10)
	if what < 5 && len(c.lives) < members {
		for range 1 + c.rng.IntN(max(3, members/10)) {
			instance := ""
			if !c.consumers && c.rng.IntN(2) == 0 {
				instance = fmt.Sprint("instance ", c.born)
			}
			c.join(instance)
			c.counts["joined"]++
		}
		return
	}
	l := c.take()
	if l == nil {
		return
	}
	switch {
	case l.instance != nil && what%2 == 0: // while the one before may be alive
		c.counts["came back under their instance id"]++
		c.join(*l.instance)
		c.running.Go(func() {
			select {
			case <-l.done:
			case <-time.After(2 * churnSession):
				l.end()
			}
		})
	case what < 7:
		c.counts["left"]++
		l.end()
		<-l.done
		c.leave(l)
	case what < 9:
		c.counts["died"]++
		l.end()
	default:
		c.counts["paused for longer than their session"]++
		select {
		case l.pause <- churnSession + 2*time.Second:
		default:
		}
		c.lives = append(c.lives, l)
	}
}

func (c *churn) leave(l *life) {
	if c.consumers {
		c.leaveConsumers(l)
		return
	}
	client, err := harness.Client(c.t, c.seeds)
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	gone := churner{client: client, id: l.id, instance: l.instance}
	gone.leave(ctx)
}

// coordinator is the broker that clients are told to ask.
func (c *churn) coordinator() *member {
	for _, b := range c.brokers {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey, req.CoordinatorKeys = churnGroup, []string{churnGroup}
		client, err := harness.Client(c.t, kgo.SeedBrokers(b.Addr))
		if err != nil {
			c.t.Fatal(err)
		}
		resp, err := client.SeedBrokers()[0].Request(harness.Soon(c.t), req)
		client.Close()
		if err != nil {
			continue
		}
		found := resp.(*kmsg.FindCoordinatorResponse).Coordinators[0]
		for _, m := range c.brokers {
			if m.Addr == fmt.Sprintf("%s:%d", found.Host, found.Port) {
				return m
			}
		}
	}
	c.t.Fatal("no broker names the coordinator")
	return nil
}

// killCoordinator kills it and starts it again, sometimes when another has taken over.
func (c *churn) killCoordinator() {
	victim := c.coordinator()
	victim.Kill()
	c.counts["coordinators killed"]++
	if c.rng.IntN(2) == 0 {
		c.awaitProgress("another broker coordinates", 1)
	}
	victim.Restart()
}

// awaitProgress waits until members commit.
func (c *churn) awaitProgress(what string, commits int) {
	c.t.Helper()
	_, before, _ := c.ledger.progress()
	eventually(c.t, what, 60*time.Second, func() bool {
		_, now, _ := c.ledger.progress()
		return now >= before+commits
	})
}

// observe reads the offsets of the group all the time, like an administrator.
func (c *churn) observe() {
	client, err := harness.Client(c.t, c.seeds)
	if err != nil {
		c.t.Fatal(err)
	}
	o := &churner{ledger: c.ledger, client: client, topic: c.topic}
	ctx, end := context.WithCancel(context.Background())
	c.t.Cleanup(end)
	var all []int32
	for p := range int32(churnPartitions) {
		all = append(all, p)
	}
	c.running.Go(func() {
		defer client.Close()
		for ctx.Err() == nil {
			floor := c.ledger.floor()
			if found, err := committedOffsets(ctx, o, all); err == nil {
				for p, offset := range found {
					c.ledger.read("the observer", p, offset, floor)
				}
			}
			backOff(ctx)
		}
	})
}

// realConsumer puts a consumer of a real client into the group, which stays.
func (c *churn) realConsumer() {
	assigned := func(_ context.Context, client *kgo.Client, topics map[string][]int32) {
		_, generation := client.GroupMetadata()
		c.ledger.owns("a real client", generation, topics[churnTopic])
	}
	client, err := harness.Client(c.t, c.seeds, kgo.ConsumerGroup(churnGroup), kgo.ConsumeTopics(churnTopic), kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.RangeBalancer()), kgo.SessionTimeout(churnSession), kgo.RebalanceTimeout(churnRebalance),
		kgo.HeartbeatInterval(churnBeat), kgo.OnPartitionsAssigned(assigned))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	c.t.Cleanup(end)
	c.running.Go(func() {
		defer client.Close()
		for ctx.Err() == nil {
			client.PollFetches(ctx)
		}
	})
}

// settle waits until the members that are left share all partitions.
func (c *churn) settle() {
	c.t.Helper()
	c.lives = living(c.lives)
	var partitions, owners int
	client := admin(c.t, c.seeds)
	eventually(c.t, "all partitions have an owner", 60*time.Second, func() bool {
		described, err := client.DescribeGroups(harness.Soon(c.t), churnGroup)
		if err != nil || described[churnGroup].State != "Stable" {
			return false
		}
		partitions, owners = c.ledger.owned(c.ledger.newest())
		return partitions == churnPartitions
	})
	c.t.Logf("in the last generation %d partitions belong to %d members", partitions, owners)
	c.awaitProgress("offsets are committed", churnPartitions)
}

// conclude stops everybody and says what happened.
func (c *churn) conclude() {
	c.t.Helper()
	for _, l := range c.lives {
		l.end()
	}
	for _, l := range c.lives {
		<-l.done
	}
	if err := c.ledger.err(); err != nil {
		c.t.Fatal(err)
	}
	generation, commits, takenOver := c.ledger.progress()
	c.t.Logf("%v; %d generations, %d offsets committed, partitions changed hands %d times; commits refused: %v",
		c.counts, generation, commits, takenOver, c.ledger.refused)
	if generation < 5 || takenOver < churnPartitions || c.counts["coordinators killed"] == 0 {
		c.t.Error("too little happened for this to prove anything")
	}
}
