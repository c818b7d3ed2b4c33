package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// zonal starts a broker in each of the zones a, b and c, and waits until all know each other. The last one takes clients that
// do not say otherwise to be in a zone.
func zonal(t *testing.T, clientsOfC string) map[string]*harness.Broker {
	t.Helper()
	stores, brokers := harness.NewStores(t), map[string]*harness.Broker{}
	for _, zone := range zones {
		env := []string{"RUNNEL_ZONE=" + zone}
		if zone == "c" {
			env = append(env, "RUNNEL_CLIENT_ZONE="+clientsOfC)
		}
		brokers[zone] = harness.Node(t, stores, harness.NodeOptions{Env: env})
		brokers[zone].Start()
	}
	for _, zone := range zones {
		b := brokers[zone]
		b.WaitReady()
		awaitMetadata(t, b, "the others", func(m *kmsg.MetadataResponse) bool { return len(m.Brokers) == len(zones) })
	}
	return brokers
}

// awaitMetadata waits until a broker knows something.
func awaitMetadata(t *testing.T, b *harness.Broker, what string, ok func(*kmsg.MetadataResponse) bool) {
	t.Helper()
	client, err := harness.Client(t, through(b)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, "the broker knows "+what, 20*time.Second, func() bool {
		metadata, err := kmsg.NewPtrMetadataRequest().RequestWith(harness.Soon(t), client) // not by kadm, which remembers answers
		return err == nil && ok(metadata)
	})
}

// createSpread creates a topic of which all the brokers know.
func createSpread(t *testing.T, brokers map[string]*harness.Broker, topic string, partitions int32, replicas int16) {
	t.Helper()
	if _, err := admin(t, kgo.SeedBrokers(brokers["a"].Addr)).CreateTopic(harness.Soon(t), partitions, replicas, nil, topic); err != nil {
		t.Fatal(err)
	}
	for _, b := range brokers {
		awaitMetadata(t, b, topic, func(m *kmsg.MetadataResponse) bool {
			return slices.ContainsFunc(m.Topics, func(t kmsg.MetadataResponseTopic) bool { return *t.Topic == topic })
		})
	}
}

var zones = []string{"a", "b", "c"}

// traffic is what a broker did for clients.
type traffic struct{ produces, fetches, sent float64 }

// during tells what each broker did for clients meanwhile, by zone.
func during(t *testing.T, brokers map[string]*harness.Broker, do func()) map[string]traffic {
	t.Helper()
	count := func() map[string]traffic {
		counts := map[string]traffic{}
		for zone, b := range brokers {
			text := b.Metrics()
			counts[zone] = traffic{metric(text, `runnel_wire_requests_total{api="Produce"}`),
				metric(text, `runnel_wire_requests_total{api="Fetch"}`), metric(text, "runnel_wire_sent_bytes_total")}
		}
		return counts
	}
	before := count()
	do()
	after := count()
	for zone, was := range before {
		after[zone] = traffic{after[zone].produces - was.produces, after[zone].fetches - was.fetches, after[zone].sent - was.sent}
	}
	return after
}

// metric is a value in the text of /metrics, 0 if there is none: a counter by label is there once it counted.
func metric(text, name string) (value float64) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			_, _ = fmt.Sscan(rest, &value)
		}
	}
	return value
}

// TestClientsStayInTheirZone: whoever says where it is writes to and reads from the brokers there, and from no others.
func TestClientsStayInTheirZone(t *testing.T) {
	t.Parallel()
	brokers := zonal(t, "c")
	seeds := kgo.SeedBrokers(brokers["a"].Addr)
	const partitions, each, size = 24, 20, 1024
	createSpread(t, brokers, "events", partitions, 3)
	payload := strings.Repeat("x", size)
	for i, zone := range zones {
		tagged := kgo.ClientID("app,zone=" + zone)
		written := during(t, brokers, func() { fill(t, "events", partitions, each, payload, seeds, tagged) })
		for at, did := range written {
			if (did.produces > 0) != (at == zone) {
				t.Errorf("a producer of zone %s sent %v requests to the broker of zone %s", zone, did.produces, at)
			}
		}
		want := partitions * each * (i + 1)
		read := during(t, brokers, func() { mustRead(t, "events", want, seeds, tagged) })
		for at, did := range read {
			if (did.fetches > 0) != (at == zone) {
				t.Errorf("a consumer of zone %s sent %v requests to the broker of zone %s", zone, did.fetches, at)
			}
		}
		// The rack comes with Fetch alone: Metadata names brokers of all zones, and they send the client on.
		raced := during(t, brokers, func() { mustRead(t, "events", want, seeds, kgo.Rack(zone)) })
		for at, did := range raced {
			if home := at == zone; home && did.sent < float64(want*size) || !home && did.sent > float64(want*size)/20 {
				t.Errorf("a consumer in rack %s got %.0f bytes of about %d from the broker of zone %s", zone, did.sent, want*size, at)
			}
		}
	}

	// One replica leaves no other broker that the Java client would go to: the one asked serves.
	createSpread(t, brokers, "narrow", partitions, 1)
	fill(t, "narrow", partitions, each, payload, seeds)
	mustRead(t, "narrow", partitions*each, seeds, kgo.Rack("b"))

	atC := during(t, brokers, func() { mustRead(t, "events", partitions*each*3, kgo.SeedBrokers(brokers["c"].Addr)) })
	if atC["a"].fetches > 0 || atC["b"].fetches > 0 || atC["c"].fetches == 0 {
		t.Errorf("a client of a listener that takes its clients to be in zone c: %+v", atC)
	}
}

