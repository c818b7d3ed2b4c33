package metastore

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestMemoryIsWhatTheStateTakes compares the estimate with the heap, for states in which one thing takes most of it.
func TestMemoryIsWhatTheStateTakes(t *testing.T) {
	for _, tc := range []struct {
		name               string
		topics, partitions int // partitions of each topic
		runs, producers    int // of each partition
	}{
		{"topics of one partition", 20_000, 1, 0, 0},
		{"partitions that nobody wrote to", 1000, 100, 0, 0},
		{"partitions with a run", 500, 100, 1, 0},
		{"partitions with a run of an idempotent producer", 200, 100, 1, 1},
		{"partitions with nine runs", 200, 100, 9, 1},
		{"many runs", 1, 10, 100_000, 1},
		{"many producers", 1, 10, 1, 20_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReplica(nil, ReplicaOptions{})
			before, estimated := liveHeap(), r.Memory()
			fill(r.state, tc.topics, tc.partitions, tc.runs, tc.producers)
			took, estimate := liveHeap()-before, r.Memory()-estimated
			t.Logf("%d bytes, estimated at %d: %.2f", took, estimate, float64(estimate)/float64(took))
			if float64(estimate) < 0.75*float64(took) || float64(estimate) > 1.4*float64(took) {
				t.Errorf("takes %d bytes, estimated at %d", took, estimate)
			}
			runtime.KeepAlive(r)
		})
	}
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // the first may leave what was being swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// fill makes topics, and commits segments with a run of each partition of a topic.
func fill(s *State, topics, partitions, runs, producers int) {
	now := time.Now()
	at := func() Position { return Position{Seq: s.at.Seq + 1} }
	for n := range topics {
		c := createTopic{id: TopicID{1, byte(n >> 8), byte(n)}, name: fmt.Sprint("topic-", n), partitions: int32(partitions), replicationFactor: 1}
		s.apply(at(), record{time: now.UnixMilli(), change: c}, func(TopicPartition) {})
		for i := range max(runs, producers) {
			segment := committedSegment{id: NewSegmentID(now), size: 8 << 20}
			for p := range c.partitions {
				offset := s.topics[c.id].partitions[p].high
				b := committedBatch{verdict: Accepted, offset: offset, records: 1, length: 100, producerID: NoProducerID}
				if i < producers {
					b.producerID = ProducerID(1000 + i)
				}
				segment.runs = append(segment.runs, committedRun{TopicPartition: TopicPartition{c.id, p}, batches: []committedBatch{b}})
			}
			if runs > 0 {
				s.apply(at(), record{time: now.UnixMilli(), change: commitSegments{segments: []committedSegment{segment}}}, func(TopicPartition) {})
			}
		}
	}
}
