package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// longestStall is how long a client may get nothing done while a broker is restarted.
const longestStall = 3 * time.Second

// usualMetadataAge is how often franz-go asks for metadata at most, if it is not told otherwise. A producer that has asked a
// moment before a broker hands over waits for the rest of it, since all that it is told then is that the broker no longer
// leads:
//
//  1. a broker hands over: the producer asks, and remembers to ask again for each refusal that comes meanwhile;
//  2. the next broker begins to stop, and marks itself as leaving;
//  3. the 5 s are over, and the producer asks again, a broker that has not looked for the mark yet;
//  4. the broker hands over: for 5 s less the time since 3, up to 1.25 s, the producer does not ask.
//
// That is the client's choice, as with Kafka when leaders move twice in 5 s.
const usualMetadataAge = 5 * time.Second

// usualBackoff is how long it then waits between attempts, but for the jitter.
func usualBackoff(tries int) time.Duration {
	return min(250*time.Millisecond<<min(tries-1, 10), 5*time.Second)
}

// TestRollingRestartIsNotSeenByClients: three brokers are restarted in turn while producers of all kinds and members of
// groups are busy. No call fails, no record is lost, doubled or out of order, nobody is rebalanced, and nobody stands
// still for long.
func TestRollingRestartIsNotSeenByClients(t *testing.T) {
	all := startCluster(t, 3)
	split(t, all)
	knowEachOther(t, all)
	seeds := kgo.SeedBrokers(all[0].Addr, all[1].Addr, all[2].Addr)
	const topic, partitions = "rolling", 12
	createTopic(t, topic, partitions, seeds)

	asked := &metadataClock{}
	ledgers := []*ledger{
		startLedger(t, topic, "idempotent", partitions, seeds),
		startLedger(t, topic, "defaults", partitions, seeds, kgo.MetadataMinAge(usualMetadataAge), kgo.RetryBackoffFn(usualBackoff), kgo.WithHooks(asked)),
		startLedger(t, topic, "acks-all", partitions, seeds, kgo.DisableIdempotentWrite()),
		startLedger(t, topic, "acks-1", partitions, seeds, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck())),
	}
	var members []*groupMember
	for _, name := range []string{"one", "two", "three", "four"} {
		for range 3 {
			members = append(members, startGroupMember(t, topic, "rolling-"+name, seeds))
		}
	}
	eventually(t, "all members read", time.Minute, func() bool {
		for _, m := range members {
			if m.settled() < partitions/3 {
				return false
			}
		}
		return true
	})
	for _, m := range members {
		m.begin()
	}
	for _, b := range all {
		eventually(t, "the client with default settings may ask for metadata, and has nothing to ask", time.Minute, func() bool {
			return asked.ago() > usualMetadataAge+time.Second // what was put off would have been asked
		})
		began := time.Now()
		b.Stop()
		stopped := time.Since(began)
		b.Restart()
		t.Logf("%s stopped in %v, is back after %v", b.Addr, stopped, time.Since(began))
		for _, l := range ledgers {
			l.await(t, 1_000)
		}
	}
	for _, l := range ledgers {
		l.finish(t)
	}
	sent := 0
	for _, l := range ledgers {
		sent += l.count()
	}
	knowEachOther(t, all) // the last one came back within a beat, in which an admin client may meet two lists of brokers
	allHear(t, topic, sent, all[0].Broker, all[1].Broker, all[2].Broker)
	stored := readAll(t, topic, seeds)
	for _, l := range ledgers {
		l.compare(t, l.acked, stored)
		t.Logf("%s: %d records, the slowest took %v", l.name, l.count(), l.slowest)
		if l.slowest > longestStall {
			t.Errorf("%s: a record waited for %v", l.name, l.slowest)
		}
	}
	for _, m := range members {
		m.finish(t)
	}
}

