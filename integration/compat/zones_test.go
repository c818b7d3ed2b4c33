package compat

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestJavaConsumerReadsInItsRack: a consumer with client.rack is sent to the broker of its rack, reads there alone, and
// never goes round in circles, also where a topic has too few replicas for it. kafka-log-dirs adds up over the brokers.
func TestJavaConsumerReadsInItsRack(t *testing.T) {
	c := clients(t)
	stores := harness.NewStores(t)
	var brokers []*harness.Broker
	for _, zone := range []string{"a", "b", "c"} {
		b := harness.Node(t, stores, harness.NodeOptions{Env: []string{"RUNNEL_ZONE=" + zone}})
		b.Restart()
		brokers = append(brokers, b)
	}
	bootstrap := brokers[0].Addr
	eventually(t, "the first broker knows the others", func() bool {
		metadata, err := admin(t, bootstrap).BrokerMetadata(t.Context())
		return err == nil && len(metadata.Brokers) == len(brokers)
	})
	const partitions, count, size = 6, 3000, 1000
	for _, topic := range []struct {
		name     string
		replicas int16
		near     bool // all of it is read in the consumer's rack
	}{{"wide", 3, true}, {"narrow", 1, false}} {
		t.Run(topic.name, func(t *testing.T) {
			if _, err := admin(t, bootstrap).CreateTopic(t.Context(), partitions, topic.replicas, nil, topic.name); err != nil {
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

// writeValues writes the same value so many times, over all partitions.
func writeValues(t *testing.T, bootstrap, topic string, count int, value string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic),
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
