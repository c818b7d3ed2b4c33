package ecosystem

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// follower reads topics from their beginning on as far as transactions are committed, and goes on until the test ends.
type follower struct {
	mu      sync.Mutex
	records map[string][]*kgo.Record // by topic, those of a partition in their order
	err     error
}

func follow(t *testing.T, bootstrap string, topics ...string) *follower {
	t.Helper()
	c, err := harness.Client(t, kgo.SeedBrokers(bootstrap), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{records: map[string][]*kgo.Record{}}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			f.take(c.PollFetches(ctx))
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
		c.Close()
	})
	return f
}

func (f *follower) take(fetches kgo.Fetches) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) { f.records[r.Topic] = append(f.records[r.Topic], r) })
	fetches.EachError(func(topic string, partition int32, err error) { f.err = fmt.Errorf("%s/%d: %w", topic, partition, err) })
}

// of gives the records of a topic that were read by now.
func (f *follower) of(topic string) []*kgo.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*kgo.Record(nil), f.records[topic]...)
}

func (f *follower) count(topic string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.records[topic])
}

// await waits until as many records of a topic were read. It gives up when none came within a time, or after five times that.
func (f *follower) await(t *testing.T, topic string, n int, within time.Duration) {
	t.Helper()
	if !goesOn(within, func() (int, bool) { return f.count(topic), f.count(topic) >= n }) {
		f.mu.Lock()
		defer f.mu.Unlock()
		t.Fatalf("%s: %d records committed and none in %v, want %d; last error of the reader: %v", topic, len(f.records[topic]), within, n, f.err)
	}
}

// goesOn waits until it is over: true, or until nothing more was done within a time, or for five times that. On a busy machine what
// goes on may take long.
func goesOn(within time.Duration, look func() (done int, over bool)) bool {
	most, late, end := -1, time.Now().Add(within), time.Now().Add(5*within)
	for ; ; time.Sleep(20 * time.Millisecond) {
		done, over := look()
		if over {
			return true
		}
		if done > most {
			most, late = done, time.Now().Add(within)
		}
		if now := time.Now(); now.After(late) || now.After(end) {
			return false
		}
	}
}

// feed produces what next gives at a pace, beside the test. Stop ends that and tells how many there were.
func feed(t *testing.T, bootstrap string, every time.Duration, next func(i int) *kgo.Record, opts ...kgo.Opt) (stop func() int) {
	t.Helper()
	c, _ := client(t, bootstrap, opts...)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var first kgo.FirstErrPromise
	n := 0
	running.Go(func() {
		for tick := time.NewTicker(every); ctx.Err() == nil; n++ {
			c.Produce(context.Background(), next(n), first.Promise())
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return func() int {
		cancel()
		running.Wait()
		if err := first.Err(); err != nil {
			t.Fatalf("produce the input: %v", err)
		}
		return n
	}
}
