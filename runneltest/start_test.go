package runneltest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/runneltest"
)

func TestRecordsComeBack(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t)
	produce(t, client(t, c, kgo.AllowAutoTopicCreation()), "made-by-asking", 0, 50)
	expect(t, c, "made-by-asking", 50)
}

func TestTopicsAndDefaultsAreAsAskedFor(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithTopic("orders", 7, "cleanup.policy=compact", "retention.ms=1000"), runneltest.WithTopic("other", 1),
		runneltest.WithClusterDefault("auto.create.topics.enable", "false"), runneltest.WithClusterDefault("num.partitions", "5"))
	ctx, admin := deadline(t), kadm.NewClient(client(t, c))
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(topics) != 2 || len(topics["orders"].Partitions) != 7 || len(topics["other"].Partitions) != 1 {
		t.Errorf("topics %v", topics)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, config := range configs[0].Configs {
		got[config.Key] = config.MaybeValue()
	}
	if got["cleanup.policy"] != "compact" || got["retention.ms"] != "1000" {
		t.Errorf("configs %v", got)
	}
	if made, err := admin.CreateTopic(ctx, -1, -1, nil, "default"); err != nil || made.NumPartitions != 5 {
		t.Errorf("%d partitions by default: %v", made.NumPartitions, err)
	}
	missing := client(t, c, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(1))
	if err := missing.ProduceSync(ctx, &kgo.Record{Topic: "missing"}).FirstErr(); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a topic that nobody made: %v", err)
	}
}

// TestMistakesFailTheTest also holds that what was started for it is gone: goleak looks.
func TestMistakesFailTheTest(t *testing.T) {
	t.Parallel()
	for want, option := range map[string]runneltest.Option{
		`contains a character other than`:     runneltest.WithTopic("no/name", 1),
		`it has 1 to`:                         runneltest.WithTopic("t", 0),
		`"compact" is not of the form`:        runneltest.WithTopic("t", 1, "compact"),
		`did you mean "cleanup.policy"`:       runneltest.WithTopic("t", 1, "cleanup.polcy=compact"),
		`did you mean "num.partitions"`:       runneltest.WithClusterDefault("num.partition", "1"),
		`unknown key`:                         runneltest.WithConfig("no.such.key", "1"),
		`a cluster has 1 to`:                  runneltest.WithBrokers(0),
		`rule "everything": invalid rule: 1 `: runneltest.WithACLs("everything"),
		`user ""`:                             runneltest.WithUser("", "x"),
	} {
		f := newFake(t)
		log := f.run(func() { runneltest.Start(f, option) })
		if !f.Failed() || !strings.Contains(log, want) {
			t.Errorf("want %q in\n%s", want, log)
		}
	}
}

func TestBrokersOfAClusterKnowEachOtherAndShareWork(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithBrokers(3), runneltest.WithTopic("t", 12))
	ctx := deadline(t)
	for i := range 3 {
		one := client(t, c, kgo.SeedBrokers(c.Broker(i).Addr()))
		meta, err := kadm.NewClient(one).Metadata(ctx)
		if err != nil || len(meta.Brokers) != 3 || len(meta.Topics["t"].Partitions) != 12 {
			t.Errorf("broker %d knows %v, %v: %v", i, meta.Brokers, meta.Topics, err)
		}
	}
	produce(t, client(t, c), "t", 0, 100)
	expect(t, c, "t", 100)
}

// TestRestartKeepsDataAndAddress: with one broker there is nobody else to ask meanwhile.
func TestRestartKeepsDataAndAddress(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithTopic("t", 2))
	before, cl := c.Brokers()[0], client(t, c)
	produce(t, cl, "t", 0, 20)
	c.Broker(0).Stop()
	c.Broker(0).Stop() // is down already
	if conn, err := net.Dial("tcp", before); err == nil {
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a broker that is down: %v", err)
		}
		_ = conn.Close()
	}
	c.Broker(0).Start()
	if after := c.Brokers()[0]; after != before {
		t.Errorf("was at %s and is at %s", before, after)
	}
	produce(t, cl, "t", 20, 40) // the same client goes on
	c.Broker(0).Restart()
	produce(t, cl, "t", 40, 50)
	expect(t, c, "t", 50)
}

// TestKilledBrokerLosesNothingAcknowledged also holds that the producer, which is idempotent, writes nothing twice.
func TestKilledBrokerLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	for _, brokers := range []int{1, 3} {
		c := runneltest.Start(t, runneltest.WithBrokers(brokers), runneltest.WithTopic("t", 6))
		cl := client(t, c)
		produce(t, cl, "t", 0, 30)
		ctx, acked := deadline(t), make(chan error, 200)
		for i := 30; i < 230; i++ {
			cl.Produce(ctx, &kgo.Record{Topic: "t", Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) { acked <- err })
		}
		c.Broker(0).Kill()
		c.Broker(0).Start()
		for range 200 {
			if err := <-acked; err != nil {
				t.Fatal(err)
			}
		}
		expect(t, c, "t", 230)
	}
}

