package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/runnel-io/runnel/integration/harness"
)

// Producers of both transaction versions commit and abort beside each other, each on all partitions, while a consumer reads
// along: it gets what was committed, all of it, in each producer's order, and nothing else.
func TestReadCommittedGetsWhatIsCommitted(t *testing.T) {
	b := harness.Dev(t, harness.DevOptions{})
	seed := kgo.SeedBrokers(b.Addr)
	const topic, partitions, transactions = "payments", 3, 25
	createTopic(t, topic, partitions, seed)
	consumer := newClient(t, seed, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))

	versions := map[string][]kgo.Opt{"two-a": nil, "two-b": nil, "one-a": {kgo.MaxVersions(kversion.V3_8_0())}, "one-b": {kgo.MaxVersions(kversion.V3_8_0())}}
	var mu sync.Mutex
	want := map[string][]string{} // by producer and partition
	total := 0
	var producers sync.WaitGroup
	for name, opts := range versions {
		producers.Go(func() {
			opts = append(opts, seed, kgo.TransactionalID(name), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			client := newClient(t, opts...)
			for n := range transactions {
				commit := rand.IntN(3) > 0
				records, err := transaction(harness.Soon(t), client, topic, fmt.Sprintf("%s/%d", name, n), partitions, commit)
				if err != nil {
					t.Errorf("%s, transaction %d: %v", name, n, err)
					return
				}
				if !commit {
					continue
				}
				mu.Lock()
				for _, r := range records {
					key := fmt.Sprint(name, " ", r.Partition)
					want[key] = append(want[key], string(r.Value))
					total++
				}
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		producers.Wait()
		close(done)
	}()
	got, n := map[string][]string{}, 0
	take := func(within time.Duration) bool {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		fetches := consumer.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				t.Fatal(e.Err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			name, _, _ := strings.Cut(string(r.Value), "/")
			key := fmt.Sprint(name, " ", r.Partition)
			got[key] = append(got[key], string(r.Value))
			n++
		})
		return fetches.NumRecords() > 0
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			take(100 * time.Millisecond)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); n < total && time.Now().Before(deadline); {
		take(time.Second)
	}
	if take(time.Second) {
		t.Error("more came than was committed")
	}
	for key := range want {
		if !slices.Equal(got[key], want[key]) {
			t.Errorf("%s: %d records, want %d", key, len(got[key]), len(want[key]))
		}
	}
	if n != total || total == 0 {
		t.Errorf("%d records of %d", n, total)
	}
}

// transaction writes some records, and returns them in order.
func transaction(ctx context.Context, client *kgo.Client, topic, name string, partitions int32, commit bool) ([]*kgo.Record, error) {
	if err := client.BeginTransaction(); err != nil {
		return nil, err
	}
	var records []*kgo.Record
	for i := range 1 + rand.IntN(20) {
		records = append(records, &kgo.Record{Topic: topic, Partition: rand.Int32N(partitions), Value: fmt.Appendf(nil, "%s/%d", name, i)})
	}
	err := client.ProduceSync(ctx, records...).FirstErr()
	return records, errors.Join(err, client.EndTransaction(ctx, kgo.TransactionEndTry(commit)))
}

func newClient(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := harness.Client(t, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
