package batching_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/memory"
)

// acceptAll is a log without memory, so that the benchmark shows the Writer.
type acceptAll struct{}

func (acceptAll) Commit(_ context.Context, segments []metastore.SegmentCommit) ([]metastore.SegmentResult, error) {
	results := make([]metastore.SegmentResult, len(segments))
	for i := range segments {
		results[i].Runs = make([][]metastore.BatchResult, len(segments[i].Runs))
		for j, run := range segments[i].Runs {
			results[i].Runs[j] = make([]metastore.BatchResult, len(run.Batches))
		}
	}
	return results, nil
}

// discard takes PUTs at once.
type discard struct{ *memory.Store }

func (discard) Put(context.Context, string, [][]byte) error { return nil }

// BenchmarkAppend is the whole path of a request of one 16 KiB batch, without network and stores, per request.
func BenchmarkAppend(b *testing.B) {
	w := batching.New(discard{memory.New()}, acceptAll{}, batching.Options{MaxBuffered: 1 << 50, RecentBytes: -1})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	payload := make([]byte, 16<<10)
	topic := metastore.TopicID(uuid.New())
	header := recordbatch.Header{LastOffsetDelta: 99, Records: 100, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	batches := make([]batching.Batch, 1)
	sources := make([]*batching.Source, 16)
	for i := range sources {
		sources[i] = batching.NewSource()
	}
	for i := 0; b.Loop(); i++ {
		batches[0] = batching.Batch{
			TopicPartition: metastore.TopicPartition{Topic: topic, Partition: int32(i % 64)},
			Bytes:          payload, Header: header,
		}
		p, err := w.Append(sources[i%16], batches)
		if err != nil {
			b.Fatal(err)
		}
		if i%4096 == 4095 {
			if _, err := p.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
