package group

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// faulty is a metastore whose writes can be made to fail.
type faulty struct {
	metastore.Groups
	mu   sync.Mutex
	next func(late func() error) error // what becomes of the next writes; late makes the write
}

func (f *faulty) fail(next func(late func() error) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = next
}

func (f *faulty) through(write func() error) error {
	f.mu.Lock()
	next := f.next
	f.mu.Unlock()
	if next == nil {
		return write()
	}
	return next(write)
}

func (f *faulty) WriteGroup(ctx context.Context, g metastore.GroupRecord) error {
	return f.through(func() error { return f.Groups.WriteGroup(context.WithoutCancel(ctx), g) })
}

func (f *faulty) CommitOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
	return f.through(func() error { return f.Groups.CommitOffsets(context.WithoutCancel(ctx), id, epoch, offsets) })
}

var errDown = errors.New("metastore is down")

// start runs a coordinator until the test's end, or stop.
func start(t *testing.T, groups metastore.Groups, node metastore.NodeID, opts Options) (c *Coordinator, stop func()) {
	t.Helper()
	c = New(groups, node, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	synctest.Wait()
	return c, stop
}

func joinRequest(id string) JoinRequest {
	return JoinRequest{
		GroupID: "g", MemberID: id, ClientID: "client", ProtocolType: "consumer",
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 30 * time.Second, Protocols: []Protocol{{"range", []byte("m")}},
	}
}

type joined struct {
	JoinResponse
	err error
}

// joinAsync joins and delivers the answer.
func joinAsync(ctx context.Context, c *Coordinator, req JoinRequest) chan joined {
	answer := make(chan joined, 1)
	go func() {
		resp, err := c.Join(ctx, req)
		answer <- joined{resp, err}
	}()
	return answer
}

// formGroup brings n members to Stable and returns their ids, the leader first.
func formGroup(t *testing.T, c *Coordinator, n int) (ids []string, generation Generation) {
	t.Helper()
	var answers []chan joined
	for range n {
		answers = append(answers, joinAsync(t.Context(), c, joinRequest("")))
	}
	var leader JoinResponse
	for _, answer := range answers {
		a := <-answer
		if a.err != nil {
			t.Fatal(a.err)
		}
		if len(a.Members) > 0 {
			leader = a.JoinResponse
		}
	}
	assignments := make(map[string][]byte)
	ids = []string{leader.MemberID}
	for _, m := range leader.Members {
		assignments[m.MemberID] = []byte("of " + m.MemberID)
		if m.MemberID != leader.MemberID {
			ids = append(ids, m.MemberID)
		}
	}
	var syncs sync.WaitGroup
	for _, id := range ids {
		req := SyncRequest{GroupID: "g", MemberID: id, Generation: leader.Generation}
		if id == leader.MemberID {
			req.Assignments = assignments
		}
		syncs.Go(func() {
			if got, err := c.Sync(t.Context(), req); err != nil || string(got.Assignment) != "of "+id {
				t.Errorf("sync of %s: %q, %v", id, got.Assignment, err)
			}
		})
	}
	syncs.Wait()
	return ids, leader.Generation
}

func heartbeatAll(t *testing.T, c *Coordinator, ids []string, generation Generation, want error) {
	t.Helper()
	for _, id := range ids {
		if err := c.Heartbeat(t.Context(), HeartbeatRequest{GroupID: "g", MemberID: id, Generation: generation}); !errors.Is(err, want) {
			t.Errorf("heartbeat of %s: %v, want %v", id, err, want)
		}
	}
}

func TestThreeMembersShareAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{})
		began := time.Now()
		ids, generation := formGroup(t, c, 3)
		if waited := time.Since(began); generation != 1 || len(ids) != 3 || waited != 6*time.Second {
			t.Errorf("generation %d of %d members after %s; want 1, 3 and the initial delay, extended once", generation, len(ids), waited)
		}
		heartbeatAll(t, c, ids, 1, nil)

		// Without heartbeats all sessions end, and the group is remembered as empty.
		time.Sleep(11 * time.Second)
		d, err := c.Describe(t.Context(), "g")
		if err != nil || d.State != Empty || len(d.Members) != 0 {
			t.Errorf("after the sessions: %+v, %v", d, err)
		}
		heartbeatAll(t, c, ids, 1, ErrUnknownMember)
	})
}

func TestTakeoverKeepsMembersAndGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		first, stop := start(t, store, 1, Options{})
		ids, generation := formGroup(t, first, 2)
		stop()

		second, _ := start(t, store, 2, Options{})
		heartbeatAll(t, second, ids, generation, nil)
		time.Sleep(9 * time.Second)
		heartbeatAll(t, second, ids, generation, nil) // a whole session from the take-over on
		got, err := second.Sync(t.Context(), SyncRequest{GroupID: "g", MemberID: ids[1], Generation: generation})
		if err != nil || string(got.Assignment) != "of "+ids[1] {
			t.Errorf("sync after take-over: %q, %v", got.Assignment, err)
		}
		time.Sleep(11 * time.Second)
		heartbeatAll(t, second, ids, generation, ErrUnknownMember)
	})
}

func TestFencedCoordinatorGivesTheGroupUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		first, _ := start(t, store, 1, Options{InitialRebalanceDelay: -1})
		second, _ := start(t, store, 2, Options{InitialRebalanceDelay: -1})
		ids, generation := formGroup(t, first, 1)
		heartbeatAll(t, second, ids, generation, nil) // claims the group

		commit := CommitRequest{GroupID: "g", MemberID: ids[0], Generation: generation, Offsets: []CommitOffset{{Offset: 7}}}
		if _, err := first.CommitOffsets(t.Context(), commit); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("commit under an old claim: %v", err)
		}
		if offsets, err := second.FetchOffsets(t.Context(), "g", nil); err != nil || len(offsets) != 0 {
			t.Errorf("offsets %v, %v", offsets, err)
		}
		if _, err := second.CommitOffsets(t.Context(), commit); err != nil {
			t.Errorf("commit under the new claim: %v", err)
		}
	})
}

func TestFencedSyncAnswersEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		first, _ := start(t, store, 1, Options{})
		a, b := joinAsync(t.Context(), first, joinRequest("")), joinAsync(t.Context(), first, joinRequest(""))
		members := []joined{<-a, <-b}
		if _, err := store.ClaimGroup(t.Context(), "g", 2); err != nil {
			t.Fatal(err)
		}
		var syncs sync.WaitGroup
		for _, m := range members {
			syncs.Go(func() {
				_, err := first.Sync(t.Context(), SyncRequest{GroupID: "g", MemberID: m.MemberID, Generation: m.Generation})
				if !errors.Is(err, ErrNotCoordinator) && !errors.Is(err, ErrUnknownMember) {
					t.Errorf("sync: %v", err)
				}
			})
		}
		syncs.Wait()
	})
}

func TestFailedWriteCannotLandLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Groups: memory.New(memory.Options{})}
		c, _ := start(t, store, 1, Options{InitialRebalanceDelay: -1})
		ids, generation := formGroup(t, c, 1)
		var late func() error
		store.fail(func(write func() error) error { late = write; return errDown })
		commit := CommitRequest{GroupID: "g", MemberID: ids[0], Generation: generation, Offsets: []CommitOffset{{Offset: 1}}}
		if _, err := c.CommitOffsets(t.Context(), commit); !errors.Is(err, ErrCoordinatorUnavailable) {
			t.Fatalf("commit while the metastore is down: %v", err)
		}
		store.fail(nil)
		commit.Offsets = []CommitOffset{{Offset: 2}}
		if _, err := c.CommitOffsets(t.Context(), commit); err != nil {
			t.Fatalf("commit afterwards: %v", err)
		}
		if err := late(); !errors.Is(err, metastore.ErrFenced) {
			t.Errorf("the write in doubt came through late: %v", err)
		}
		offsets, err := c.FetchOffsets(t.Context(), "g", nil)
		if err != nil || len(offsets) != 1 || offsets[0].Offset != 2 {
			t.Errorf("offsets %+v, %v", offsets, err)
		}
		heartbeatAll(t, c, ids, generation, nil)
	})
}

func TestFailedAssignmentIsGivenToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Groups: memory.New(memory.Options{})}
		c, _ := start(t, store, 1, Options{InitialRebalanceDelay: -1})
		resp, err := c.Join(t.Context(), joinRequest(""))
		if err != nil {
			t.Fatal(err)
		}
		store.fail(func(func() error) error { return errDown })
		req := SyncRequest{GroupID: "g", MemberID: resp.MemberID, Generation: resp.Generation}
		if _, err := c.Sync(t.Context(), req); !errors.Is(err, ErrCoordinatorUnavailable) {
			t.Errorf("sync: %v", err)
		}
		store.fail(nil)
		if _, err := c.Sync(t.Context(), req); !errors.Is(err, ErrUnknownMember) {
			t.Errorf("sync of a member that was never persisted: %v", err)
		}
		formGroup(t, c, 1)
	})
}

func TestCancelledJoinLeavesTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		answer := joinAsync(ctx, c, joinRequest(""))
		time.Sleep(time.Second)
		cancel()
		if a := <-answer; !errors.Is(a.err, context.Canceled) || a.Generation != NoGeneration {
			t.Errorf("cancelled join: %+v", a)
		}
		time.Sleep(3 * time.Second)
		if d, err := c.Describe(t.Context(), "g"); err != nil || d.State != CompletingRebalance || len(d.Members) != 1 {
			t.Errorf("the member should be there until its session ends: %+v, %v", d, err)
		}
		time.Sleep(10 * time.Second)
		if d, err := c.Describe(t.Context(), "g"); err != nil || d.State != Empty {
			t.Errorf("after its session: %+v, %v", d, err)
		}
	})
}

func TestGroupsNoLongerOwnedAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		owns := true
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{Owns: func(string) bool {
			mu.Lock()
			defer mu.Unlock()
			return owns
		}})
		answer := joinAsync(t.Context(), c, joinRequest(""))
		synctest.Wait()
		mu.Lock()
		owns = false
		mu.Unlock()
		if a := <-answer; !errors.Is(a.err, ErrNotCoordinator) {
			t.Errorf("waiting join: %v", a.err)
		}
		_, err := c.Join(t.Context(), joinRequest(""))
		if !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("join: %v", err)
		}
		if list, err := c.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("list: %v, %v", list, err)
		}
		synctest.Wait() // those who wait hear of it first
		if n := len(c.snapshot()); n != 0 {
			t.Errorf("%d groups in memory", n)
		}
	})
}

func TestIdleGroupsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, memory.New(memory.Options{}), 1, Options{})
		commit := CommitRequest{GroupID: "", Generation: NoGeneration, Offsets: []CommitOffset{{Offset: 7}}}
		if _, err := c.CommitOffsets(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute)
		if n := len(c.snapshot()); n != 1 {
			t.Errorf("%d groups in memory after 9 minutes", n)
		}
		time.Sleep(2 * time.Minute)
		if n := len(c.snapshot()); n != 0 {
			t.Errorf("%d groups in memory after 11 minutes", n)
		}
		if _, err := c.CommitOffsets(t.Context(), commit); err != nil {
			t.Errorf("commit afterwards: %v", err)
		}
	})
}

func TestRequestsOutsideOfRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(memory.New(memory.Options{}), 1, Options{})
		if _, err := c.Join(t.Context(), joinRequest("")); !errors.Is(err, ErrCoordinatorLoading) {
			t.Errorf("before Run: %v", err)
		}
		c, stop := start(t, memory.New(memory.Options{}), 1, Options{})
		answer := joinAsync(t.Context(), c, joinRequest(""))
		synctest.Wait()
		stop()
		if a := <-answer; !errors.Is(a.err, ErrNotCoordinator) {
			t.Errorf("join that waited: %v", a.err)
		}
		if _, err := c.Join(t.Context(), joinRequest("")); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("after Run: %v", err)
		}
	})
}
