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

// slowCommits is a metastore in which the commit of one offset takes as long as it is held.
type slowCommits struct {
	metastore.Groups
	slow metastore.Offset
	held chan struct{}
}

func (s *slowCommits) CommitOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
	if offsets[0].Offset == s.slow {
		select {
		case <-s.held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.Groups.CommitOffsets(ctx, id, epoch, offsets)
}

func committing(member string, generation Generation, offset metastore.Offset) CommitRequest {
	return CommitRequest{
		GroupID: "g", MemberID: member, Generation: generation, MemberEpochs: true,
		Offsets: []CommitOffset{{TopicPartition: metastore.TopicPartition{Topic: metastore.TopicID{1}}, TopicName: "t", Offset: offset}},
	}
}

func position(t *testing.T, c *Coordinator) metastore.Offset {
	t.Helper()
	found, err := c.FetchOffsets(t.Context(), "g", nil)
	if err != nil || len(found) > 1 {
		t.Fatalf("%v, %v", found, err)
	}
	if len(found) == 0 {
		return metastore.NoOffset
	}
	return found[0].Offset
}

// TestPartitionsChangeHandsAfterTheCommitsOfTheOwner: what a member commits, is still being written when it leaves. Whoever gets
// the partition finds it, and what it commits itself is not undone by it.
func TestPartitionsChangeHandsAfterTheCommitsOfTheOwner(t *testing.T) {
	for kind, takeOver := range map[string]func(t *testing.T, c *Coordinator) (from, to func(metastore.Offset) CommitRequest){
		"consumer": func(t *testing.T, c *Coordinator) (from, to func(metastore.Offset) CommitRequest) {
			a, b := &consumerClient{id: "a"}, &consumerClient{id: "b"}
			settle(t, c, a)
			epoch := Generation(a.epoch)
			from = func(o metastore.Offset) CommitRequest { return committing("a", epoch, o) }
			return from, func(o metastore.Offset) CommitRequest {
				_, err := c.ConsumerHeartbeat(t.Context(), ConsumerHeartbeatRequest{GroupID: "g", MemberID: "a", Epoch: LeaveEpoch})
				if err != nil {
					t.Error(err)
				}
				settle(t, c, b)
				return committing("b", Generation(b.epoch), o)
			}
		},
		"classic": func(t *testing.T, c *Coordinator) (from, to func(metastore.Offset) CommitRequest) {
			ids, generation := formGroup(t, c, 1)
			from = func(o metastore.Offset) CommitRequest { return committing(ids[0], generation, o) }
			return from, func(o metastore.Offset) CommitRequest {
				if _, err := c.Leave(t.Context(), LeaveRequest{GroupID: "g", Members: []LeaveMember{{MemberID: ids[0]}}}); err != nil {
					t.Error(err)
				}
				ids, generation := formGroup(t, c, 1)
				return committing(ids[0], generation, o)
			}
		},
	} {
		for _, transactional := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				store := &slowCommits{memory.New(memory.Options{}), 50, make(chan struct{})}
				c, _ := start(t, store, 1, Options{Topics: oneTopic(1), InitialRebalanceDelay: -1})
				commit := func(req CommitRequest) {
					var err error
					if transactional {
						_, err = c.CommitInTransaction(t.Context(), req, func(ctx context.Context, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
							return store.CommitOffsets(ctx, "g", epoch, offsets)
						})
					} else {
						_, err = c.CommitOffsets(t.Context(), req)
					}
					if err != nil {
						t.Errorf("%s, transactional %v: commit of %d: %v", kind, transactional, req.Offsets[0].Offset, err)
					}
				}
				from, to := takeOver(t, c)
				go commit(from(50))
				synctest.Wait()
				time.AfterFunc(5*time.Second, func() { close(store.held) })
				next := to(60)
				if at := position(t, c); at != 50 {
					t.Errorf("%s, transactional %v: the new owner begins at %d, want 50", kind, transactional, at)
				}
				commit(next)
				time.Sleep(time.Minute)
				if at := position(t, c); at != 60 {
					t.Errorf("%s, transactional %v: the group is at %d, want 60", kind, transactional, at)
				}
			})
		}
	}
}