// TestKilledBrokerWritesNoMore: what it had begun has no effect, not even late. The upload is under way when the broker is killed.
func TestKilledBrokerWritesNoMore(t *testing.T) {
	t.Parallel()
	dir, first := t.TempDir(), newFake(t)
	if log := first.run(func() {
		c := runneltest.Start(first, runneltest.WithDir(dir), runneltest.WithTopic("t", 1))
		cl := client(t, c)
		c.Faults().SlowPuts(200 * time.Millisecond)
		cl.Produce(deadline(t), &kgo.Record{Topic: "t", Value: []byte("never")}, nil)
		for c.Faults().Struck() == 0 {
			select {
			case <-time.After(time.Millisecond):
			case <-deadline(t).Done():
				t.Fatal("no upload")
			}
		}
		c.Broker(0).Kill()
		cl.Close()
	}); first.Failed() { // waits until nothing is left of the broker
		t.Fatal(log)
	}
	c := runneltest.Start(t, runneltest.WithDir(dir))
	produce(t, client(t, c), "t", 0, 3)
	expect(t, c, "t", 3)
}

func TestOthersTakeOverFromAKilledBroker(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithBrokers(2), runneltest.WithTopic("t", 4))
	cl := client(t, c)
	produce(t, cl, "t", 0, 20)
	c.Broker(1).Kill()
	produce(t, cl, "t", 20, 40)
	expect(t, c, "t", 40)
}

func TestDirectoryIsThereForTheNextTest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newFake(t)
	if log := first.run(func() {
		c := runneltest.Start(first, runneltest.WithDir(dir), runneltest.WithTopic("t", 1))
		cl := client(t, c)
		produce(t, cl, "t", 0, 10)
		cl.Close()
	}); first.Failed() {
		t.Fatal(log)
	}
	c := runneltest.Start(t, runneltest.WithDir(dir), runneltest.WithTopic("t", 1))
	produce(t, client(t, c), "t", 10, 20)
	expect(t, c, "t", 20)
}

func TestConnectionsAreClosedAndComeAgain(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithTopic("t", 1))
	disconnected := &disconnects{gone: make(chan struct{}, 100)}
	cl := client(t, c, kgo.WithHooks(disconnected))
	produce(t, cl, "t", 0, 5)
	c.Broker(0).CloseClientConnections()
	produce(t, cl, "t", 5, 10)
	select {
	case <-disconnected.gone: // noticed when it is used again
	case <-deadline(t).Done():
		t.Error("connections stayed")
	}
	expect(t, c, "t", 10)
}

type disconnects struct{ gone chan struct{} }

func (d *disconnects) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) {
	select {
	case d.gone <- struct{}{}:
	default:
	}
}

func TestLogIsToldWhenTheTestFails(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		f := newFake(t)
		log := f.run(func() {
			runneltest.Start(f)
			if fails {
				f.Errorf("so be it")
			}
		})
		if told := strings.Contains(log, "serving Kafka clients"); told != fails || f.Failed() != fails {
			t.Errorf("fails %t, and the log is\n%s", fails, log)
		}
	}
	f := newFake(t)
	log := f.run(func() { runneltest.Start(f, runneltest.WithLogs(slog.LevelWarn)) })
	if strings.Contains(log, "serving Kafka clients") {
		t.Errorf("below the level\n%s", log)
	}
	f = newFake(t)
	log = f.run(func() { runneltest.Start(f, runneltest.WithLogs(slog.LevelInfo)) })
	if !strings.Contains(log, "serving Kafka clients") || !strings.Contains(log, "broker=0") {
		t.Errorf("nothing told as it comes\n%s", log)
	}
}

// TestProcessIsLeftAlone looks for what packages leave in the process when they are imported, or brokers run.
func TestProcessIsLeftAlone(t *testing.T) {
	before := slog.Default()
	c := runneltest.Start(t)
	produce(t, client(t, c, kgo.AllowAutoTopicCreation()), "t", 0, 1)
	flag.VisitAll(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") && !strings.HasPrefix(f.Name, "rapid.") {
			t.Errorf("flag -%s", f.Name)
		}
	})
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "runnel_") {
			t.Errorf("metric %s is everybody's", f.GetName())
		}
	}
	if slog.Default() != before {
		t.Error("another default logger")
	}
}
