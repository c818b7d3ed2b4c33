package e2e

import (
	"context"
	"maps"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// through makes a client talk to one broker only, whatever broker it is told to ask: any broker serves any partition.
func through(b *harness.Broker) []kgo.Opt {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, b.Addr)
	}
	return []kgo.Opt{kgo.SeedBrokers(b.Addr), kgo.Dialer(dial)}
}

// pair starts two brokers on one database and bucket.
func pair(t *testing.T) (a, b *harness.Broker) {
	t.Helper()
	stores := harness.NewStores(t)
	a, b = harness.Node(t, stores, harness.NodeOptions{}), harness.Node(t, stores, harness.NodeOptions{})
	a.Start()
	b.Start()
	a.WaitReady()
	b.WaitReady()
	return a, b
}

// allHear waits until brokers show as many records of a topic: each hears of what others committed a moment later.
func allHear(t *testing.T, topic string, records int, brokers ...*harness.Broker) {
	t.Helper()
	for _, b := range brokers {
		client := admin(t, through(b)...)
		eventually(t, "the broker at "+b.Addr+" shows everything acknowledged", 10*time.Second, func() bool {
			ends, err := client.ListEndOffsets(harness.Soon(t), topic)
			shown := 0
			ends.Each(func(o kadm.ListedOffset) { shown += int(o.Offset) })
			return err == nil && shown >= records
		})
	}
}

// TestTwoBrokersServeTheSameTopics: two producers write to the same partitions through different brokers at once, and
// readers of either broker see the same records at the same offsets.
func TestTwoBrokersServeTheSameTopics(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	createTopic(t, "shared", 4, through(a)...)
	eventually(t, "the other broker knows the topic", 10*time.Second, func() bool {
		topics, err := admin(t, through(b)...).ListTopics(harness.Soon(t), "shared")
		return err == nil && topics["shared"].Err == nil && len(topics["shared"].Partitions) == 4
	})

	viaA := startLedger(t, "shared", "a", 4, through(a)...)
	viaB := startLedger(t, "shared", "b", 4, through(b)...)
	viaA.await(t, 5_000)
	viaB.await(t, 1_000)
	whileWriting := readAll(t, "shared", through(b)...)
	viaA.finish(t)
	viaB.finish(t)

	// A broker hears of what the other wrote a moment later.
	var fromA, fromB map[place]string
	want := viaA.count() + viaB.count()
	eventually(t, "both brokers show everything acknowledged", 10*time.Second, func() bool {
		fromA, fromB = readAll(t, "shared", through(a)...), readAll(t, "shared", through(b)...)
		return len(fromA) == want && len(fromB) == want
	})
	if !maps.Equal(fromA, fromB) {
		t.Errorf("the brokers give different records")
	}
	for at, value := range whileWriting {
		if fromA[at] != value {
			t.Fatalf("%+v was %.30q while records were written, is %.30q", at, value, fromA[at])
		}
	}
	viaA.compare(t, viaA.acked, fromB)
	viaB.compare(t, viaB.acked, fromA)
}

// TestAcknowledgedHereIsReadableThere: the order "acknowledged by A, then asked of B" is kept.
func TestAcknowledgedHereIsReadableThere(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	createTopic(t, "handover", 1, through(a)...)
	// No group: its coordinator is one of the two, and the reader talks to one.
	reader, err := harness.Client(t, append(through(b),
		kgo.ConsumeTopics("handover"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for i := range 20 {
		produce(t, "handover", i, 1, through(a)...)
		if got := take(t, reader, 1); got[0] != i {
			t.Fatalf("read %v after %d was acknowledged", got, i)
		}
	}
}

// TestTheOtherBrokerTakesOver: when one of two brokers is killed, clients that know both go on with the other.
func TestTheOtherBrokerTakesOver(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	seeds := kgo.SeedBrokers(a.Addr, b.Addr)
	createTopic(t, "takeover", 8, seeds)
	producer := startLedger(t, "takeover", "p", 8, seeds)
	producer.await(t, 2_000)
	a.Kill()
	// More than the client buffers, so that partitions of the dead broker are among them.
	producer.await(t, 2_000)
	producer.finish(t)
	producer.check(t, through(b)...)
}
