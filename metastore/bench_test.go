package metastore

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

const (
	benchPartitions = 600
	benchProducers  = 64
	benchBatches    = 1600 // of a commit
)

// benchLog is a state with one topic, and what the producers send next.
type benchLog struct {
	s    *State
	sent [benchPartitions * benchProducers]int32 // sequences, by partition and producer
	next int
}

func newBenchLog() *benchLog {
	l := &benchLog{s: NewState()}
	l.fold(l.encode(createTopic{id: TopicID{1}, name: "t", partitions: benchPartitions, replicationFactor: 1}))
	return l
}

func (l *benchLog) encode(c change) Entry {
	return l.s.at.Next(record{time: time.Now().UnixMilli(), nonce: 7, change: c}.encode())
}

func (l *benchLog) fold(e Entry) {
	rec, err := decodeRecord(e.Payload)
	if err != nil {
		panic(err)
	}
	l.s.apply(e.Position, rec, func(TopicPartition) {})
}

// segments makes a request of benchBatches batches over all partitions, in four segments. Each producer writes to all
// partitions in turn.
func (l *benchLog) segments() []*SegmentCommit {
	segments := make([]*SegmentCommit, 4)
	for i := range segments {
		c := &SegmentCommit{ID: NewSegmentID(time.Now()), Size: 8 << 20}
		runs := make(map[int]int)
		for range benchBatches / len(segments) {
			p, id := l.next%benchPartitions, (l.next/benchPartitions+l.next)%benchProducers
			l.next++
			at, ok := runs[p]
			if !ok {
				at = len(c.Runs)
				runs[p] = at
				c.Runs = append(c.Runs, RunCommit{TopicPartition: TopicPartition{TopicID{1}, int32(p)}, Position: uint32(16 + 5000*at)})
			}
			seq := &l.sent[p*benchProducers+id]
			c.Runs[at].Batches = append(c.Runs[at].Batches, BatchCommit{
				Length: 5000, Records: 40, MaxTimestamp: 1 << 41, ProducerID: ProducerID(id), BaseSequence: *seq,
			})
			*seq += 40
		}
		segments[i] = c
	}
	return segments
}

// commit folds the next request and tells how many runs it has.
func (l *benchLog) commit() (e Entry, runs int) {
	segments := l.segments()
	for _, s := range segments {
		runs += len(s.Runs)
	}
	c, _ := l.s.decideCommit(segments, nil)
	e = l.encode(c)
	l.fold(e)
	return e, runs
}

// BenchmarkCommit is what a sequencer does for one commit, but for the append itself.
func BenchmarkCommit(b *testing.B) {
	l := newBenchLog()
	requests := make([][]*SegmentCommit, 1000)
	size, runs := 0, 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(requests) == 0 {
			b.StopTimer()
			l = newBenchLog() // so that the state is of one size, whatever b.N
			for j := range requests {
				requests[j] = l.segments()
			}
			b.StartTimer()
		}
		c, d := l.s.decideCommit(requests[i%len(requests)], nil)
		d.release()
		for j := range c.segments {
			runs += len(c.segments[j].runs)
		}
		rec := record{time: 1, nonce: 7, change: c}
		e := l.s.at.Next(rec.encode())
		l.s.apply(e.Position, rec, func(TopicPartition) {})
		size += len(e.Payload)
	}
	b.ReportMetric(float64(size)/float64(b.N), "entry-bytes")
	b.ReportMetric(float64(runs)/b.Elapsed().Seconds(), "runs/s")
}

