package sequencer

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

// settle lets brokers learn who holds the role: a beat after they started, everybody has asked.
func settle(opts Options) {
	time.Sleep(2 * opts.withDefaults().Beat)
	synctest.Wait()
}

func TestOneBrokerAppendsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 3, Options{})
		for _, b := range c.brokers {
			if err := b.seq.AwaitRole(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		holder, others := c.holder(t), c.others(t)
		for i, b := range others {
			if got := c.commit(t, b, c.segment(0, metastore.ProducerID(i), 0, 10)); got != metastore.Offset(10*i) {
				t.Errorf("offset %d, want %d", got, 10*i)
			}
		}
		c.commit(t, holder, c.segment(0, 9, 0, 10))
		if got := counted(t, holder.seq.metrics.commits.WithLabelValues(pathForOthers)); got != 2 {
			t.Errorf("%v commits for others, want 2", got)
		}
		synctest.Wait()
		for _, b := range others {
			if b.log.Position() != holder.log.Position() {
				t.Errorf("broker %d is at %v, the sequencer at %v", b.self.NodeID, b.log.Position(), holder.log.Position())
			}
			if counted(t, b.seq.metrics.pushed) == 0 {
				t.Errorf("broker %d got no entries from the sequencer", b.self.NodeID)
			}
		}
	})
}

// slowLog is a log whose appends take their time, so that commits wait for each other.
type slowLog struct{ metastore.Log }

func (l slowLog) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	time.Sleep(10 * time.Millisecond)
	return l.Log.Append(ctx, expected, next)
}

func TestCommitsThatWaitBecomeOneAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		log := &counting{Log: slowLog{store}}
		replica := metastore.NewReplica(log, metastore.ReplicaOptions{})
		topic, err := replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "t", Partitions: partitions})
		if err != nil {
			t.Fatal(err)
		}
		c := &cluster{topic: topic.ID}
		s := New(replica, nil, nil, nil, Options{})
		ctx, stop := context.WithCancel(t.Context())
		var running, commits sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		before := log.count()
		for i := range 100 {
			commits.Go(func() {
				if _, err := s.Commit(ctx, c.segment(int32(i%partitions), metastore.ProducerID(i), 0, 1)); err != nil {
					t.Error(err)
				}
			})
		}
		commits.Wait()
		stop()
		running.Wait()
		if got := log.count() - before; got > 4 {
			t.Errorf("%d appends for 100 commits at once", got)
		}
		for p := range int32(partitions) {
			if w, _ := replica.Watermarks(metastore.TopicPartition{Topic: topic.ID, Partition: p}); w.High != 100/partitions {
				t.Errorf("partition %d ends at %d", p, w.High)
			}
		}
	})
}

// TestASequencerThatFailsIsBypassed breaks the sequencer in every way while commits go on: none takes longer than the
// patience and what the log takes, each gets one place, and in the end another broker has the role.
func TestASequencerThatFailsIsBypassed(t *testing.T) {
	for name, how := range map[string]fault{"dead": dead, "paused": paused, "deaf": deaf} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := Options{}.withDefaults()
				c := start(t, 3, opts)
				settle(opts)
				holder, others := c.holder(t), c.others(t)
				c.net.breakAt(peerAddress(holder.self), how)
				next := metastore.Offset(0)
				for i := range 20 {
					begun := time.Now()
					if got := c.commit(t, others[i%2], c.segment(0, 1, int32(10*i), 10)); got != next {
						t.Errorf("commit %d is at %d, want %d", i, got, next)
					}
					next += 10
					if took := time.Since(begun); took > opts.Patience+10*time.Millisecond {
						t.Errorf("commit %d took %v", i, took)
					}
				}
				if how == deaf {
					return // it answers pings and keeps its lease
				}
				for _, b := range others {
					if !b.seq.known().suspected {
						t.Errorf("broker %d still trusts it", b.self.NodeID)
					}
				}
				holder.stop()
				c.net.breakAt(peerAddress(holder.self), dead)
				time.Sleep(opts.Lease + opts.Beat)
				synctest.Wait()
				if c.holder(t) == holder {
					t.Error("nobody took the role over")
				}
				direct := counted(t, others[0].seq.metrics.commits.WithLabelValues(pathDirect)) +
					counted(t, others[1].seq.metrics.commits.WithLabelValues(pathDirect))
				c.commit(t, others[0], c.segment(1, 1, 0, 1))
				c.commit(t, others[1], c.segment(1, 2, 0, 1))
				after := counted(t, others[0].seq.metrics.commits.WithLabelValues(pathDirect)) +
					counted(t, others[1].seq.metrics.commits.WithLabelValues(pathDirect))
				if after != direct {
					t.Error("commits do not go through the new sequencer")
				}
			})
		})
	}
}

func TestASequencerThatAnswersAgainIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2, Options{})
		settle(Options{})
		holder, other := c.holder(t), c.others(t)[0]
		c.net.breakAt(peerAddress(holder.self), paused)
		c.commit(t, other, c.segment(0, 1, 0, 10))
		c.net.breakAt(peerAddress(holder.self), 0)
		time.Sleep(2 * (pingPause + pingTimeout))
		synctest.Wait()
		if other.seq.known().suspected {
			t.Fatal("it is not asked any more")
		}
		c.commit(t, other, c.segment(0, 1, 10, 10))
		if got := counted(t, holder.seq.metrics.commits.WithLabelValues(pathForOthers)); got != 1 {
			t.Errorf("%v commits for others, want 1", got)
		}
	})
}

func TestTwoThatBelieveTheyHoldTheRoleOnlyMeetConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2, Options{})
		settle(Options{})
		both := make(map[metastore.Offset]bool)
		var mu sync.Mutex
		var commits sync.WaitGroup
		for i, b := range c.brokers {
			for n := range 50 {
				commits.Go(func() {
					_, results, err := b.seq.Sequence(t.Context(), c.segment(0, metastore.ProducerID(100*i+n), 0, 1))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					both[results[0].Runs[0][0].Offset] = true
				})
			}
		}
		commits.Wait()
		for o := range metastore.Offset(100) {
			if !both[o] {
				t.Errorf("offset %d was not given", o)
			}
		}
	})
}

func TestTheRoleIsGivenBackAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := Options{}.withDefaults()
		c := start(t, 2, opts)
		settle(opts)
		holder, other := c.holder(t), c.others(t)[0]
		holder.stop()
		time.Sleep(opts.Beat)
		synctest.Wait()
		if !other.seq.known().held {
			t.Error("the role is not taken over within a beat")
		}
		if _, err := holder.seq.Commit(t.Context(), c.segment(0, 1, 0, 1)); !errors.Is(err, errStopped) {
			t.Errorf("a stopped sequencer: %v", err)
		}
	})
}

// failingLeases is a metastore that does not answer any more.
type failingLeases struct {
	Leases
	mu     sync.Mutex
	failed bool
}

func (f *failingLeases) HoldLease(ctx context.Context, name string, holder metastore.NodeID, epoch int64, length time.Duration) (metastore.Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed {
		return metastore.Lease{}, errDead
	}
	return f.Leases.HoldLease(ctx, name, holder, epoch, length)
}

func TestTheRoleIsGivenUpOnOnesOwnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := Options{}.withDefaults()
		c := start(t, 1, opts)
		c.brokers[0].stop()
		leases := &failingLeases{Leases: c.store}
		s := New(c.brokers[0].log, c.brokers[0], leases, c.net, opts)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.HoldRole(ctx) })
		settle(opts)
		if !s.known().held {
			t.Fatal("it does not hold the role")
		}
		leases.mu.Lock()
		leases.failed = true
		leases.mu.Unlock()
		time.Sleep(opts.Lease + opts.Beat)
		synctest.Wait()
		if s.known().held {
			t.Error("it believes to hold a lease that has run out")
		}
		stop()
		running.Wait()
	})
}

func TestOneInvalidCommitDoesNotSpoilTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2, Options{})
		settle(Options{})
		bad := c.segment(0, 1, 0, 1)
		bad[0].Size = 1
		var commits sync.WaitGroup
		for _, b := range c.brokers {
			commits.Go(func() {
				if _, err := b.seq.Commit(t.Context(), bad); !errors.Is(err, metastore.ErrInvalidCommit) {
					t.Errorf("invalid commit: %v", err)
				}
			})
			commits.Go(func() { c.commit(t, b, c.segment(0, metastore.ProducerID(b.self.NodeID), 0, 1)) })
		}
		commits.Wait()
	})
}

func TestARepeatThatWaitsBesideTheFirstIsAnsweredAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1, Options{})
		settle(Options{})
		segments := c.segment(0, 1, 0, 10)
		var commits sync.WaitGroup
		for range 10 {
			commits.Go(func() {
				if got := c.commit(t, c.brokers[0], segments); got != 0 {
					t.Errorf("offset %d, want 0", got)
				}
			})
		}
		commits.Wait()
		if w, _ := c.brokers[0].log.Watermarks(metastore.TopicPartition{Topic: c.topic}); w.High != 10 {
			t.Errorf("high watermark %d", w.High)
		}
	})
}

// TestAHolderThatKnowsLessOfWhatIsValidIsNotBelieved has a sequencer of an older version.
func TestAHolderThatKnowsLessOfWhatIsValidIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2, Options{})
		settle(Options{})
		holder, other := c.holder(t), c.others(t)[0]
		c.net.breakAt(peerAddress(holder.self), strict)
		if got := c.commit(t, other, c.segment(0, 1, 0, 10)); got != 0 {
			t.Errorf("offset %d, want 0", got)
		}
		if other.seq.known().suspected {
			t.Error("a holder that answers is not asked any more")
		}
	})
}