// TestLogDirsAddUp: over all brokers, each partition is there once, at its leader, with the bytes that were written,
// whichever zone the tool is in and whatever it calls itself.
func TestLogDirsAddUp(t *testing.T) {
	t.Parallel()
	brokers := zonal(t, "c")
	seeds := kgo.SeedBrokers(brokers["c"].Addr) // whose listener's zone must not matter
	const partitions, each, size = 24, 10, 1024
	createSpread(t, brokers, "events", partitions, 3)
	fill(t, "events", partitions, each, strings.Repeat("x", size), seeds)
	var totals []int64
	for _, id := range []string{"tool", "tool,zone=a", "tool,zone=b", "tool,zone=elsewhere"} {
		client := admin(t, seeds, kgo.ClientID(id))
		seen, total := map[int32]int{}, int64(0)
		eventually(t, "all brokers report what was written", 10*time.Second, func() bool {
			clear(seen)
			total = 0
			dirs, err := client.DescribeAllLogDirs(harness.Soon(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, of := range dirs {
				of.EachPartition(func(p kadm.DescribedLogDirPartition) {
					seen[p.Partition]++
					total += p.Size
				})
			}
			return total >= partitions*each*size
		})
		for p := range int32(partitions) {
			if seen[p] != 1 {
				t.Errorf("client id %s: partition %d is there %d times", id, p, seen[p])
			}
		}
		totals = append(totals, total)
	}
	slices.Sort(totals)
	if totals[0] != totals[len(totals)-1] || totals[0] > partitions*each*size*11/10 {
		t.Errorf("%d bytes of values are told as %d", partitions*each*size, totals)
	}
}

// fill writes so many records to each partition.
func fill(t *testing.T, topic string, partitions, each int, value string, opts ...kgo.Opt) {
	t.Helper()
	client, err := harness.Client(t, append(opts[:len(opts):len(opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for i := range partitions * each {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: []byte(value)})
	}
	if err := client.ProduceSync(harness.Soon(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, topic string, want int, opts ...kgo.Opt) {
	t.Helper()
	eventually(t, "what was written is read", 20*time.Second, func() bool { return len(readAll(t, topic, opts...)) == want })
}

// TestClientsOfALostZoneGoOn: when the only broker of their zone is killed, consumers that were sent there, or told of it
// alone, and producers go on with the brokers of other zones.
func TestClientsOfALostZoneGoOn(t *testing.T) {
	t.Parallel()
	brokers := zonal(t, "")
	seeds := kgo.SeedBrokers(brokers["a"].Addr, brokers["c"].Addr)
	const partitions = 6
	createSpread(t, brokers, "lost", partitions, 3)
	tagged := kgo.ClientID("app,zone=b")
	readers := map[string]*kgo.Client{}
	for name, opts := range map[string][]kgo.Opt{
		// This client stays with a broker that it was sent to, dead or alive, for as long as it is told, which must be longer
		// than a fetch waits; by default half an hour.
		"rack": {kgo.Rack("b"), kgo.RecheckPreferredReplicaInterval(5 * time.Second), kgo.FetchMaxWait(500 * time.Millisecond)},
		"tag":  {tagged},
	} {
		client, err := harness.Client(t, append(opts, seeds, kgo.MetadataMinAge(100*time.Millisecond), kgo.ConsumeTopics("lost"),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		readers[name] = client
	}
	produce(t, "lost", 0, 100, seeds, tagged)
	for name, client := range readers {
		if got := take(t, client, 100); len(got) != 100 {
			t.Fatalf("%s: %d of 100", name, len(got))
		}
	}
	brokers["b"].Kill()
	produce(t, "lost", 100, 100, seeds, tagged)
	for name, client := range readers {
		got := take(t, client, 100)
		slices.Sort(got)
		if got[0] != 100 || got[99] != 199 {
			t.Errorf("%s: read %v after the broker was killed", name, got)
		}
	}
}
