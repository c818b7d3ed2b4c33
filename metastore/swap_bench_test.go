package metastore

import (
	"fmt"
	"testing"
	"time"
)

// swapOf merges the oldest runs of each partition into one.
func swapOf(s *State, each, most int) ([]RewrittenSegment, []Rewrite) {
	segments := []RewrittenSegment{{ID: NewRewrittenID(time.Now()), Size: 64 << 20}}
	var rewrites []Rewrite
	named := 0
	for _, tp := range s.partitionsInOrder() {
		w := Rewrite{TopicPartition: tp}
		p := s.partition(tp)
		for _, r := range p.runs.all(0) {
			if len(w.Old) == each {
				break
			}
			w.Old = append(w.Old, s.export(r))
		}
		named += len(w.Old) + 1
		if named > most {
			break
		}
		end := w.Old[len(w.Old)-1].End()
		w.New = []Run{{Base: w.Old[0].Base, Records: int32(end - w.Old[0].Base), Segment: segments[0].ID, Length: 100}}
		rewrites = append(rewrites, w)
	}
	return segments, rewrites
}

// BenchmarkSwap is of as many runs as one may have, in few partitions and in many.
func BenchmarkSwap(b *testing.B) {
	for _, bb := range []struct{ runs, partitions, each int }{
		{2_000_000, 1000, 130}, {800_000, MaxSwapRewrites, 15}, {4_000_000, 10, MaxSwapRuns/10 - 1},
	} {
		b.Run(fmt.Sprintf("%d partitions", bb.partitions), func(b *testing.B) {
			var size, rewritten int
			var decide, encode, fold time.Duration
			for b.Loop() {
				b.StopTimer()
				s := bigState(bb.runs, bb.partitions, 0)
				segments, rewrites := swapOf(s, bb.each, MaxSwapRuns)
				b.StartTimer()
				if err := checkSwap(segments, rewrites); err != nil {
					b.Fatal(err)
				}
				start := time.Now()
				c, err := s.decideSwap(segments, rewrites, time.Now().UnixMilli())
				if err != nil || len(c.swapped) != len(rewrites) {
					b.Fatal(len(c.swapped), err)
				}
				decide += time.Since(start)
				start = time.Now()
				rec := record{time: s.time, nonce: 7, change: c}
				payload := rec.encode()
				encode += time.Since(start)
				start = time.Now()
				s.apply(s.at.Next(payload).Position, rec, func(TopicPartition) {})
				fold += time.Since(start)
				size, rewritten = len(payload), len(rewrites)
			}
			per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
			b.ReportMetric(per(decide), "decide-us")
			b.ReportMetric(per(encode), "encode-us")
			b.ReportMetric(per(fold), "fold-us")
			b.ReportMetric(float64(size), "entry-bytes")
			b.ReportMetric(float64(rewritten), "rewrites")
		})
	}
}

// BenchmarkTopicDeleted drops a topic with all its runs, of which each segment has one in each partition.
func BenchmarkTopicDeleted(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := bigState(1_000_000, 1000, 0)
		b.StartTimer()
		s.apply(Position{Seq: 2}, record{time: s.time, change: deleteTopic{TopicID{1}}}, func(TopicPartition) {})
	}
}
