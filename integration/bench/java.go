package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/slows3"
)

const javaRecordSize = 1024

// javaResult is one run of Kafka's ProducerPerformance.
type javaResult struct {
	mbPerS   float64 // millions of bytes
	p50, p99 int     // ms
}

var javaLine = regexp.MustCompile(`records sent, ([0-9.]+) records/sec .* (\d+) ms 50th, \d+ ms 95th, (\d+) ms 99th`)

// parseJava reads the last line that the tool prints.
func parseJava(out string) (javaResult, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	match := javaLine.FindStringSubmatch(lines[len(lines)-1])
	if match == nil {
		return javaResult{}, fmt.Errorf("ProducerPerformance ended with %q", lines[len(lines)-1])
	}
	perS, err1 := strconv.ParseFloat(match[1], 64)
	p50, err2 := strconv.Atoi(match[2])
	p99, err3 := strconv.Atoi(match[3])
	return javaResult{perS * javaRecordSize / 1e6, p50, p99}, errors.Join(err1, err2, err3)
}

// java runs one producer with default settings against a new topic of 8 partitions.
func (m *machine) java(ctx context.Context, bootstrap, topic string) (r javaResult, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return r, err
	}
	admin := kadm.NewClient(client)
	defer admin.Close()
	if _, err := admin.CreateTopic(ctx, 8, 1, nil, topic); err != nil {
		return r, fmt.Errorf("create topic %s: %w", topic, err)
	}
	cmd := exec.CommandContext(ctx, "java", "-Xmx512m", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", m.jars,
		"org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", strconv.Itoa(m.size.javaRecords),
		"--record-size", strconv.Itoa(javaRecordSize), "--throughput", "-1", "--bootstrap-server", bootstrap)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("ProducerPerformance: %w\n%s", err, out)
	}
	if r, err = parseJava(string(out)); err != nil {
		return r, err
	}
	_, err = admin.DeleteTopic(ctx, topic)
	return r, err
}

func (m *machine) javaCommand() string {
	return fmt.Sprintf("kafka-producer-perf-test.sh --topic T --num-records %d --record-size %d --throughput -1 --bootstrap-server BROKER",
		m.size.javaRecords, javaRecordSize)
}

// javaBesideKafka runs the two in turn.
func javaBesideKafka(ctx context.Context, m *machine) (s section, err error) {
	kafka, err := servers.OpenKafka(ctx, m.jars, servers.KafkaOptions{})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, kafka.Close()) }()
	c, err := m.startCluster(ctx, 1, m.s3.Endpoint())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	s = newSection("run", "Apache Kafka, MB/s", "Runnel, MB/s", "Kafka p50 / p99, ms", "Runnel p50 / p99, ms")
	s.commands = []string{m.javaCommand()}
	profiled := m.profile(ctx, c, "a")
	var theirs, ours []float64
	for i := range m.size.javaRounds {
		k, err := m.java(ctx, kafka.Bootstrap, fmt.Sprintf("java-%d", i))
		if err != nil {
			return s, fmt.Errorf("kafka: %w", err)
		}
		r, err := m.java(ctx, c.addresses[0], fmt.Sprintf("java-%d", i))
		if err != nil {
			return s, fmt.Errorf("runnel: %w", err)
		}
		theirs, ours = append(theirs, k.mbPerS), append(ours, r.mbPerS)
		s.row(fmt.Sprint(i+1), number(k.mbPerS), number(r.mbPerS), fmt.Sprintf("%d / %d", k.p50, k.p99), fmt.Sprintf("%d / %d", r.p50, r.p99))
	}
	s.outcome = fmt.Sprintf("ratio of medians %s", number(median(ours)/median(theirs)))
	s.note = "Medians: " + number(median(theirs)) + " and " + number(median(ours)) + " MB/s. Kafka's acknowledgement waits for its page cache, Runnel's for the S3 server and PostgreSQL."
	return s, profiled()
}

// javaOnSlowS3 does it on simulated S3.
func javaOnSlowS3(ctx context.Context, m *machine) (s section, err error) {
	c, err := m.startSlowCluster(ctx, 1, slows3.Standard)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	s = newSection("run", "MB/s", "p50 / p99, ms")
	s.commands = []string{m.javaCommand()}
	var all []float64
	for i := range m.size.javaRounds {
		r, err := m.java(ctx, c.addresses[0], fmt.Sprintf("java-%d", i))
		if err != nil {
			return s, err
		}
		all = append(all, r.mbPerS)
		s.row(fmt.Sprint(i+1), number(r.mbPerS), fmt.Sprintf("%d / %d", r.p50, r.p99))
	}
	s.outcome = "median " + number(median(all)) + " MB/s"
	far, err := m.javaToFarKafka(ctx)
	if err != nil {
		return s, err
	}
	s.row("Apache Kafka, answers "+distance.String()+" late", number(far.mbPerS), fmt.Sprintf("%d / %d", far.p50, far.p99))
	s.note = "The client sets the limit: with default settings it has 5 requests in flight to a broker, each of at most one batch of 16 KiB\n" +
		"per partition, 655,360 bytes per round trip, however many brokers lead the 8 partitions. At a PUT of 60 ms that is 11 MB/s at the very most.\n" +
		"40 MB/s would need answers within 16 ms. The last row is the same client on Apache Kafka, which does nothing slow, with every answer on its\n" +
		"way for as long as half of the PUTs take."
	return s, nil
}

// javaToFarKafka is how fast the client is where nothing but the way of the answers takes time.
func (m *machine) javaToFarKafka(ctx context.Context) (r javaResult, err error) {
	var kafka *servers.Kafka // told the way's address before it has its own
	way, err := openFarAway(ctx, func() string { return kafka.Bootstrap }, distance)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, way.Close()) }()
	if kafka, err = servers.OpenKafka(ctx, m.jars, servers.KafkaOptions{Advertised: way.Addr()}); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, kafka.Close()) }()
	return m.java(ctx, way.Addr(), "far")
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