// TestTransactionalCommitInDoubtCannotLandLater: another member may have the partitions then.
func TestTransactionalCommitInDoubtCannotLandLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		c, _ := start(t, store, 1, Options{Topics: oneTopic(1)})
		a := &consumerClient{id: "a"}
		settle(t, c, a)
		var late func() error
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.CommitInTransaction(ctx, committing("a", Generation(a.epoch), 50),
			func(ctx context.Context, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
				late = func() error { return store.CommitOffsets(t.Context(), "g", epoch, offsets) }
				<-ctx.Done()
				return ctx.Err()
			})
		if !errors.Is(err, ErrCoordinatorUnavailable) {
			t.Errorf("commit: %v", err)
		}
		epoch := a.epoch
		settle(t, c, a)
		if err := late(); !errors.Is(err, metastore.ErrFenced) || a.epoch != epoch {
			t.Errorf("the late commit: %v; the member is in epoch %d, was in %d", err, a.epoch, epoch)
		}
	})
}

// TestCommitInATransactionDoesNotHoldUpTheEnd: the record that waits for it is given up with it.
func TestCommitInATransactionDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := start(t, memory.New(memory.Options{}), 1, Options{Topics: oneTopic(1), DrainTimeout: time.Second})
		a := &consumerClient{id: "a"}
		settle(t, c, a)
		go func() {
			_, err := c.CommitInTransaction(context.Background(), committing("a", Generation(a.epoch), 50),
				func(ctx context.Context, _ metastore.GroupEpoch, _ []metastore.CommittedOffset) error {
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(time.Hour):
						return nil
					}
				})
			if !errors.Is(err, ErrCoordinatorUnavailable) {
				t.Errorf("commit: %v", err)
			}
		}()
		synctest.Wait()
		go func() {
			_, _ = c.ConsumerHeartbeat(context.Background(), ConsumerHeartbeatRequest{GroupID: "g", MemberID: "a", Epoch: LeaveEpoch})
		}()
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the coordinator ended after %v", took)
		}
	})
}

// TestCommitsOfTheEpochBefore (KIP-1251): a member that has not heard of its epoch commits what it has had all the time, and
// nothing else.
func TestCommitsOfTheEpochBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		c, stop := start(t, store, 1, Options{Topics: oneTopic(2)})
		a, b := &consumerClient{id: "a"}, &consumerClient{id: "b"}
		settle(t, c, a)
		before := a.epoch
		settle(t, c, b, a)
		kept, given := a.owned[0], b.owned[0]
		commit := func(c *Coordinator, member string, epoch MemberEpoch) []error {
			req := CommitRequest{GroupID: "g", MemberID: member, Generation: Generation(epoch), MemberEpochs: true, Offsets: []CommitOffset{
				{TopicPartition: given, TopicName: "t", Offset: 7}, {TopicPartition: kept, TopicName: "t", Offset: 8},
			}}
			keep := func(ctx context.Context, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
				return store.CommitOffsets(ctx, "g", epoch, offsets)
			}
			all, err := c.CommitOffsets(t.Context(), req)
			inTxn, txnErr := c.CommitInTransaction(t.Context(), req, keep)
			return append(append(all, err), append(inTxn, txnErr)...)
		}
		want := func(what string, got []error, want ...error) {
			for i := range max(len(got), len(want)) {
				if len(got) != len(want) || !errors.Is(got[i], want[i]) {
					t.Errorf("%s: %v, want %v", what, got, want)
					return
				}
			}
		}
		want("of the epoch before", commit(c, "a", before), ErrStaleMemberEpoch, nil, nil, ErrIllegalGeneration, nil, nil)
		want("of one before that", commit(c, "a", before-1), ErrStaleMemberEpoch, ErrIllegalGeneration)
		want("of the other, which had nothing", commit(c, "b", b.epoch-1), ErrStaleMemberEpoch, ErrIllegalGeneration)
		found, err := store.FetchOffsets(t.Context(), "g", nil)
		if err != nil || len(found) != 1 || found[0].TopicPartition != kept {
			t.Errorf("committed: %v, %v", found, err)
		}
		stop()
		next, _ := start(t, store, 2, Options{Topics: oneTopic(2)})
		want("after a take-over", commit(next, "a", before), ErrStaleMemberEpoch, ErrIllegalGeneration)
	})
}

