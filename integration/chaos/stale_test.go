package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producer sends numbers, one after the other, each until it is acknowledged or given up.
type numbers struct {
	client *kgo.Client
	topic  string
	acked  []int64 // offsets
}

func (n *numbers) send(t *testing.T, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	r, err := n.client.ProduceSync(ctx, &kgo.Record{Topic: n.topic, Value: []byte(strconv.Itoa(len(n.acked)))}).First()
	if err == nil {
		n.acked = append(n.acked, r.Offset)
	}
	return err
}

// TestStaleStandbyIsRefused: a standby that does not take part in commits is cut off, more is acknowledged, the primary is
// lost and the standby promoted. No broker goes on from there, none acknowledges anything, and each says why, those that
// were there as well as one that has a snapshot of its own to compare with nothing.
func TestStaleStandbyIsRefused(t *testing.T) {
	dir := artifacts(t)
	c := startCluster(t, 2, 1, false, dir)
	createTopic(t, c.seeds(), "ledger", 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.seeds()...), kgo.RecordDeliveryTimeout(10*time.Second), kgo.AllowIdempotentProduceCancellation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	n := &numbers{client: client, topic: "ledger"}
	for range 20 {
		if err := n.send(t, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.database.standby.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := n.send(t, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.database.primary.Kill(), c.database.standby.Start(t.Context()), c.database.standby.Promote(t.Context())); err != nil {
		t.Fatal(err)
	}

	const why = "went back in time"
	for _, b := range c.brokers {
		b.WaitNotReady(why)
	}
	if err := n.send(t, 10*time.Second); err == nil {
		t.Errorf("a record was acknowledged at offset %d after the metastore went back in time", n.acked[len(n.acked)-1])
	} else {
		t.Logf("a producer is told: %v", err)
	}
	for _, b := range c.brokers {
		b.Start()
	}
	for _, b := range c.brokers {
		<-time.After(8*time.Second)
		r, w := b.Ready()
		t.Logf("RESTARTED: %v %v %v", b.Running(), r, w)
	}
	if err := n.send(t, 10*time.Second); err == nil {
		t.Errorf("a record was acknowledged at offset %d after the metastore went back in time, %v", n.acked[len(n.acked)-1], n.acked)
	}
	for _, b := range c.brokers {
		if log := b.Log(); !strings.Contains(log, why) {
			t.Errorf("the log of %s does not say %q", b.name, why)
		}
		// Not what is gone from the metastore, and not that it is gone either: nothing is told of the partition.
		reader, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.ConsumeTopics("ledger"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		fetches := reader.PollFetches(ctx)
		t.Logf("a reader of %s is told: %d records, %v", b.name, fetches.NumRecords(), fmt.Sprint(fetches.Err()))
		cancel()
		reader.Close()
	}
}