// knowEachOther waits until each broker lists all.
func knowEachOther(t *testing.T, all []*member) {
	t.Helper()
	for _, b := range all {
		eventually(t, "the broker knows the others", 30*time.Second, func() bool {
			known, err := admin(t, through(b.Broker)...).ListBrokers(harness.Soon(t))
			return err == nil && len(known) == len(all)
		})
	}
}

// metadataClock tells when a client last asked for metadata.
type metadataClock struct{ last atomic.Int64 }

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (c *metadataClock) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, _ kgo.BrokerE2E) {
	if key == kmsg.Metadata.Int16() {
		c.last.Store(time.Now().UnixNano())
	}
}

func (c *metadataClock) ago() time.Duration { return time.Since(time.Unix(0, c.last.Load())) }

// groupMember is a member of a group that reads and commits without pause.
type groupMember struct {
	client  *kgo.Client
	stop    context.CancelFunc
	stopped chan struct{}

	mu         sync.Mutex
	began      bool // what follows counts
	generation int32
	rebalances int
	commits    int
	next       map[int32]int64 // offsets
	last       map[int32]time.Time
	longest    time.Duration // without a record of a partition
	failed     error
}

func startGroupMember(t *testing.T, topic, group string, opts ...kgo.Opt) *groupMember {
	t.Helper()
	m := &groupMember{next: map[int32]int64{}, last: map[int32]time.Time{}, stopped: make(chan struct{})}
	changed := func(context.Context, *kgo.Client, map[string][]int32) { m.rebalanced() }
	client, err := harness.Client(t, append([]kgo.Opt{
		kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(changed), kgo.OnPartitionsRevoked(changed), kgo.OnPartitionsLost(changed),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	m.client = client
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go m.run(ctx)
	t.Cleanup(func() {
		stop()
		<-m.stopped
		client.Close()
	})
	return m
}

func (m *groupMember) run(ctx context.Context) {
	defer close(m.stopped)
	for {
		fetches := m.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		for _, e := range fetches.Errors() {
			m.fail(fmt.Errorf("fetch of partition %d: %w", e.Partition, e.Err))
		}
		fetches.EachRecord(m.see)
		if err := m.client.CommitUncommittedOffsets(ctx); err != nil && ctx.Err() == nil {
			m.committed(err)
		} else {
			m.committed(nil)
		}
	}
}

func (m *groupMember) see(r *kgo.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if next, ok := m.next[r.Partition]; ok && m.began {
		if r.Offset != next {
			m.failed = errors.Join(m.failed, fmt.Errorf("partition %d: offset %d follows %d", r.Partition, r.Offset, next-1))
		}
		m.longest = max(m.longest, now.Sub(m.last[r.Partition]))
	}
	m.next[r.Partition], m.last[r.Partition] = r.Offset+1, now
}

func (m *groupMember) rebalanced() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rebalances++
	if !m.began {
		clear(m.next)
		clear(m.last)
	}
}

func (m *groupMember) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = errors.Join(m.failed, err)
}

func (m *groupMember) committed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.commits++
	case m.began || !errors.Is(err, kerr.RebalanceInProgress) && !errors.Is(err, kerr.IllegalGeneration):
		m.failed = errors.Join(m.failed, fmt.Errorf("commit: %w", err))
	}
}

// settled is how many partitions the member has read from since it last got other ones.
func (m *groupMember) settled() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.next)
}

// begin makes everything count that happens from now on.
func (m *groupMember) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, m.generation = m.client.GroupMetadata()
	m.began, m.rebalances, m.longest = true, 0, 0
}

func (m *groupMember) finish(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	id, generation := m.client.GroupMetadata()
	t.Logf("%s: %d commits, longest without a record of a partition %v", id, m.commits, m.longest)
	if m.failed != nil {
		t.Errorf("%s: %v", id, m.failed)
	}
	if m.rebalances != 0 || generation != m.generation {
		t.Errorf("%s was rebalanced %d times, from generation %d to %d", id, m.rebalances, m.generation, generation)
	}
	if m.longest > longestStall {
		t.Errorf("%s: no record of a partition for %v", id, m.longest)
	}
}
