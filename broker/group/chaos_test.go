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

// chaosClient is a consumer as clients write them: it joins, syncs, sends heartbeats and commits, and does what the
// errors tell it.
type chaosClient struct {
	cluster    *chaosCluster
	id         string
	generation Generation
	assignment string
	rebalances int
	restart    atomic.Bool // it shall forget who it is, and begin anew
}

// chaosCluster is two coordinators on one metastore, of which one owns the group at any time.
type chaosCluster struct {
	t     *testing.T
	store *faulty
	all   [6]*chaosClient
	nodes [2]*Coordinator
	owner atomic.Int32

	mu      sync.Mutex
	commits map[metastore.Offset]bool // acknowledged
	newest  metastore.Offset
}

func (cl *chaosCluster) coordinator() *Coordinator { return cl.nodes[cl.owner.Load()] }

// TestChaos lets six clients work while the ownership of their group moves, coordinators do not notice at once, and
// writes fail, in doubt. At the end all must be in one generation with the assignment of its leader, and no acknowledged
// commit may be lost.
func TestChaos(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 1))
		cl := &chaosCluster{t: t, store: &faulty{Groups: memory.New(memory.Options{})}, commits: make(map[metastore.Offset]bool)}
		for i := range cl.nodes {
			cl.nodes[i], _ = start(t, cl.store, metastore.NodeID(i), Options{
				InitialRebalanceDelay: time.Second,
				Owns:                  func(string) bool { return cl.owner.Load() == int32(i) },
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for i := range cl.all {
			cl.all[i] = &chaosClient{cluster: cl, generation: NoGeneration}
		}
		for _, c := range cl.all {
			clients.Go(func() { c.run(ctx) })
		}
		for range 100 {
			cl.disturb(random)
		}
		cl.store.fail(nil)
		time.Sleep(2 * time.Minute)
		cancel()
		clients.Wait()
		generation := cl.all[0].generation
		for i, c := range cl.all {
			if c.generation != generation || c.assignment != fmt.Sprintf("%s in %d", c.id, c.generation) || c.rebalances < 2 {
				t.Errorf("client %d: %s in generation %d with %q after %d rebalances", i, c.id, c.generation, c.assignment, c.rebalances)
			}
		}
		offsets, err := cl.coordinator().FetchOffsets(t.Context(), "g", nil)
		if err != nil || len(offsets) != 1 || offsets[0].Offset < cl.newest {
			t.Errorf("offsets %+v, %v; newest acknowledged is %d of %d", offsets, err, cl.newest, len(cl.commits))
		}
		t.Logf("%d commits acknowledged, generation %d", len(cl.commits), generation)
	})
}

// disturb does one bad thing and waits for up to 20 seconds.
func (cl *chaosCluster) disturb(random *rand.Rand) {
	switch random.IntN(5) {
	case 0: // a client dies; half of them say farewell
		cl.all[random.IntN(len(cl.all))].restart.Store(true)
	case 1:
		cl.owner.Store(1 - cl.owner.Load())
	case 2: // the old owner does not know that the group was claimed
		if _, err := cl.store.ClaimGroup(context.Background(), "g", 9); err != nil {
			cl.t.Error(err)
		}
	case 3: // writes fail; some have happened, or happen later
		cl.failWrites(random.IntN(3), time.Duration(random.IntN(3000))*time.Millisecond, time.Duration(random.IntN(3000))*time.Millisecond)
	}
	time.Sleep(time.Duration(random.IntN(20_000)) * time.Millisecond)
}

// failWrites makes writes fail for a time. They have happened if how is 0; if it is 1, those that were made happen
// later, and are fenced if the group was used since.
func (cl *chaosCluster) failWrites(how int, lasting, lateBy time.Duration) {
	var mu sync.Mutex
	var late []func() error
	cl.store.fail(func(write func() error) error {
		mu.Lock()
		defer mu.Unlock()
		switch how {
		case 0:
			_ = write()
		case 1:
			late = append(late, write)
		}
		return errDown
	})
	time.Sleep(lasting)
	cl.store.fail(nil)
	time.Sleep(lateBy)
	mu.Lock()
	defer mu.Unlock()
	for _, write := range late {
		_ = write()
	}
}

func (c *chaosClient) run(ctx context.Context) {
	for ctx.Err() == nil {
		if c.join(ctx) {
			c.work(ctx)
		}
		if ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// join joins and syncs; false if it has to begin again.
func (c *chaosClient) join(ctx context.Context) bool {
	req := joinRequest(c.id)
	req.RequireKnownMemberID = true
	resp, err := c.cluster.coordinator().Join(ctx, req)
	switch {
	case errors.Is(err, ErrMemberIDRequired):
		c.id = resp.MemberID
		return false
	case errors.Is(err, ErrUnknownMember):
		c.id = ""
		return false
	case err != nil:
		return false
	}
	assignments := make(map[string][]byte)
	for _, m := range resp.Members {
		assignments[m.MemberID] = fmt.Appendf(nil, "%s in %d", m.MemberID, resp.Generation)
	}
	got, err := c.cluster.coordinator().Sync(ctx, SyncRequest{
		GroupID: "g", MemberID: c.id, Generation: resp.Generation, Protocol: resp.Protocol, Assignments: assignments,
	})
	if errors.Is(err, ErrUnknownMember) {
		c.id = ""
	}
	if err != nil {
		return false
	}
	c.generation, c.assignment = resp.Generation, string(got.Assignment)
	c.rebalances++
	return true
}

// work sends heartbeats and commits until the group rebalances.
func (c *chaosClient) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		if c.restart.Swap(false) {
			if c.generation%2 == 0 {
				_, _ = c.cluster.coordinator().Leave(ctx, LeaveRequest{GroupID: "g", Members: []LeaveMember{{MemberID: c.id}}})
			}
			c.id = ""
			return
		}
		err := c.cluster.coordinator().Heartbeat(ctx, HeartbeatRequest{GroupID: "g", MemberID: c.id, Generation: c.generation})
		if err == nil {
			err = c.cluster.commit(ctx, c)
		}
		switch {
		case errors.Is(err, ErrUnknownMember):
			c.id = ""
			return
		case errors.Is(err, ErrIllegalGeneration), errors.Is(err, ErrRebalanceInProgress):
			return
		}
	}
}

// commit commits the next offset of one partition that all clients share, one after the other.
func (cl *chaosCluster) commit(ctx context.Context, c *chaosClient) error {
	if !cl.mu.TryLock() {
		return nil // somebody else is at it
	}
	defer cl.mu.Unlock()
	next := cl.newest + 1
	_, err := cl.coordinator().CommitOffsets(ctx, CommitRequest{
		GroupID: "g", MemberID: c.id, Generation: c.generation, Offsets: []CommitOffset{{Offset: next}},
	})
	if err == nil {
		cl.newest = next
		cl.commits[next] = true
	}
	return err
}
