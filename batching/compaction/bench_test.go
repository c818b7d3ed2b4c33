package compaction

import (
	"fmt"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/memory"
)

// BenchmarkPlan looks at 100,000 partitions with 10 runs each: all in tier 0 and too young, or all due.
func BenchmarkPlan(b *testing.B) {
	log := metamemory.New(metamemory.Options{})
	defer log.Close()
	now := planNow
	r := metastore.NewReplica(log, metastore.ReplicaOptions{Now: func() time.Time { return now }})
	if err := r.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	var topics []metastore.TopicID
	for i := range 100 {
		topic, err := r.CreateTopic(b.Context(), metastore.NewTopic{Name: fmt.Sprint(i), Partitions: 1000, ReplicationFactor: 1})
		if err != nil {
			b.Fatal(err)
		}
		topics = append(topics, topic.ID)
	}
	for range 10 {
		for i := range 10 { // a segment has every tenth topic
			c := metastore.SegmentCommit{ID: metastore.NewSegmentID(now), Size: 100_000_000}
			for t := i; t < len(topics); t += 10 {
				for p := range int32(1000) {
					c.Runs = append(c.Runs, metastore.RunCommit{TopicPartition: metastore.TopicPartition{Topic: topics[t], Partition: p},
						Batches: []metastore.BatchCommit{{Length: 8000, Records: 1, ProducerID: metastore.NoProducerID}}})
				}
			}
			if _, err := r.Commit(b.Context(), []metastore.SegmentCommit{c}); err != nil {
				b.Fatal(err)
			}
		}
	}
	for name, at := range map[string]time.Time{"young": now, "due": now.Add(time.Hour)} {
		b.Run(name, func(b *testing.B) {
			e, err := rewrite.New(memory.New(), r, rewrite.Options{})
			if err != nil {
				b.Fatal(err)
			}
			c, err := New(r, e, Options{Now: func() time.Time { return at }})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p := c.plan()
				if n := len(c.parts(p.job(Lift))); (n > 0) != (at != now) {
					b.Fatal(n)
				}
			}
		})
	}
}
