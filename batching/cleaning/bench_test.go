package cleaning_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime/metrics"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/file"
)

// BenchmarkRound compacts records of which every tenth key is another, from a store on disk, and tells the most memory that
// the heap had. RUNNEL_CLEANING_RECORDS says how many there are; with 10,000,000 they have 1,000,000 keys.
func BenchmarkRound(b *testing.B) {
	records := 200_000
	if text := os.Getenv("RUNNEL_CLEANING_RECORDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		records = n
	}
	for _, codec := range []recordbatch.Codec{recordbatch.None, recordbatch.LZ4, recordbatch.Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := newBenchLog(b, records, codec)
				b.StartTimer()
				peak := watchHeap()
				_, err := w.cleaner.Do(b.Context())
				most := peak()
				b.StopTimer()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(most)/(1<<20), "MiB-heap")
				b.ReportMetric(float64(w.bytes)/(1<<20), "MiB-log")
				w.check(b, records)
				b.StartTimer()
			}
			b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// benchLog is one partition.
type benchLog struct {
	replica *metastore.Replica
	engine  *rewrite.Engine
	cleaner *cleaning.Cleaner
	tp      metastore.TopicPartition
	bytes   int64
}

// newBenchLog has batches of 1,000 records, in segments of about 8 MiB.
func newBenchLog(b *testing.B, records int, codec recordbatch.Codec) *benchLog {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	ctx := b.Context()
	store, err := file.Open(ctx, b.TempDir(), file.Options{})
	must(err)
	meta := metamemory.New(metamemory.Options{})
	b.Cleanup(func() { must(meta.Close()) })
	w := &benchLog{replica: metastore.NewReplica(meta, metastore.ReplicaOptions{})}
	must(w.replica.Open(ctx))
	topic, err := w.replica.CreateTopic(ctx, metastore.NewTopic{Name: "table", Partitions: 1, ReplicationFactor: 1})
	must(err)
	w.tp = metastore.TopicPartition{Topic: topic.ID}
	keys := max(records/10, 1)
	var part segment.Part
	size := 0
	commit := func() {
		id := metastore.NewSegmentID(time.Now())
		part.Topic = topic.ID
		object, index, err := segment.Assemble(id, id.Time(), []segment.Part{part})
		must(err)
		must(store.Put(ctx, segment.Key(id), object))
		c := metastore.RunCommit{TopicPartition: w.tp, Position: index.Runs[0].Position}
		for _, x := range part.Batches {
			c.Batches = append(c.Batches, metastore.BatchCommit{Length: uint32(len(x.Bytes)), Records: x.Records, MaxTimestamp: x.MaxTimestamp, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		}
		_, err = w.replica.Commit(ctx, []metastore.SegmentCommit{{ID: id, Size: index.Size, Runs: []metastore.RunCommit{c}}})
		must(err)
		w.bytes += index.Size
		part, size = segment.Part{}, 0
	}
	batch := make([]recordbatch.Record, 0, 1000)
	for i := range records {
		n := uint64(i)*0x9e3779b97f4a7c15 ^ 0x5555
		batch = append(batch, recordbatch.Record{Timestamp: start + int64(i), Key: fmt.Appendf(nil, "customer-%010d", (i*7919)%keys),
			Value: fmt.Appendf(nil, `{"id":%d,"state":"%016x","total":%d}`, i, n, n%100_000)})
		if len(batch) < cap(batch) && i < records-1 {
			continue
		}
		x := recordbatchtest.Encode(batch, recordbatchtest.Options{Codec: codec}.NotIdempotent())
		part.Batches = append(part.Batches, segment.Batch{Bytes: x, Records: int32(len(batch)), MaxTimestamp: start + int64(i), ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		batch = batch[:0]
		if size += len(x); size >= 8<<20 || i == records-1 {
			commit()
		}
	}
	w.engine, err = rewrite.New(store, w.replica, rewrite.Options{})
	must(err)
	policy := cleaning.Policy{Compact: true, MaxCompactionLagMs: math.MaxInt64, SegmentMs: 1}
	w.cleaner, err = cleaning.New(w.replica, w.engine, func(*metastore.Topic) cleaning.Policy { return policy }, cleaning.Options{SmallBytes: 1})
	must(err)
	return w
}

// check counts what is left.
func (w *benchLog) check(b *testing.B, records int) {
	b.Helper()
	_, runs, err := w.replica.Runs(w.tp, 0, math.MaxInt)
	if err != nil {
		b.Fatal(err)
	}
	left := 0
	results, err := w.engine.Read(b.Context(), []rewrite.Part{{TopicPartition: w.tp, Runs: runs}}, func(_ int, x rewrite.Batch) error {
		left += int(x.Header.Records)
		return nil
	})
	if err != nil || results[0] != nil || left != max(records/10, 1) {
		b.Fatalf("%d records are left: %v, %v", left, results, err)
	}
}

// watchHeap looks at the heap until the function that it returns is called, which returns the most that it had.
func watchHeap() func() uint64 {
	ctx, cancel := context.WithCancel(context.Background())
	var most uint64
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() uint64 {
		cancel()
		done.Wait()
		return most
	}
}