// TestACommitThatHangsIsNotWrittenOverLaterOnes: neither while it hangs, nor by whoever waits behind it, nor by a transaction.
func TestACommitThatHangsIsNotWrittenOverLaterOnes(t *testing.T) {
	for _, takes := range []time.Duration{5 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			store := &slowCommits{memory.New(memory.Options{}), 27, make(chan struct{})}
			c, _ := start(t, store, 1, Options{Topics: oneTopic(1)})
			type commit struct {
				offset        metastore.Offset
				transactional bool
				err           error
			}
			commits := []*commit{{offset: 27}, {offset: 29}, {offset: 31, transactional: true}, {offset: 33}, {offset: 35}}
			var all sync.WaitGroup
			for _, m := range commits {
				all.Go(func() {
					if m.transactional {
						_, m.err = c.CommitInTransaction(t.Context(), committing("", -1, m.offset),
							func(context.Context, metastore.GroupEpoch, []metastore.CommittedOffset) error {
								if at := position(t, c); at < 29 {
									t.Errorf("a transaction may end while the group is at %d", at)
								}
								return nil
							})
						return
					}
					_, m.err = c.CommitOffsets(t.Context(), committing("", -1, m.offset))
				})
				synctest.Wait() // so that they come in this order
			}
			if at := position(t, c); at != metastore.NoOffset {
				t.Errorf("while the first commit hangs the group is at %d", at)
			}
			time.AfterFunc(takes, func() { close(store.held) })
			all.Wait()
			time.Sleep(2 * time.Hour)
			want, failed := metastore.Offset(35), takes > time.Minute
			if failed {
				want = metastore.NoOffset
			}
			if at := position(t, c); at != want {
				t.Errorf("a commit that takes %v: the group is at %d in the end, want %d", takes, at, want)
			}
			for _, m := range commits {
				if (m.err != nil) != failed {
					t.Errorf("a commit that takes %v: the one of %d: %v", takes, m.offset, m.err)
				}
			}
		})
	}
}

// panicking is a metastore whose commits of an offset panic.
type panicking struct {
	slowCommits
	at metastore.Offset
}

func (p *panicking) CommitOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
	err := p.slowCommits.CommitOffsets(ctx, id, epoch, offsets)
	if offsets[0].Offset == p.at {
		panic("as asked for")
	}
	return err
}

// TestCommitsInLineAreAnsweredWhateverBecomesOfTheOnesBefore: with what clients take for a reason to come again.
func TestCommitsInLineAreAnsweredWhateverBecomesOfTheOnesBefore(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(c *Coordinator) error
		panics    metastore.Offset
	}{
		"the group is deleted": {func(c *Coordinator) error { return c.Delete(context.Background(), "g") }, metastore.NoOffset},
		"a panic":              {func(*Coordinator) error { return nil }, 27},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &panicking{slowCommits{memory.New(memory.Options{}), 27, make(chan struct{})}, c.panics}
			coordinator, _ := start(t, store, 1, Options{Topics: oneTopic(1)})
			failed := make(map[metastore.Offset]error)
			var mu sync.Mutex
			var all sync.WaitGroup
			for _, offset := range []metastore.Offset{27, 29, 31} {
				all.Go(func() {
					err := errors.New("panic")
					defer func() {
						_ = recover()
						mu.Lock()
						defer mu.Unlock()
						failed[offset] = err
					}()
					_, err = coordinator.CommitOffsets(t.Context(), committing("", -1, offset))
				})
				synctest.Wait()
			}
			if err := c.meanwhile(coordinator); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			close(store.held)
			all.Wait()
			for _, offset := range []metastore.Offset{29, 31} {
				if !errors.Is(failed[offset], ErrCoordinatorUnavailable) {
					t.Errorf("%s: the commit of %d: %v", name, offset, failed[offset])
				}
			}
			if _, err := coordinator.CommitOffsets(t.Context(), committing("", -1, 33)); err != nil {
				t.Errorf("%s: the next commit: %v", name, err)
			}
			if at := position(t, coordinator); at != 33 || failed[27] == nil {
				t.Errorf("%s: the group is at %d, the commit of 27: %v", name, at, failed[27])
			}
		})
	}
}
