package chaos

import (
	"context"
	"errors"
	"net"
	"os/exec"
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

// beforeTheFailOver is a cluster whose standby was cut off before the second half of what the producer has acknowledged.
func beforeTheFailOver(t *testing.T) (*cluster, *numbers) {
	t.Helper()
	dir := artifacts(t)
	c := startCluster(t, 2, 1, false, dir)
	createTopic(t, c.seeds(), "ledger", 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.seeds()...), kgo.RecordDeliveryTimeout(10*time.Second), kgo.AllowIdempotentProduceCancellation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
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
	return c, n
}

// promoteStale has the standby, which lacks entries, take the place of the primary.
func promoteStale(t *testing.T, c *cluster) {
	t.Helper()
	if err := errors.Join(c.database.primary.Kill(), c.database.standby.Start(t.Context()), c.database.standby.Promote(t.Context())); err != nil {
		t.Fatal(err)
	}
}

const wentBack = "went back in time"

// allRefuse: no broker acknowledges anything, and each stays up and says why. One that ended would be started again.
func allRefuse(t *testing.T, c *cluster, n *numbers) {
	t.Helper()
	for _, b := range c.brokers {
		b.WaitNotReady(wentBack)
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
		if ready, reason := b.Ready(); !b.Running() || ready || !strings.Contains(reason, wentBack) {
			t.Errorf("%s: running %v, ready %v: %s", b.name, b.Running(), ready, reason)
		}
		if !strings.Contains(b.Log(), wentBack) {
			t.Errorf("the log of %s does not say %q", b.name, wentBack)
		}
	}
}

// TestStaleStandbyIsRefused: a standby that does not take part in commits is cut off, more is acknowledged, the primary is
// lost and the standby promoted. No broker goes on from there.
func TestStaleStandbyIsRefused(t *testing.T) {
	c, n := beforeTheFailOver(t)
	promoteStale(t, c)
	allRefuse(t, c, n)
}

// TestStaleStandbyIsRefusedByBrokersThatAllStartAnew: no process is left that knew the primary, only marks in the bucket.
func TestStaleStandbyIsRefusedByBrokersThatAllStartAnew(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *broker){
		"killed": func(t *testing.T, b *broker) {
			awaitMarked(t, b) // what was acknowledged in the last seconds before is not covered
			b.Kill()
		},
		"stopped": func(_ *testing.T, b *broker) { b.Stop() }, // right after the last record was acknowledged
	} {
		t.Run(name, func(t *testing.T) {
			c, n := beforeTheFailOver(t)
			for _, b := range c.brokers {
				end(t, b)
			}
			promoteStale(t, c)
			for _, b := range c.brokers {
				b.Start()
			}
			allRefuse(t, c, n)
			out, err := c.direct.Command(t, "fsck").CombinedOutput()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "regressed") {
				t.Errorf("fsck: %v\n%s", err, out)
			}
		})
	}
}

// awaitMarked waits until the bucket says of all that a broker has seen of the log.
func awaitMarked(t *testing.T, b *broker) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(b.Metrics(), "\nrunnel_mark_unmarked_entries 0\n") {
		if time.Now().After(deadline) {
			t.Fatalf("%s has marked nothing for a minute", b.name)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// only makes a client talk to one broker, whomever it is told to ask.
func only(b *broker) []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(b.Addr), kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, b.Addr)
	})}
}
