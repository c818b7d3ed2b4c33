package e2e

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestSigtermAnswersWhatIsInFlight: a Produce that waits in an open segment when SIGTERM arrives is stored and
// answered before the process ends.
func TestSigtermAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	b := harness.Node(t, harness.NewStores(t), harness.NodeOptions{
		Env: []string{"RUNNEL_LINGER_MIN=500ms", "RUNNEL_LINGER_MAX=500ms"},
	})
	b.Restart()
	seed := kgo.SeedBrokers(b.Addr)
	createTopic(t, "drain", 1, seed)

	conn := dial(t, b.Addr)
	req := produceRequest("drain", batch(record("in flight")))
	conn.send(t, req)
	eventually(t, "the request is read, and waits 500 ms for its segment to seal", 10*time.Second, func() bool {
		return strings.Contains(b.Metrics(), `runnel_wire_requests_total{api="Produce"} 1`)
	})
	b.Stop()
	resp := conn.receive(t, req).(*kmsg.ProduceResponse)
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("the answer during the drain: error %d, offset %d", p.ErrorCode, p.BaseOffset)
	}

	b.Restart()
	if stored := readAll(t, "drain", seed); stored[place{0, 0}] != "in flight" {
		t.Errorf("after the restart: %v", stored)
	}
}

// TestSigtermUnderLoad: the broker ends with exit code 0 while producers and consumers are busy, and has kept what it
// acknowledged.
func TestSigtermUnderLoad(t *testing.T) {
	durable(t, func(t *testing.T, b *harness.Broker) {
		seed := kgo.SeedBrokers(b.Addr)
		createTopic(t, "load", 4, seed)
		producer := startLedger(t, "load", "p", 4, seed)
		groupClient(t, "load", seed)
		producer.await(t, 1_000)
		began := time.Now()
		b.Stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("draining took %v", took)
		}
		b.Restart()
		producer.await(t, 1_000)
		producer.finish(t)
		producer.check(t, seed)
	})
}

// TestSecondSigtermEndsTheDrain: a drain that waits for a bucket that is away is ended by the second signal.
func TestSecondSigtermEndsTheDrain(t *testing.T) {
	t.Parallel()
	_, s3, stores := ownServers(t)
	b := harness.Node(t, stores, harness.NodeOptions{})
	b.Restart()
	createTopic(t, "stuck", 1, kgo.SeedBrokers(b.Addr))
	if err := s3.Stop(); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, b.Addr)
	conn.send(t, produceRequest("stuck", batch(record("never stored"))))
	// Until the bucket is missed, so that the request was surely read.
	b.WaitNotReady("object store")
	b.StopTwice()
}

const (
	shortDrain = 8 * time.Second
	// drainSlack is what ends of connections to a metastore that does not answer may take on top.
	drainSlack = 4 * time.Second
)

// inTime stops a broker whose drain is short.
func inTime(t *testing.T, b *harness.Broker) {
	t.Helper()
	began := time.Now()
	b.Stop()
	if took := time.Since(began); took > shortDrain+drainSlack {
		t.Errorf("a drain of %v took %v", shortDrain, took)
	} else {
		t.Logf("a drain of %v took %v", shortDrain, took)
	}
}

// TestSigtermDuringAnOutageEndsInTime: one of two brokers is stopped under load while PostgreSQL or the bucket is away.
// Afterwards nothing acknowledged is missing.
func TestSigtermDuringAnOutageEndsInTime(t *testing.T) {
	t.Parallel()
	pg, s3, stores := ownServers(t)
	options := harness.NodeOptions{Env: []string{"RUNNEL_DRAIN_TIMEOUT=" + shortDrain.String()}}
	a, b := harness.Node(t, stores, options), harness.Node(t, stores, options)
	a.Restart()
	b.Restart()
	seeds := kgo.SeedBrokers(a.Addr, b.Addr)
	createTopic(t, "ending", 4, seeds)
	producer := startLedger(t, "ending", "p", 4, seeds)
	startGroupMember(t, "ending", "ending-group", seeds)
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			producer.await(t, 500)
			if err := outage.end(t, pg, s3); err != nil {
				t.Fatal(err)
			}
			a.WaitNotReady(outage.word)
			inTime(t, a)
			if err := outage.begin(t, pg, s3); err != nil {
				t.Fatal(err)
			}
			a.Restart()
			b.WaitReady()
			producer.await(t, 1_000)
		})
	}
	producer.finish(t)
	allHear(t, "ending", producer.count(), a, b)
	producer.check(t, seeds)
}

// TestSigtermOfABrokerThatIsCutOffEndsInTime: its packets to PostgreSQL go nowhere, and nobody tells it.
func TestSigtermOfABrokerThatIsCutOffEndsInTime(t *testing.T) {
	t.Parallel()
	stores := harness.NewStores(t)
	options := harness.NodeOptions{Env: []string{"RUNNEL_DRAIN_TIMEOUT=" + shortDrain.String()}}
	b := harness.Node(t, stores, options)
	b.Restart()
	dsn, err := url.Parse(stores.Metastore)
	if err != nil {
		t.Fatal(err)
	}
	link := harness.NewLink(t, dsn.Host)
	dsn.Host = link.Addr
	stores.Metastore = dsn.String()
	a := harness.Node(t, stores, options)
	a.Restart()
	seeds := kgo.SeedBrokers(a.Addr, b.Addr)
	createTopic(t, "cut", 4, seeds)
	producer := startLedger(t, "cut", "p", 4, seeds)
	startGroupMember(t, "cut", "cut-group", seeds)
	producer.await(t, 500)
	link.Cut()
	a.WaitNotReady("metastore")
	inTime(t, a)
	producer.await(t, 1_000)
	producer.finish(t)
	allHear(t, "cut", producer.count(), b)
	producer.check(t, through(b)...)
}
