package chaos

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// numbers is a producer of numbers, which it sends one after the other, each until it is acknowledged or given up.
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
// lost and the standby promoted. No broker goes on from there, none acknowledges anything, and each stays up and says why.
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
	for _, b := range c.brokers {
		through, err := kgo.NewClient(append(only(b), kgo.RecordDeliveryTimeout(3*time.Second), kgo.DisableIdempotentWrite())...)
		if err != nil {
			t.Fatal(err)
		}
		n.client = through
		if err := n.send(t, 10*time.Second); err == nil {
			t.Errorf("%s acknowledged a record at offset %d after the metastore went back in time", b.name, n.acked[len(n.acked)-1])
		} else {
			t.Logf("a producer of %s is told: %v", b.name, err)
		}
		through.Close()
	}
	for _, b := range c.brokers {
		// One that ended would be started again, and has nothing then to compare the log with.
		if ready, reason := b.Ready(); !b.Running() || ready || !strings.Contains(reason, why) {
			t.Errorf("%s: running %v, ready %v: %s", b.name, b.Running(), ready, reason)
		}
		if !strings.Contains(b.Log(), why) {
			t.Errorf("the log of %s does not say %q", b.name, why)
		}
	}
}

// only makes a client talk to one broker, whomever it is told to ask.
func only(b *broker) []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(b.Addr), kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, b.Addr)
	})}
}