func BenchmarkCommitParts(b *testing.B) {
	l := newBenchLog()
	for range 10 {
		l.commit()
	}
	request := l.segments()
	c, _ := l.s.decideCommit(request, nil)
	rec := record{time: 1, nonce: 7, change: c}
	payload := rec.encode()
	b.Run("decide", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, d := l.s.decideCommit(request, nil)
			d.release()
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rec.encode()
		}
	})
	b.Run("checksum", func(b *testing.B) {
		b.SetBytes(int64(len(payload)))
		for b.Loop() {
			Chain(1, payload)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decodeRecord(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFollow is what every other broker does with the entry of such a commit.
func BenchmarkFollow(b *testing.B) {
	var entries [][]byte
	l := newBenchLog()
	runs := 0
	for range 500 {
		e, n := l.commit()
		runs += n
		entries = append(entries, e.Payload)
	}
	var slowest time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(entries) == 0 {
			b.StopTimer()
			l = newBenchLog()
			b.StartTimer()
		}
		e := l.s.at.Next(entries[i%len(entries)])
		rec, err := decodeRecord(e.Payload)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		l.s.apply(e.Position, rec, func(TopicPartition) {})
		slowest = max(slowest, time.Since(start))
	}
	perOp := float64(runs) / float64(len(entries))
	b.ReportMetric(perOp*float64(b.N)/b.Elapsed().Seconds(), "runs/s")
	b.ReportMetric(float64(slowest.Microseconds()), "slowest-fold-us")
}

// bigState has so many runs, and every producer in every partition.
func bigState(runs, partitions, producers int) *State {
	s := NewState()
	rec := record{time: time.Now().UnixMilli(), change: createTopic{id: TopicID{1}, name: "t", partitions: int32(partitions), replicationFactor: 1}}
	s.apply(Position{Seq: 1}, rec, func(TopicPartition) {})
	t := s.topics[TopicID{1}]
	for i := range runs / partitions {
		seg := s.addSegment(segment{id: NewSegmentID(time.Now()), size: 8 << 20, before: Position{Seq: Seq(i), Checksum: 7}}, &s.recent)
		for p := range t.partitions {
			s.addRun(&t.partitions[p], run{
				base: Offset(i * 40), segment: seg, maxTimestamp: rec.time, position: uint32(p * 5000), length: 5000, records: 40})
			t.partitions[p].high = Offset(i*40 + 40)
		}
	}
	for id := range producers { // one after the other, so that those of a partition do not lie together
		for p := range t.partitions {
			n := s.producers.add(&t.partitions[p], t.number, int32(p), ProducerID(id))
			for i := range int32(rememberedBatches) {
				s.producers.accepted(n, &committedBatch{baseSequence: i * 40, records: 40, offset: Offset(i * 40)}, rec.time)
			}
		}
	}
	return s
}

// manyProducers is a commit of 1,600 batches in as many partitions, of different producers with each i.
func manyProducers(s *State, i int) commitSegments {
	c := commitSegments{segments: []committedSegment{{id: NewSegmentID(time.Now()), runs: make([]committedRun, benchBatches)}}}
	for j := range c.segments[0].runs {
		at := (i*benchBatches + j) % 10_000
		c.segments[0].runs[j] = committedRun{TopicPartition: TopicPartition{TopicID{1}, int32(at)}, batches: []committedBatch{
			{length: 100, records: 1, producerID: ProducerID((i*7 + j) % 100), offset: s.topics[TopicID{1}].partitions[at].high},
		}}
	}
	return c
}

// BenchmarkFoldWhileShared folds an entry that changes 1,600 producers, each the first of its chunk to change since a
// snapshot was begun. It is the worst entry that there is: the following ones find more and more copied.
func BenchmarkFoldWhileShared(b *testing.B) {
	for _, shared := range []bool{false, true} {
		b.Run(fmt.Sprintf("shared=%v", shared), func(b *testing.B) {
			s := bigState(1_000_000, 10_000, 100)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				rec := record{time: time.Now().UnixMilli(), change: manyProducers(s, i)}
				if shared {
					s.clone()
				}
				b.StartTimer()
				s.apply(Position{Seq: s.at.Seq + 1}, rec, func(TopicPartition) {})
				if shared {
					s.thaw()
				}
			}
		})
	}
}

// sink is a log that keeps nothing.
type sink struct{ Log }

func (sink) SaveSnapshot(context.Context, Snapshot) error { return nil }
func (sink) Trim(context.Context, Seq, int) (int, error)  { return 0, nil }

// BenchmarkFollowWhileSnapshotting follows a log while one snapshot is taken after the other, of a state of 10,000
// partitions with 100 producers each. An operation is the folding of an entry of 1,600 batches, each of another
// partition.
func BenchmarkFollowWhileSnapshotting(b *testing.B) {
	for _, snapshots := range []bool{false, true} {
		b.Run(fmt.Sprintf("snapshots=%v", snapshots), func(b *testing.B) {
			r := NewReplica(sink{}, ReplicaOptions{})
			r.state = bigState(1_000_000, 10_000, 100)
			ctx, cancel := context.WithCancel(b.Context())
			taken := make(chan int)
			go func() {
				n := 0
				for ; snapshots && ctx.Err() == nil; n++ {
					if err := r.SnapshotNow(ctx); err != nil {
						b.Error(err)
					}
				}
				taken <- n
			}()
			var times []time.Duration
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				rec := record{time: time.Now().UnixMilli(), change: manyProducers(r.state, i)}
				e := r.state.at.Next(rec.encode())
				b.StartTimer()
				start := time.Now()
				if err := r.foldEntry(e); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(start))
			}
			cancel()
			n := <-taken
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(times[len(times)-1].Microseconds()), "max-us")
			b.ReportMetric(float64(n), "snapshots")
		})
	}
}

