package compat

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
)

// Main classes of the tools that look after replicas and what decides on them.
const (
	deleteRecordsCommand  = "org.apache.kafka.tools.DeleteRecordsCommand"
	leaderElectionCommand = "org.apache.kafka.tools.LeaderElectionCommand"
	reassignCommand       = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
	featureCommand        = "org.apache.kafka.tools.FeatureCommand"
	quorumCommand         = "org.apache.kafka.tools.MetadataQuorumCommand"
)

// tools runs Kafka's command line tools against one cluster.
type tools struct {
	t         *testing.T
	java      javaTools
	bootstrap string
}

func (o tools) run(class string, args ...string) (string, error) {
	out, err := o.java.run(within(o.t, toolTimeout), nil, class, append([]string{"--bootstrap-server", o.bootstrap}, args...)...)
	return string(out), err
}

// must runs a tool that is to succeed.
func (o tools) must(class string, args ...string) string {
	o.t.Helper()
	out, err := o.run(class, args...)
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

// fails runs a tool that is to be refused, and returns why.
func (o tools) fails(class string, args ...string) string {
	o.t.Helper()
	out, err := o.run(class, args...)
	if err == nil {
		o.t.Fatalf("%s %q succeeded: %s", class, args, out)
	}
	return out + err.Error()
}

// file writes what a tool reads.
func (o tools) file(content any) string {
	o.t.Helper()
	b, err := json.Marshal(content)
	if err != nil {
		o.t.Fatal(err)
	}
	path := filepath.Join(o.t.TempDir(), "input.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

type partitionOffset struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int    `json:"offset"`
}

func TestKafkaToolsDeleteRecords(t *testing.T) {
	c := clients(t)
	onTargets(t, func(t *testing.T, bootstrap string) {
		o := tools{t, c.java, bootstrap}
		createTopic(t, bootstrap, "purged", 1)
		records := Generate(30, 0, epoch(), console{}.Abilities())
		if err := (console{c.java}).Produce(within(t, toolTimeout), bootstrap, "purged", "gzip", records); err != nil {
			t.Fatal(err)
		}
		remove := func(offset int) string {
			t.Helper()
			return o.must(deleteRecordsCommand, "--offset-json-file", o.file(map[string]any{
				"version": 1, "partitions": []partitionOffset{{"purged", 0, offset}},
			}))
		}
		earliest := func() string {
			t.Helper()
			return strings.TrimSpace(o.must(getOffsets, "--topic", "purged", "--time", "earliest"))
		}
		contains(t, remove(12), "partition: purged-0\tlow_watermark: 12")
		if got := earliest(); got != "purged:0:12" {
			t.Errorf("earliest offset %q", got)
		}
		read, err := (console{c.java}).Consume(within(t, toolTimeout), bootstrap, "purged", "reader", len(records)-12)
		if err != nil {
			t.Fatal(err)
		}
		if len(read) != len(records)-12 {
			t.Errorf("%d records are left of %d, 12 were deleted", len(read), len(records))
		}
		contains(t, remove(7), "partition: purged-0\tlow_watermark: 12")
		contains(t, remove(31), "OffsetOutOfRange")
		contains(t, remove(-1), "partition: purged-0\tlow_watermark: 30")
		if got := earliest(); got != "purged:0:30" {
			t.Errorf("earliest offset when all are deleted: %q", got)
		}
	})
}

type replicaAssignment struct {
	Topic     string  `json:"topic"`
	Partition int     `json:"partition"`
	Replicas  []int32 `json:"replicas"`
}

func TestKafkaToolsMoveReplicas(t *testing.T) {
	c := clients(t)
	onTargets(t, func(t *testing.T, bootstrap string) {
		o := tools{t, c.java, bootstrap}
		createTopic(t, bootstrap, "moved", 2)
		brokers, err := admin(t, bootstrap).ListBrokers(harness.Soon(t))
		if err != nil {
			t.Fatal(err)
		}
		broker := brokers[0].NodeID
		plan := func(replicas ...int32) string {
			t.Helper()
			return o.file(map[string]any{
				"version": 1, "partitions": []replicaAssignment{{"moved", 0, replicas}, {"moved", 1, replicas}},
			})
		}
		// What ends or cancels a reassignment removes its throttles, which are settings of topics and brokers.
		contains(t, o.must(reassignCommand, "--reassignment-json-file", plan(broker), "--execute"), "Successfully started partition reassignments for moved-0,moved-1")
		eventually(t, "the reassignment is completed", func() bool {
			out := o.must(reassignCommand, "--reassignment-json-file", plan(broker), "--verify")
			return strings.Contains(out, "Reassignment of partition moved-0 is completed.") && strings.Contains(out, "Reassignment of partition moved-1 is completed.")
		})
		contains(t, o.must(reassignCommand, "--list"), "No partition reassignments found.")
		contains(t, o.must(reassignCommand, "--reassignment-json-file", plan(broker), "--cancel"), "None of the specified partition reassignments are active.")
		contains(t, o.fails(reassignCommand, "--reassignment-json-file", plan(broker+70), "--execute"), fmt.Sprint(broker+70))

		contains(t, o.must(leaderElectionCommand, "--election-type", "preferred", "--topic", "moved", "--partition", "0"),
			"Valid replica already elected for partitions moved-0")
		o.must(leaderElectionCommand, "--election-type", "preferred", "--all-topic-partitions")
		contains(t, o.fails(leaderElectionCommand, "--election-type", "preferred", "--topic", "moved", "--partition", "9"), "UnknownTopicOrPartition")

		for _, wanting := range []string{"--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions", "--at-min-isr-partitions"} {
			out := o.must(topicCommand, "--describe", wanting, "--topic", "moved")
			if wanting != "--at-min-isr-partitions" && strings.TrimSpace(out) != "" { // one replica is the least there may be
				t.Errorf("kafka-topics %s: %s", wanting, out)
			}
		}
	})
}

func TestKafkaToolsDescribeTheQuorumAndFeatures(t *testing.T) {
	c := clients(t)
	onTargets(t, func(t *testing.T, bootstrap string) {
		o := tools{t, c.java, bootstrap}
		status := o.must(quorumCommand, "describe", "--status")
		contains(t, status, "ClusterId:", "LeaderEpoch:", "HighWatermark:", "MaxFollowerLag:         0", "CurrentVoters:", "CurrentObservers:")
		replication := strings.Split(strings.TrimSpace(o.must(quorumCommand, "describe", "--replication", "--human-readable")), "\n")
		if len(replication) != 2 || !slices.Contains(strings.Fields(replication[1]), "Leader") {
			t.Errorf("kafka-metadata-quorum describe --replication: %q", replication)
		}
		o.must(featureCommand, "describe")
		contains(t, o.fails(featureCommand, "upgrade", "--feature", "made.up.version=1"), "Could not upgrade made.up.version to 1")
		contains(t, o.fails(featureCommand, "downgrade", "--feature", "transaction.version=9"), "Could not downgrade transaction.version to 9")
	})
}
