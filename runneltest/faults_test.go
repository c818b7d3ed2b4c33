package runneltest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/runneltest"
)

// TestFaultsDelayAndLoseNothing: whatever is wrong with the stores for a while, a producer sees a delay, and consumers each record
// once.
func TestFaultsDelayAndLoseNothing(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		set     func(*runneltest.Faults)
		strikes int           // at least
		delay   time.Duration // at least, of one record
	}{
		"uploads fail":                 {func(f *runneltest.Faults) { f.FailPuts(3) }, 3, 0},
		"uploads whose answer is lost": {func(f *runneltest.Faults) { f.LosePutAnswers(2) }, 2, 0},
		"uploads are slow":             {func(f *runneltest.Faults) { f.SlowPuts(300 * time.Millisecond) }, 1, 300 * time.Millisecond},
		"commits fail":                 {func(f *runneltest.Faults) { f.FailCommits(3) }, 3, 0},
		"commits whose answer is lost": {func(f *runneltest.Faults) { f.LoseCommitAnswers(2) }, 2, 0},
		"commits are slow":             {func(f *runneltest.Faults) { f.SlowCommits(300 * time.Millisecond) }, 1, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := runneltest.Start(t, runneltest.WithTopic("t", 3))
			cl := client(t, c)
			produce(t, cl, "t", 0, 10) // has its producer id
			of.set(c.Faults())
			began := time.Now()
			produce(t, cl, "t", 10, 20)
			took := time.Since(began)
			c.Faults().Heal()
			if took < of.delay {
				t.Errorf("took %s", took)
			}
			if n := c.Faults().Struck(); n < of.strikes {
				t.Errorf("%d calls were struck", n)
			}
			produce(t, cl, "t", 20, 30)
			expect(t, c, "t", 30)
		})
	}
}

// TestOutageEndsWithHeal: records wait while a store is gone, and are there when it is back.
func TestOutageEndsWithHeal(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*runneltest.Faults){
		"object store": (*runneltest.Faults).StopObjectStore,
		"metastore":    (*runneltest.Faults).StopMetastore,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := runneltest.Start(t, runneltest.WithTopic("t", 1))
			cl := client(t, c)
			produce(t, cl, "t", 0, 5)
			stop(c.Faults())
			acked := make(chan error, 1)
			cl.Produce(deadline(t), &kgo.Record{Topic: "t", Value: []byte("5")}, func(_ *kgo.Record, err error) { acked <- err })
			for c.Faults().Struck() < 4 { // the broker tries again
				select {
				case err := <-acked:
					t.Fatalf("acknowledged without a store: %v", err)
				case <-time.After(5 * time.Millisecond):
				}
			}
			c.Faults().Heal()
			if err := <-acked; err != nil {
				t.Fatal(err)
			}
			expect(t, c, "t", 6)
		})
	}
}

// TestProducerIsToldWhenBrokersGiveUp: and what was refused is not there.
func TestProducerIsToldWhenBrokersGiveUp(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithTopic("t", 1), runneltest.WithGiveUpAfter(200*time.Millisecond))
	cl := client(t, c, kgo.DisableIdempotentWrite(), kgo.RecordRetries(1), kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond }))
	c.Faults().FailPuts(runneltest.Always)
	err := cl.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Value: []byte("lost")}).FirstErr()
	if !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("%v", err)
	}
	c.Faults().Heal()
	produce(t, cl, "t", 0, 3)
	expect(t, c, "t", 3)
}

func TestFaultsOfOneBrokerAreItsOwn(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithBrokers(2), runneltest.WithTopic("t", 8))
	cl := client(t, c)
	c.Broker(0).Faults().SlowPuts(50 * time.Millisecond)
	produce(t, cl, "t", 0, 20)
	if c.Broker(0).Faults().Struck() == 0 || c.Broker(1).Faults().Struck() > 0 || c.Faults().Struck() > 0 {
		t.Errorf("struck %d, %d and %d", c.Broker(0).Faults().Struck(), c.Broker(1).Faults().Struck(), c.Faults().Struck())
	}
	expect(t, c, "t", 20)
}

func TestReadsThatFailAreTriedAgain(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithTopic("t", 1), runneltest.WithConfig("memory.cache", "0"))
	produce(t, client(t, c), "t", 0, 10)
	c.Broker(0).Restart() // remembers nothing
	c.Faults().FailGets(2)
	expect(t, c, "t", 10)
	if c.Faults().Struck() != 2 {
		t.Errorf("%d reads were struck", c.Faults().Struck())
	}
}

// TestOffsetCommitsThatFailAreTriedAgain: by the client, which is told to look for the coordinator anew.
func TestOffsetCommitsThatFailAreTriedAgain(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithTopic("t", 1))
	admin := kadm.NewClient(client(t, c))
	ctx, offsets := deadline(t), kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "t", Partition: 0, At: 7, LeaderEpoch: -1})
	c.Faults().FailOffsetCommits(1)
	committed, err := admin.CommitOffsets(ctx, "g", offsets)
	if err := errors.Join(err, committed.Error()); err != nil {
		t.Error(err)
	}
	if n := c.Faults().Struck(); n != 1 {
		t.Errorf("%d calls were struck", n)
	}
	got, err := admin.FetchOffsets(ctx, "g")
	if at, ok := got.Lookup("t", 0); err != nil || !ok || at.At != 7 {
		t.Errorf("%v, %v", got, err)
	}
}
