package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// fixedTopics are topics that do not change.
type fixedTopics []*metastore.Topic

// Topics implements Topics.
func (f fixedTopics) Topics() []*metastore.Topic { return f }

func oneTopic(partitions int32) fixedTopics {
	return fixedTopics{{ID: metastore.TopicID{1}, Name: "t", Partitions: partitions}}
}

// consumerClient is a consumer as clients write them: it says what it has, and does what it is told.
type consumerClient struct {
	id    string
	epoch MemberEpoch
	owned partitions
	told  partitions
}

// beat sends one heartbeat with everything in it.
func (cl *consumerClient) beat(ctx context.Context, c *Coordinator) error {
	if cl.epoch == JoinEpoch {
		cl.owned, cl.told = nil, nil
	}
	resp, err := c.ConsumerHeartbeat(ctx, ConsumerHeartbeatRequest{
		GroupID: "g", MemberID: cl.id, Epoch: cl.epoch, RebalanceTimeout: 30 * time.Second, TopicNames: []string{"t"},
		Owned: append([]metastore.TopicPartition{}, cl.owned...),
	})
	switch {
	case errors.Is(err, ErrUnknownMember), errors.Is(err, ErrFencedMemberEpoch), errors.Is(err, ErrGroupNotFound):
		cl.epoch, cl.owned, cl.told = JoinEpoch, nil, nil
		return err
	case err != nil:
		return err
	}
	cl.epoch = resp.Epoch
	if resp.Assignment != nil {
		cl.told = partitionsOf(resp.Assignment)
	}
	cl.owned = cl.told
	return nil
}

// settle sends heartbeats of all clients until a round changes nothing.
func settle(t *testing.T, c *Coordinator, clients ...*consumerClient) {
	t.Helper()
	for range 20 {
		changed := false
		for _, cl := range clients {
			before := *cl
			if err := cl.beat(t.Context(), c); err != nil {
				t.Fatalf("heartbeat of %s: %v", cl.id, err)
			}
			changed = changed || cl.epoch != before.epoch || !cl.owned.equal(before.owned)
		}
		if !changed {
			return
		}
		time.Sleep(time.Second) // until there may be another assignment
	}
	t.Fatal("the group does not come to rest")
}

func TestConsumerGroupOutlivesItsCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		first, stop := start(t, store, 1, Options{Topics: oneTopic(4)})
		a, b := &consumerClient{id: "a"}, &consumerClient{id: "b"}
		settle(t, first, a, b)
		epochs := []MemberEpoch{a.epoch, b.epoch}
		stop()

		second, _ := start(t, store, 2, Options{Topics: oneTopic(4)})
		// What is not loaded is shown from the metastore.
		list, err := second.List(t.Context())
		if err != nil || len(list) != 1 || list[0] != (Listing{GroupID: "g", ProtocolType: "consumer", Type: ConsumerType, State: Stable}) {
			t.Errorf("listed %+v, %v", list, err)
		}
		if d, err := second.DescribeConsumer(t.Context(), "g"); err != nil || d.State != Stable || len(d.Members) != 2 {
			t.Errorf("described %+v, %v", d, err)
		}
		if _, err := second.Describe(t.Context(), "g"); !errors.Is(err, ErrGroupNotFound) {
			t.Errorf("as a classic group: %v", err)
		}
		settle(t, second, b, a)
		if a.epoch != epochs[0] || b.epoch != epochs[1] || len(a.owned) != 2 || len(b.owned) != 2 {
			t.Errorf("epochs %d and %d were %v; %v and %v", a.epoch, b.epoch, epochs, a.owned, b.owned)
		}
		// Sessions begin anew with the coordinator, and end.
		time.Sleep(44 * time.Second)
		settle(t, second, a, b)
		time.Sleep(46 * time.Second)
		if d, err := second.DescribeConsumer(t.Context(), "g"); err != nil || d.State != Empty {
			t.Errorf("after the sessions: %+v, %v", d, err)
		}
	})
}

// TestStaticMemberCannotComeBackAsAnother: it names the id of a member that is there. Two members of one id would make a record
// that nobody can read.
func TestStaticMemberCannotComeBackAsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		first, stop := start(t, store, 1, Options{Topics: oneTopic(4)})
		beat := func(member, instance string, epoch MemberEpoch) error {
			_, err := first.ConsumerHeartbeat(t.Context(), ConsumerHeartbeatRequest{
				GroupID: "g", MemberID: member, InstanceID: instance, Epoch: epoch, RebalanceTimeout: time.Minute, TopicNames: []string{"t"},
				Owned: []metastore.TopicPartition{},
			})
			return err
		}
		a := &consumerClient{id: "a"}
		settle(t, first, a)
		for _, epoch := range []MemberEpoch{JoinEpoch, LeaveStaticEpoch} {
			if err := beat("s", "i", epoch); err != nil {
				t.Fatal(err)
			}
		}
		if err := beat("a", "i", JoinEpoch); !errors.Is(err, ErrFencedInstance) {
			t.Errorf("static member under the id of another: %v", err)
		}
		settle(t, first, a)
		stop()
		second, _ := start(t, store, 2, Options{Topics: oneTopic(4)})
		settle(t, second, a)
		if d, err := second.DescribeConsumer(t.Context(), "g"); err != nil || len(d.Members) != 2 {
			t.Errorf("after a take-over: %+v, %v", d, err)
		}
	})
}

