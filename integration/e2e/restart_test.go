package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// restarts are the ways in which a process ends.
var restarts = []struct {
	name string
	end  func(*harness.Broker)
}{
	{"after SIGTERM", (*harness.Broker).Stop},
	{"after SIGKILL", (*harness.Broker).Kill},
}

// TestRestartKeepsGroupsAndTheirOffsets: a group that read half of a topic reads the other half after the restart.
func TestRestartKeepsGroupsAndTheirOffsets(t *testing.T) {
	durable(t, func(t *testing.T, b *harness.Broker) {
		for _, restart := range restarts {
			t.Run(restart.name, func(t *testing.T) {
				seed := kgo.SeedBrokers(b.Addr)
				topic := fmt.Sprintf("halves-%d", time.Now().UnixNano())
				createTopic(t, topic, 1, seed)
				produce(t, topic, 0, 50, seed)
				if got := consumeInGroup(t, topic, 50, seed); got[0] != 0 || got[49] != 49 {
					t.Fatalf("first half: %v", got)
				}
				before, err := admin(t, seed).FetchOffsets(harness.Soon(t), topic+"-group")
				if err != nil {
					t.Fatal(err)
				}

				restart.end(b)
				b.Restart()

				groups, err := admin(t, seed).ListGroups(harness.Soon(t))
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := groups[topic+"-group"]; !ok {
					t.Errorf("the group is gone: %v", groups.Groups())
				}
				after, err := admin(t, seed).FetchOffsets(harness.Soon(t), topic+"-group")
				if err != nil {
					t.Fatal(err)
				}
				was, _ := before.Lookup(topic, 0)
				is, ok := after.Lookup(topic, 0)
				if !ok || is.Offset != was.Offset || is.At != 50 {
					t.Errorf("the committed offset was %+v, is %+v", was, is)
				}
				produce(t, topic, 50, 50, seed)
				if got := consumeInGroup(t, topic, 50, seed); got[0] != 50 || got[49] != 99 {
					t.Errorf("second half: %v", got)
				}
			})
		}
	})
}

// TestConsumersCarryOnAfterARestart: a member that lives through a crash of the broker goes on reading, without a gap
// and without reading twice what it committed.
func TestConsumersCarryOnAfterARestart(t *testing.T) {
	durable(t, func(t *testing.T, b *harness.Broker) {
		seed := kgo.SeedBrokers(b.Addr)
		createTopic(t, "carry", 1, seed)
		client := groupClient(t, "carry", seed)
		produce(t, "carry", 0, 10, seed)
		got := take(t, client, 10)
		if err := client.CommitUncommittedOffsets(harness.Soon(t)); err != nil {
			t.Fatal(err)
		}
		b.Kill()
		b.Restart()
		produce(t, "carry", 10, 10, seed)
		got = append(got, take(t, client, 10)...)
		for i, seq := range got {
			if i != seq {
				t.Fatalf("read %v", got)
			}
		}
	})
}

// produce writes the numbers from first on, and returns when all are acknowledged.
func produce(t *testing.T, topic string, first, n int, opts ...kgo.Opt) {
	t.Helper()
	client, err := harness.Client(t, append(opts[:len(opts):len(opts)],
		kgo.DefaultProduceTopic(topic), kgo.AllowIdempotentProduceCancellation())...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var acks kgo.FirstErrPromise
	for i := range n {
		client.Produce(ctx, kgo.StringRecord(fmt.Sprint(first+i)), acks.Promise())
	}
	if err := acks.Err(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

func groupClient(t *testing.T, topic string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := harness.Client(t, append(opts[:len(opts):len(opts)],
		kgo.ConsumeTopics(topic), kgo.ConsumerGroup(topic+"-group"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// consumeInGroup joins the topic's group, reads n numbers, commits and leaves.
func consumeInGroup(t *testing.T, topic string, n int, opts ...kgo.Opt) []int {
	t.Helper()
	client := groupClient(t, topic, opts...)
	defer client.Close()
	numbers := take(t, client, n)
	if err := client.CommitUncommittedOffsets(harness.Soon(t)); err != nil {
		t.Fatalf("commit: %v", err)
	}
	return numbers
}

// take reads n numbers.
func take(t *testing.T, client *kgo.Client, n int) []int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var numbers []int
	for len(numbers) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %d numbers of %d", len(numbers), n)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var i int
			if _, err := fmt.Sscan(string(r.Value), &i); err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, i)
		})
	}
	return numbers
}
