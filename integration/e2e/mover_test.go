package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/mover"
)

// protocolsOfTransactions are both of those that clients speak.
var protocolsOfTransactions = []struct {
	name string
	opts []kgo.Opt
}{
	{"version 1", []kgo.Opt{kgo.MaxVersions(kversion.V3_7_0())}},
	{"version 2", nil},
}

// longestHeld is the time-out of transactions: for so long readers may get nothing, of a partition in which a mover that died has one.
const longestHeld = time.Minute

// TestTransactionsMoveExactlyOnceWhileBrokersAreKilled has two members of a group move records in transactions while the
// three brokers are killed and started again in turn, among them whoever coordinates the group and the transactions. Nobody
// is fenced by that.
func TestTransactionsMoveExactlyOnceWhileBrokersAreKilled(t *testing.T) {
	for _, protocol := range protocolsOfTransactions {
		t.Run(protocol.name, func(t *testing.T) {
			t.Parallel()
			const partitions = 6
			brokers := startCluster(t, 3)
			seeds := brokersOf(brokers)
			createTopic(t, "moved-from", partitions, seeds)
			createTopic(t, "moved-to", partitions, seeds)
			out := followCommitted(t, "moved-to", seeds)
			stopInput := feedMover(t, "moved-from", partitions, seeds)

			stopMovers := startMovers(t, mover.Options{
				Seeds: addressesOf(brokers), Group: "movers", From: "moved-from", To: "moved-to", Batch: 30,
				// A session that could not end its transaction leaves a member behind, for whom the group waits.
				Opts: append([]kgo.Opt{kgo.TransactionTimeout(longestHeld), kgo.SessionTimeout(10 * time.Second)}, protocol.opts...),
			}, 2)
			out.await(t, 500)
			for _, b := range brokers {
				b.Kill()
				out.await(t, 500) // the others go on without it
				b.Restart()
				out.await(t, 200)
			}
			n := stopInput()
			// A mover that could not end its transaction, and has nothing to move after that, leaves it to its time-out.
			eventually(t, "everything is moved", longestHeld+time.Minute, func() bool { return out.count() >= n })
			stopMovers()
			if err := mover.Check(out.records(), n, partitions); err != nil {
				t.Error(err)
			}
			knowEachOther(t, brokers) // the last one came back within a beat, in which an admin client may meet two lists of brokers
			offsets, err := admin(t, seeds).FetchOffsets(harness.Soon(t), "movers")
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			offsets.Each(func(o kadm.OffsetResponse) { total += o.At })
			if total != int64(n) {
				t.Errorf("the group is at %d of %d records", total, n)
			}
		})
	}
}

// startMovers runs movers that share the work, until they are stopped. A session may end, for its member left the group say,
// but not because the producer was fenced.
func startMovers(t *testing.T, o mover.Options, count int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range count {
		o := o
		o.ID = fmt.Sprint("mover-", i)
		running.Go(func() {
			mover.Run(ctx, o, func(err error) {
				t.Logf("a session of %s ended: %v", o.ID, err)
				for _, fenced := range []error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState} {
					if errors.Is(err, fenced) {
						t.Errorf("%s is fenced", o.ID)
					}
				}
			})
		})
	}
	stop = func() {
		cancel()
		await(t, "the movers end", &running)
	}
	t.Cleanup(stop)
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
	client, err := harness.Client(t, append([]kgo.Opt{
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
		await(t, "the reader of "+topic+" stops", &running)
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
	eventually(t, fmt.Sprintf("%d more records are moved", more), longestHeld+time.Minute, func() bool { return c.count() >= from+more })
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
		await(t, "the producer of the input stops", &running)
		if err := l.client.Flush(harness.Soon(t)); err != nil {
			t.Fatalf("not all of the input is acknowledged: %v", err)
		}
		if err := first.Err(); err != nil {
			t.Fatalf("produce the input: %v", err)
		}
		return n
	}
}