// BenchmarkExpire is the folding of one step of expiry in a state of a million producers.
func BenchmarkExpire(b *testing.B) {
	s := bigState(10_000, 10_000, 100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		if s.producers.count < 2*expireStep {
			s = bigState(10_000, 10_000, 100)
		}
		for old, n := 0, uint32(i*7919)%s.producers.used; old < expireStep; n = (n + 197) % s.producers.used {
			if known := s.producers.at(n); known.id != NoProducerID && known.lastSeen > 1 {
				was := known.lastSeen
				known.lastSeen = 1
				s.producers.seen(n, was)
				old++
			}
		}
		b.StartTimer()
		s.apply(Position{Seq: s.at.Seq + 1}, record{change: expireProducers{before: 2}}, func(TopicPartition) {})
	}
}

// BenchmarkIdle tells what the state keeps in memory for partitions and producers that do nothing.
func BenchmarkIdle(b *testing.B) {
	const partitions = 10_000
	size := func(producers int) float64 {
		heap := func() float64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return float64(m.HeapAlloc)
		}
		before := heap()
		s := bigState(0, partitions, producers)
		after := heap()
		runtime.KeepAlive(s)
		return after - before
	}
	for _, per := range []int{0, 1, 5, 100} {
		b.Run(fmt.Sprintf("%d producers for each partition", per), func(b *testing.B) {
			for b.Loop() {
				idle := size(0)
				b.ReportMetric(idle/partitions, "B/partition")
				if per > 0 {
					b.ReportMetric((size(per)-idle)/float64(partitions*per), "B/producer")
				}
			}
		})
	}
}

func BenchmarkSnapshot(b *testing.B) {
	for _, size := range []struct{ runs, partitions, producers int }{{1_000_000, 600, 0}, {1_000_000, 600, 64}, {1_000_000, 10_000, 100}, {1_000_000, 100_000, 10}} {
		s := bigState(size.runs, size.partitions, size.producers)
		state := s.clone().encode()
		name := fmt.Sprintf("%d runs, %d partitions, %d producers each", size.runs, size.partitions, size.producers)
		b.Run("clone/"+name, func(b *testing.B) { // with the state locked
			b.ReportAllocs()
			for b.Loop() {
				s.clone()
				s.thaw()
			}
		})
		b.Run("encode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			frozen := s.clone()
			for b.Loop() {
				frozen.encode()
			}
			b.ReportMetric(float64(len(state)), "snapshot-bytes")
		})
		b.Run("decode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeState(Snapshot{State: state}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("look for silent producers/"+name, func(b *testing.B) { // with the state locked
			for b.Loop() {
				if s.producers.leastSeen() < 1 {
					b.Fatal("silent producer")
				}
			}
		})
	}
}

// TestRunsCostNoAllocationEach keeps what the benchmarks tell. The state's own growth is amortised.
func TestRunsCostNoAllocationEach(t *testing.T) {
	l := newBenchLog()
	const entries, runs = 100, 1600
	request := l.segments()
	c, d := l.s.decideCommit(request, nil)
	d.release()
	rec := record{nonce: 7, change: c}
	payload := rec.encode()
	for name, f := range map[string]func(){
		"decide": func() { _, d := l.s.decideCommit(request, nil); d.release() },
		"encode": func() { rec.encode() },
		"decode": func() { _, _ = decodeRecord(payload) },
	} {
		if n := testing.AllocsPerRun(20, f); n > runs/50 {
			t.Errorf("%s %d runs: %.0f allocations", name, runs, n)
		}
	}
	var decoded []record
	for range entries {
		e, _ := l.commit()
		rec, err := decodeRecord(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		decoded = append(decoded, rec)
	}
	l = newBenchLog()
	i := 0
	n := testing.AllocsPerRun(entries-1, func() { // which calls it once more
		l.s.apply(Position{Seq: l.s.at.Seq + 1}, decoded[i], func(TopicPartition) {})
		i++
	})
	if n > runs/8 {
		t.Errorf("apply %d runs: %.0f allocations", runs, n)
	}
}
