package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/mover"
)

// TestTransactionsMoveExactlyOnceWhileBrokersAreKilled has two members of a group move records in transactions while the
// three brokers are killed and started again in turn, among them whoever coordinates the group and the transactions.
func TestTransactionsMoveExactlyOnceWhileBrokersAreKilled(t *testing.T) {
	t.Parallel()
	const partitions = 6
	brokers := startCluster(t, 3)
	var addresses []string
	for _, b := range brokers {
		addresses = append(addresses, b.Addr)
	}
	seeds := kgo.SeedBrokers(addresses...)
	createTopic(t, "moved-from", partitions, seeds)
	createTopic(t, "moved-to", partitions, seeds)
	out := followCommitted(t, "moved-to", seeds)
	stopInput := feedMover(t, "moved-from", partitions, seeds)

	stopMovers := startMovers(t, mover.Options{Seeds: addresses, Group: "movers", From: "moved-from", To: "moved-to", Batch: 30}, 2)
	out.await(t, 500)
	for _, b := range brokers {
		b.Kill()
		out.await(t, 500) // the others go on without it
		b.Restart()
		out.await(t, 200)
	}
	n := stopInput()
	eventually(t, "everything is moved", time.Minute, func() bool { return out.count() >= n })
	stopMovers()
	if err := mover.Check(out.records(), n, partitions); err != nil {
		t.Error(err)
	}
}

// startMovers runs movers that share the work, until they are stopped.
func startMovers(t *testing.T, o mover.Options, count int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range count {
		o := o
		o.ID = fmt.Sprint("mover-", i)
		sessions, last := 0, error(nil)
		running.Go(func() {
			mover.Run(ctx, o, func(err error) { sessions, last = sessions+1, err })
		})
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("%d sessions of %s ended, the last by %v", sessions, o.ID, last)
			}
		})
	}
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop) // before the others tell of it
	return stop
}

// committedLog is what a reader of committed records has read of a topic.
type committedLog struct {
	mu  sync.Mutex
	all []*kgo.Record
	err error
}

// followCommitted reads a topic from its beginning until the test ends.
func followCommitted(t *testing.T, topic string, opts ...kgo.Opt) *committedLog {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.MetadataMinAge(100 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	c := &committedLog{}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			c.mu.Lock()
			c.all = append(c.all, fetches.Records()...)
			fetches.EachError(func(topic string, partition int32, err error) { c.err = fmt.Errorf("%s/%d: %w", topic, partition, err) })
			c.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
		client.Close()
		if t.Failed() {
			t.Logf("%d committed records of %s were read; the last error of the reader: %v", len(c.all), topic, c.err)
		}
	})
	return c
}

func (c *committedLog) count() int { return len(c.records()) }

func (c *committedLog) records() []*kgo.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*kgo.Record(nil), c.all...)
}

// await waits until so many more are read than at the call.
func (c *committedLog) await(t *testing.T, more int) {
	t.Helper()
	from := c.count()
	eventually(t, fmt.Sprintf("%d more records are moved", more), time.Minute, func() bool { return c.count() >= from+more })
}

// feedMover produces the records that are to be moved, until it is stopped and tells how many there are.
func feedMover(t *testing.T, topic string, partitions int, opts ...kgo.Opt) (stop func() int) {
	t.Helper()
	l := newLedger(t, topic, "input", int32(partitions), opts...)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var first kgo.FirstErrPromise
	n := 0
	running.Go(func() {
		for tick := time.NewTicker(3 * time.Millisecond); ctx.Err() == nil; n++ {
			l.client.Produce(context.Background(), mover.Record(topic, n, partitions), first.Promise())
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		l.client.Close()
		running.Wait()
	})
	return func() int {
		t.Helper()
		cancel()
		running.Wait()
		if err := first.Err(); err != nil {
			t.Fatalf("produce the input: %v", err)
		}
		return n
	}
}
