package ecosystem

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestMirrorMakerCopiesACluster: records, settings of topics and offsets of groups come from one cluster to another, and MirrorMaker
// goes on after it was killed. It copies each record at least once.
func TestMirrorMakerCopiesACluster(t *testing.T) {
	onTargets(t, func(t *testing.T, from string) {
		const partitions, batch = 3, 600
		into := harness.Dev(t, harness.DevOptions{}).Addr
		producer, source := client(t, from, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.DefaultProduceTopic("mirrored"))
		_, target := client(t, into)
		retention := "123456789"
		if _, err := source.CreateTopic(t.Context(), partitions, 1, map[string]*string{"retention.ms": &retention}, "mirrored"); err != nil {
			t.Fatal(err)
		}
		n := 0
		produce := func() {
			t.Helper()
			var records []*kgo.Record
			for range batch {
				records = append(records, kgo.StringRecord(fmt.Sprint("record ", n)))
				n++
			}
			if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		produce()
		commit := func(at int64) {
			t.Helper()
			var offsets kadm.Offsets
			for p := range int32(partitions) {
				offsets.Add(kadm.Offset{Topic: "mirrored", Partition: p, At: at, LeaderEpoch: -1})
			}
			if err := source.CommitAllOffsets(t.Context(), "readers", offsets); err != nil {
				t.Fatal(err)
			}
		}
		commit(batch / partitions)
		config := properties(t, filepath.Join(t.TempDir(), "mirror.properties"),
			"clusters=source,target", "source.bootstrap.servers="+from, "target.bootstrap.servers="+into,
			"source->target.enabled=true", "target->source.enabled=false", "source->target.topics=mirrored", "source->target.groups=readers",
			"replication.factor=1", "checkpoints.topic.replication.factor=1", "heartbeats.topic.replication.factor=1",
			"offset-syncs.topic.replication.factor=1", "offset.storage.replication.factor=1", "status.storage.replication.factor=1",
			"config.storage.replication.factor=1", "sync.topic.configs.interval.seconds=1", "refresh.topics.interval.seconds=1",
			"refresh.groups.interval.seconds=1", "emit.checkpoints.interval.seconds=1", "sync.group.offsets.enabled=true",
			"sync.group.offsets.interval.seconds=1", "offset.lag.max=0", "offset.flush.interval.ms=500", "plugin.discovery=service_load")
		mirror := func() *process {
			return start(t, "MirrorMaker", java(t, "org.apache.kafka.connect.mirror.MirrorMaker", config))
		}
		m := mirror()
		eventually(t, "the topic is made", 2*time.Minute, func() bool {
			m.alive(t)
			topics, err := target.ListTopics(t.Context(), "source.mirrored")
			return err == nil && topics.Has("source.mirrored") && len(topics["source.mirrored"].Partitions) == partitions
		})
		copied := follow(t, into, "source.mirrored")
		all := func() bool {
			m.alive(t)
			values := make(map[string]bool)
			for _, r := range copied.of("source.mirrored") {
				values[string(r.Value)] = true
			}
			return len(values) == n
		}
		eventually(t, "all records are copied", 2*time.Minute, all)
		eventually(t, "the topic's settings are copied", time.Minute, func() bool {
			m.alive(t)
			described, err := target.DescribeTopicConfigs(t.Context(), "source.mirrored")
			if err != nil || len(described) != 1 {
				return false
			}
			for _, c := range described[0].Configs {
				if c.Key == "retention.ms" {
					return c.Value != nil && *c.Value == retention
				}
			}
			return false
		})

		m.kill(t)
		produce()
		m = mirror()
		eventually(t, "what came while it was dead is copied", 2*time.Minute, all)
		commit(2 * batch / partitions)
		eventually(t, "the group's offsets are copied", 2*time.Minute, func() bool {
			m.alive(t)
			offsets, err := target.FetchOffsets(t.Context(), "readers")
			if err != nil {
				return false
			}
			ends, err := target.ListEndOffsets(t.Context(), "source.mirrored")
			if err != nil {
				return false
			}
			for p := range int32(partitions) {
				at, ok := offsets.Lookup("source.mirrored", p)
				end, known := ends.Lookup("source.mirrored", p)
				if !ok || !known || at.At < batch/partitions || at.At > end.Offset {
					return false
				}
			}
			return true
		})
	})
}
