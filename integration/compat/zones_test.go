package compat

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// racks starts a broker in each of the zones a, b and c; each knows them all.
func racks(t *testing.T) []*harness.Broker {
	t.Helper()
	stores := harness.NewStores(t)
	var brokers []*harness.Broker
	for _, zone := range []string{"a", "b", "c"} {
		b := harness.Node(t, stores, harness.NodeOptions{Env: []string{"RUNNEL_ZONE=" + zone}})
		b.Start()
		brokers = append(brokers, b)
	}
	for _, b := range brokers {
		b.WaitReady()
	}
	for _, b := range brokers {
		eventually(t, "the broker knows the others", func() bool {
			metadata, err := admin(t, b.Addr).BrokerMetadata(harness.Soon(t))
			return err == nil && len(metadata.Brokers) == len(brokers)
		})
	}
	return brokers
}

// TestJavaConsumerReadsInItsRack: a consumer with client.rack is sent to the broker of its rack, reads there alone, and
// never goes round in circles, also where a topic has too few replicas for it. kafka-log-dirs adds up over the brokers.
func TestJavaConsumerReadsInItsRack(t *testing.T) {
	t.Parallel()
	c := clients(t)
	brokers := racks(t)
	bootstrap := brokers[0].Addr
	const partitions, count, size = 6, 3000, 1000
	for _, topic := range []struct {
		name     string
		replicas int16
		near     bool // all of it is read in the consumer's rack
	}{{"wide", 3, true}, {"narrow", 1, false}} {
		t.Run(topic.name, func(t *testing.T) {
			if _, err := admin(t, bootstrap).CreateTopic(harness.Soon(t), partitions, topic.replicas, nil, topic.name); err != nil {
				t.Fatal(err)
			}
			writeValues(t, bootstrap, topic.name, count, strings.Repeat("x", size))
			before := sentBytes(t, brokers)
			out, err := c.java.run(within(t, toolTimeout), nil, consoleConsumer, "--bootstrap-server", bootstrap,
				"--topic", topic.name, "--from-beginning", "--max-messages", strconv.Itoa(count), "--command-property", "client.rack=b")
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(out), "\n"); n != count {
				t.Errorf("%d records of %d were read", n, count)
			}
			after := sentBytes(t, brokers)
			for i, b := range brokers {
				sent := after[i] - before[i]
				if home := i == 1; topic.near && (home && sent < count*size || !home && sent > count*size/20) {
					t.Errorf("broker %d at %s sent %.0f bytes of about %d", i, b.Addr, sent, count*size)
				}
			}
			out, err = c.java.run(within(t, toolTimeout), nil, logDirsCommand, "--bootstrap-server", bootstrap, "--describe", "--topic-list", topic.name)
			if err != nil {
				t.Fatal(err)
			}
			if n := checkLogDirs(t, string(out), topic.name, partitions, len(brokers)); n < count*size || n > count*size*11/10 {
				t.Errorf("%d bytes of values take %d", count*size, n)
			}
		})
	}
}

// TestJavaConsumerGoesOnWhenItsRackIsLost: when the broker that a consumer was sent to is killed, it reads from others.
func TestJavaConsumerGoesOnWhenItsRackIsLost(t *testing.T) {
	t.Parallel()
	c := clients(t)
	brokers := racks(t)
	bootstrap := brokers[0].Addr
	const half, size = 600, 1000
	if _, err := admin(t, bootstrap).CreateTopic(harness.Soon(t), 6, 3, nil, "lost"); err != nil {
		t.Fatal(err)
	}
	writeValues(t, bootstrap, "lost", half, strings.Repeat("x", size))
	group := groupElsewhere(t, bootstrap, brokers[1].Addr)
	before := sentBytes(t, brokers)[1]
	type outcome struct {
		out []byte
		err error
	}
	done, ctx := make(chan outcome, 1), within(t, toolTimeout)
	go func() {
		out, err := c.java.run(ctx, nil, consoleConsumer, "--bootstrap-server", bootstrap,
			"--topic", "lost", "--group", group, "--from-beginning", "--max-messages", strconv.Itoa(2*half), "--command-property", "client.rack=b")
		done <- outcome{out, err}
	}()
	eventually(t, "the consumer has read the first half from the broker of its rack", func() bool {
		return sentBytes(t, brokers)[1]-before >= half*size
	})
	brokers[1].Kill()
	writeValues(t, bootstrap, "lost", half, strings.Repeat("y", size))
	read := <-done
	if read.err != nil {
		t.Fatal(read.err)
	}
	if x, y := strings.Count(string(read.out), "x\n"), strings.Count(string(read.out), "y\n"); x != half || y != half {
		t.Errorf("%d records of before and %d of after the broker was killed, want %d each", x, y, half)
	}
}

// groupElsewhere is a group whose coordinator is not the broker at an address: a consumer whose rack is lost rebalances, and
// reads nothing again if it can commit before.
func groupElsewhere(t *testing.T, bootstrap, address string) string {
	t.Helper()
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprint("group-", i))
	}
	for name, c := range admin(t, bootstrap).FindGroupCoordinators(harness.Soon(t), names...) {
		if c.Err != nil {
			t.Fatal(c.Err)
		}
		if fmt.Sprintf("%s:%d", c.Host, c.Port) != address {
			return name
		}
	}
	t.Fatalf("the broker at %s coordinates all of %v", address, names)
	return ""
}

// writeValues writes the same value so many times, over all partitions.
func writeValues(t *testing.T, bootstrap, topic string, count int, value string) {
	t.Helper()
	client, err := harness.Client(t, kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = kgo.StringRecord(value)
	}
	if err := client.ProduceSync(within(t, toolTimeout), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// sentBytes is how many bytes each broker sent to clients.
func sentBytes(t *testing.T, brokers []*harness.Broker) []float64 {
	t.Helper()
	sent := make([]float64, len(brokers))
	for i, b := range brokers {
		for line := range strings.Lines(b.Metrics()) {
			if rest, ok := strings.CutPrefix(line, "runnel_wire_sent_bytes_total "); ok {
				if _, err := fmt.Sscan(rest, &sent[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return sent
}
