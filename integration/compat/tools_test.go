package compat

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
)

const toolTimeout = 90 * time.Second

// TestKafkaToolsAdministerTheCluster walks through what an operator does with Kafka's own command line tools.
func TestKafkaToolsAdministerTheCluster(t *testing.T) {
	c := clients(t)
	onTargets(t, func(t *testing.T, bootstrap string) {
		tool := func(class string, args ...string) string {
			t.Helper()
			out, err := c.java.run(within(t, toolTimeout), nil, class, append([]string{"--bootstrap-server", bootstrap}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}

		out := tool(topicCommand, "--create", "--topic", "orders", "--partitions", "3", "--replication-factor", "1",
			"--config", "retention.ms=3600000")
		contains(t, out, "Created topic orders")
		if list := strings.Fields(tool(topicCommand, "--list")); !slices.Contains(list, "orders") {
			t.Errorf("kafka-topics --list: %q", list)
		}
		out = tool(topicCommand, "--describe", "--topic", "orders")
		contains(t, out, "PartitionCount: 3", "ReplicationFactor: 1", "retention.ms=3600000", "Partition: 2")
		out = tool(configCommand, "--describe", "--entity-type", "topics", "--entity-name", "orders")
		contains(t, out, "retention.ms=3600000")

		records := Generate(30, 0, epoch(), console{}.Abilities())
		if err := (console{c.java}).Produce(within(t, toolTimeout), bootstrap, "orders", "zstd", records); err != nil {
			t.Fatal(err)
		}
		offsets := strings.Fields(tool(getOffsets, "--topic", "orders"))
		if n := sumOfOffsets(t, offsets); n != len(records) {
			t.Errorf("kafka-get-offsets counts %d records, %d were produced: %q", n, len(records), offsets)
		}
		earliest := strings.Fields(tool(getOffsets, "--topic", "orders", "--time", "earliest"))
		if n := sumOfOffsets(t, earliest); n != 0 || len(earliest) != 3 {
			t.Errorf("kafka-get-offsets --time earliest: %q", earliest)
		}

		checkLogDirs(t, tool(logDirsCommand, "--describe", "--topic-list", "orders"), "orders", 3, 1)

		if _, err := (console{c.java}).Consume(within(t, toolTimeout), bootstrap, "orders", "billing", len(records)); err != nil {
			t.Fatal(err)
		}
		if groups := strings.Fields(tool(groupCommand, "--list")); !slices.Contains(groups, "billing") {
			t.Errorf("kafka-consumer-groups --list: %q", groups)
		}
		rows := groupRows(tool(groupCommand, "--describe", "--group", "billing"), "billing", "orders")
		if len(rows) != 3 {
			t.Errorf("kafka-consumer-groups --describe gives %d partitions of 3", len(rows))
		}
		for _, row := range rows {
			// GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG ...
			if row[3] != row[4] || row[5] != "0" {
				t.Errorf("the group read everything, but: %q", row)
			}
		}
		contains(t, tool(groupCommand, "--describe", "--group", "billing", "--state"), "Empty")

		tool(topicCommand, "--delete", "--topic", "orders")
		eventually(t, "the topic is gone", func() bool {
			return !slices.Contains(strings.Fields(tool(topicCommand, "--list")), "orders")
		})
	})
}

// TestProducerPerformanceWithDefaultSettings: one default Java producer, idempotent and with one connection, is what
// most of the world measures with.
func TestProducerPerformanceWithDefaultSettings(t *testing.T) {
	c := clients(t)
	onTargets(t, func(t *testing.T, bootstrap string) {
		createTopic(t, bootstrap, "perf", 6)
		const n = 20_000
		out, err := c.java.run(within(t, 2*time.Minute), nil, performance, "--topic", "perf", "--num-records", fmt.Sprint(n),
			"--record-size", "1000", "--throughput", "-1", "--bootstrap-server", bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		summary := regexp.MustCompile(`(?m)^20000 records sent, .* MB/sec.*$`).Find(out)
		if summary == nil {
			t.Fatalf("no summary: %s", out)
		}
		t.Logf("%s", summary)
		records, _, err := ReadAll(within(t, time.Minute), bootstrap, "perf", n)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckDense(records); err != nil {
			t.Error(err)
		}
	})
}

func contains(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("the tool's output lacks %q:\n%s", w, out)
		}
	}
}

// sumOfOffsets adds up lines of TOPIC:PARTITION:OFFSET.
func sumOfOffsets(t *testing.T, lines []string) int {
	t.Helper()
	sum := 0
	for _, line := range lines {
		var partition, offset int
		fields := strings.ReplaceAll(line[strings.IndexByte(line, ':')+1:], ":", " ")
		if _, err := fmt.Sscan(fields, &partition, &offset); err != nil {
			t.Fatalf("line of kafka-get-offsets %q: %v", line, err)
		}
		sum += offset
	}
	return sum
}

// checkLogDirs looks at the output of kafka-log-dirs: over so many brokers each partition of the topic must be there once,
// and together they hold something.
func checkLogDirs(t *testing.T, out, topic string, partitions, brokers int) (bytes int64) {
	t.Helper()
	var told struct {
		Brokers []struct {
			Broker  int
			LogDirs []struct {
				LogDir     string
				Error      *string
				Partitions []struct {
					Partition string
					Size      int64
					OffsetLag int64
					IsFuture  bool
				}
			}
		}
	}
	from := strings.IndexByte(out, '{')
	if from < 0 {
		t.Fatalf("no JSON in the output of kafka-log-dirs: %s", out)
	}
	if err := json.Unmarshal([]byte(out[from:]), &told); err != nil {
		t.Fatalf("%v in the output of kafka-log-dirs: %s", err, out)
	}
	seen := map[string]int{}
	for _, b := range told.Brokers {
		if len(b.LogDirs) != 1 || b.LogDirs[0].LogDir == "" || b.LogDirs[0].Error != nil {
			t.Errorf("log directories of broker %d: %+v", b.Broker, b.LogDirs)
		}
		for _, dir := range b.LogDirs {
			for _, p := range dir.Partitions {
				seen[p.Partition]++
				bytes += p.Size
				if p.OffsetLag != 0 || p.IsFuture {
					t.Errorf("%+v", p)
				}
			}
		}
	}
	for i := range partitions {
		if name := fmt.Sprintf("%s-%d", topic, i); seen[name] != 1 {
			t.Errorf("%s is there %d times", name, seen[name])
		}
	}
	if len(told.Brokers) != brokers || len(seen) != partitions || bytes == 0 {
		t.Errorf("%d brokers, partitions %v, %d bytes", len(told.Brokers), seen, bytes)
	}
	return bytes
}

// groupRows gives the columns of the lines about a group and a topic.
func groupRows(out, group, topic string) [][]string {
	var rows [][]string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) >= 6 && f[0] == group && f[1] == topic {
			rows = append(rows, f)
		}
	}
	return rows
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	harness.Eventually(t, what, 30*time.Second, ok)
}