func TestConsumerHeartbeatIsAnsweredWhenItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Groups: memory.New(memory.Options{})}
		c, _ := start(t, store, 1, Options{Topics: oneTopic(4)})
		store.fail(func(func() error) error { return errDown })
		a := &consumerClient{id: "a"}
		if err := a.beat(t.Context(), c); !errors.Is(err, ErrCoordinatorUnavailable) {
			t.Errorf("join that could not be written: %v", err)
		}
		store.fail(nil)
		settle(t, c, a)
		if len(a.owned) != 4 {
			t.Errorf("owned %v", a.owned)
		}
		// Another claims the group: what this one writes is refused, and so is the heartbeat that needs it.
		if _, err := store.ClaimGroup(t.Context(), "g", 2); err != nil {
			t.Fatal(err)
		}
		if err := a.beat(t.Context(), c); err != nil {
			t.Errorf("heartbeat that changes nothing: %v", err)
		}
		b := &consumerClient{id: "b"}
		if err := b.beat(t.Context(), c); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("join under an old claim: %v", err)
		}
	})
}

// counting counts and times writes of groups.
type counting struct {
	metastore.Groups
	writes atomic.Int64
}

func (c *counting) WriteGroup(ctx context.Context, g metastore.GroupRecord) error {
	c.writes.Add(1)
	time.Sleep(5 * time.Millisecond) // as a metastore takes, of virtual time
	return c.Groups.WriteGroup(ctx, g)
}

// TestManyMembersShareWrites: what 300 members change at the same time is in a few writes, not in one for each.
func TestManyMembersShareWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{Groups: memory.New(memory.Options{})}
		c, _ := start(t, store, 1, Options{Topics: oneTopic(600)})
		clients := make([]*consumerClient, 300)
		for i := range clients {
			clients[i] = &consumerClient{id: fmt.Sprintf("m%d", i)}
		}
		for range 5 {
			var round sync.WaitGroup
			for _, cl := range clients {
				round.Go(func() {
					if err := cl.beat(t.Context(), c); err != nil {
						t.Errorf("heartbeat of %s: %v", cl.id, err)
					}
				})
			}
			round.Wait()
			time.Sleep(5 * time.Second)
		}
		for _, cl := range clients {
			if len(cl.owned) != 2 {
				t.Errorf("%s has %d partitions, want 2", cl.id, len(cl.owned))
			}
		}
		if n := store.writes.Load(); n > 20 {
			t.Errorf("%d writes", n)
		}
	})
}

// TestConsumerChaos lets six clients work while the ownership of their group moves, coordinators do not notice at once, and writes
// fail, in doubt. No two clients ever own the same partition, and at the end all partitions are owned.
func TestConsumerChaos(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 1))
		store := &faulty{Groups: memory.New(memory.Options{})}
		cl := &chaosCluster{t: t, store: store, commits: make(map[metastore.Offset]bool)}
		for i := range cl.nodes {
			cl.nodes[i], _ = start(t, store, metastore.NodeID(i), Options{
				Topics: oneTopic(8), Owns: func(string) bool { return cl.owner.Load() == int32(i) },
			})
		}
		for i := range cl.all {
			cl.all[i] = &chaosClient{} // those of the classic protocol: disturb lets one of them begin anew
		}
		ctx, cancel := context.WithCancel(t.Context())
		owned := &ownership{t: t, all: make(map[*consumerClient]claimed)}
		clients := make([]*consumerClient, len(cl.all))
		var running sync.WaitGroup
		for i := range clients {
			clients[i] = &consumerClient{id: fmt.Sprintf("m%d", i)}
			running.Go(func() { owned.run(ctx, cl, clients[i], &cl.all[i].restart) })
		}
		for range 100 {
			cl.disturb(random)
		}
		store.fail(nil)
		time.Sleep(3 * time.Minute)
		cancel()
		running.Wait()
		total := 0
		for _, c := range clients {
			total += len(c.owned)
		}
		if total != 8 {
			t.Errorf("%d partitions are owned at the end, want 8", total)
		}
		t.Logf("%d heartbeats, epoch %d", owned.beats, clients[0].epoch)
	})
}

// ownership is what each client owns, and when it last had an answer.
type ownership struct {
	t     *testing.T
	mu    sync.Mutex
	all   map[*consumerClient]claimed
	beats int
}

type claimed struct {
	owned partitions
	at    time.Time
}

// run lets a client send heartbeats every second.
func (o *ownership) run(ctx context.Context, cl *chaosCluster, c *consumerClient, restart *atomic.Bool) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		if restart.Swap(false) {
			*c = consumerClient{id: c.id + "'"} // without a farewell
			o.claim(c, time.Time{})
		}
		sent := time.Now()
		if err := c.beat(ctx, cl.coordinator()); err == nil {
			o.claim(c, sent)
		} else if c.epoch == JoinEpoch {
			o.claim(c, time.Time{})
		}
	}
}

// claim notes what the client owns. Nobody else may own that whose session cannot have ended: it begins anew with a coordinator,
// and never ends before its time.
func (o *ownership) claim(c *consumerClient, sent time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.beats++
	for other, has := range o.all {
		if other != c && time.Since(has.at) < 45*time.Second && has.owned.meets(c.owned) {
			o.t.Errorf("%s owns %v and %s owns %v", c.id, c.owned, other.id, has.owned)
		}
	}
	o.all[c] = claimed{c.owned, sent}
}
