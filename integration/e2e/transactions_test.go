package e2e

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// addressesOf is where clients find all brokers of a cluster.
func addressesOf(all []*member) (addresses []string) {
	for _, m := range all {
		addresses = append(addresses, m.Addr)
	}
	return addresses
}

func brokersOf(all []*member) kgo.Opt { return kgo.SeedBrokers(addressesOf(all)...) }

// committed reads what is committed of a topic, values of all partitions together.
func committed(t *testing.T, topic string, want int, within time.Duration, opts ...kgo.Opt) map[string]int {
	t.Helper()
	client, err := harness.Client(t, append(slices.Clone(opts), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	seen := make(map[string]int)
	for ctx.Err() == nil && len(seen) < want {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
	}
	return seen
}

// TestATransactionWhoseProducerIsGoneIsAborted: the broker that aborts what is past its time-out is killed, and another does it.
func TestATransactionWhoseProducerIsGoneIsAborted(t *testing.T) {
	t.Parallel()
	all := startCluster(t, 3)
	knowEachOther(t, all)
	createTopic(t, "held", 1, brokersOf(all))
	const timeout = 5 * time.Second
	gone, err := harness.Client(t, brokersOf(all), kgo.TransactionalID("gone"), kgo.TransactionTimeout(timeout), kgo.DefaultProduceTopic("held"))
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	begun := time.Now()
	if err := gone.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := gone.ProduceSync(harness.Soon(t), kgo.StringRecord("undecided")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	produce(t, "held", 7, 1, brokersOf(all))
	seen := committed(t, "held", 1, time.Second, brokersOf(all))
	if open := time.Since(begun); len(seen) != 0 && open < timeout { // else it may have been decided
		t.Fatalf("%v are read although a transaction before them is undecided, after %v", seen, open)
	}
	var reaper *member
	eventually(t, "one broker aborts what is past its time-out", 15*time.Second, func() bool {
		i := slices.IndexFunc(all, func(m *member) bool { return number(t, m.Broker, "runnel_txn_reaper_held") == 1 })
		if i >= 0 {
			reaper = all[i]
		}
		return i >= 0
	})
	reaper.Kill()
	seen = committed(t, "held", 1, 45*time.Second, brokersOf(all))
	if len(seen) != 1 || seen["undecided"] != 0 {
		t.Errorf("read %v", seen)
	}
	err = gone.EndTransaction(harness.Soon(t), kgo.TryCommit)
	if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidTxnState) {
		t.Errorf("the producer commits: %v", err)
	}
}
