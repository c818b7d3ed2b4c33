package sim

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// client makes a franz-go client of the world, closed when the test ends.
func client(t *testing.T, w *World, name string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	host := w.Client(name)
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.Addresses()...), kgo.Dialer(host.DialContext))...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func createTopic(ctx context.Context, t *testing.T, w *World) {
	t.Helper()
	c := client(t, w, "admin")
	defer c.Close()
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 3, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
}

// readAll reads a topic from the start, count records of it.
func readAll(ctx context.Context, t *testing.T, c *kgo.Client, count int) map[string]int {
	t.Helper()
	seen := make(map[string]int)
	for got := 0; got < count; {
		fetches := c.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d records of %d: %v", got, count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen[string(r.Value)]++
			got++
		})
	}
	return seen
}

func TestRecordsSurviveACrashAndAPartition(t *testing.T) {
	Run(t, 1, Options{}, func(ctx context.Context, t *testing.T, w *World) {
		ctx, cancel := context.WithTimeout(ctx, 50*time.Second)
		defer cancel()
		createTopic(ctx, t, w)
		producer := client(t, w, "producer", kgo.DefaultProduceTopic("t"))
		defer producer.Close()
		const records = 200
		for i := range records {
			switch i {
			case 50:
				w.Brokers[1].Crash(false)
			case 80:
				if err := w.Brokers[1].Start(); err != nil {
					t.Fatal(err)
				}
			case 120:
				w.Network.Cut("broker-0", "broker-2")
				w.Network.Cut("broker-2", "broker-0")
			case 160:
				w.Network.HealAll()
			}
			if err := producer.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		for i := range w.Brokers {
			consumer := client(t, w, fmt.Sprintf("consumer-%d", i), kgo.ConsumeTopics("t"))
			seen := readAll(ctx, t, consumer, records)
			consumer.Close()
			for i := range records {
				if n := seen[fmt.Sprint(i)]; n != 1 {
					t.Errorf("record %d was read %d times", i, n)
				}
			}
		}
		sum, lines := w.Trace.Sum()
		t.Logf("%v: %d lines, sum %s", w.Now(), lines, sum)
		if log := w.Log(); log != "" {
			t.Log(log)
		}
	})
}
