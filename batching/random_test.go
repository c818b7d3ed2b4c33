package batching_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// TestRandomFaults writes through stores that fail before and after the fact, hang and are down for minutes, and then
// compares what was answered with what the log and the bucket hold: what was accepted is there, once, at its offset and
// in its object; what was refused is not.
func TestRandomFaults(t *testing.T) {
	for range 20 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %#x", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomFaults(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

// faults decides, one call at a time, what goes wrong.
type faults struct {
	mu        sync.Mutex
	rng       *rand.Rand
	rate      float64       // of calls
	longest   time.Duration // outage
	downUntil time.Time
}

func (f *faults) interfere(ctx context.Context, next func() error) error {
	f.mu.Lock()
	roll, kind, wait := f.rng.Float64(), f.rng.IntN(8), time.Duration(f.rng.IntN(300))*time.Millisecond
	down := time.Now().Before(f.downUntil)
	if roll < f.rate && kind == 0 {
		f.downUntil = time.Now().Add(time.Duration(f.rng.Int64N(int64(f.longest))))
	}
	f.mu.Unlock()
	time.Sleep(wait)
	switch {
	case down:
		return errBroken
	case roll >= f.rate:
		return next()
	case kind < 3:
		return errBroken
	case kind < 6:
		if err := next(); err != nil {
			return err
		}
		return errBroken
	default:
		<-ctx.Done()
		return ctx.Err()
	}
}

// sent is a batch that was given to the Writer, and what became of it. Its timestamp is its identity. Producers of even
// number are not idempotent, so that the log does not hide what is written twice; those of odd number are, and send nothing
// again.
type sent struct {
	partition int32
	identity  int64
	result    metastore.BatchResult
	err       error
}

const randomPartitions = 4

func randomFaults(t *testing.T, rng *rand.Rand) {
	r := start(t, batching.Options{SegmentBytes: 2000, Uploads: 1 + rng.IntN(4), MinLinger: -1, MaxLinger: 50 * time.Millisecond})
	f := &faults{rng: rng, rate: rng.Float64() * 0.6, longest: 400 * time.Second}
	r.store.put = func(ctx context.Context, _ int, next func() error) error { return f.interfere(ctx, next) }
	r.log.commit = func(ctx context.Context, _ int, next commitFunc) (results []metastore.SegmentResult, err error) {
		err = f.interfere(ctx, func() error {
			results, err = next()
			return err
		})
		return results, err
	}
	var mu sync.Mutex
	byProducer := make(map[int64][]*sent)
	var group sync.WaitGroup
	for producer := range int64(4) {
		group.Go(func() {
			all := produceUnderFaults(r, producer)
			mu.Lock()
			byProducer[producer] = all
			mu.Unlock()
		})
	}
	group.Wait()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	compareWithLog(r, byProducer)
}

// produceUnderFaults sends batches of one producer to all partitions, several at a time.
func produceUnderFaults(r *rig, producer int64) (all []*sent) {
	source := batching.NewSource()
	var sequences [randomPartitions]int32
	for round := range 30 {
		var window []*sent
		var pending []*batching.Pending
		for range 5 {
			s := &sent{partition: int32((len(all) + len(window)) % randomPartitions), identity: producer<<32 | int64(len(all)+len(window))}
			o := recordbatchtest.Options{}.NotIdempotent()
			if producer%2 == 1 {
				o = recordbatchtest.Options{ProducerID: producer, BaseSequence: sequences[s.partition]}
				sequences[s.partition]++
			}
			b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: s.identity, Value: make([]byte, 150)}}, o)
			h, err := recordbatch.ParseHeader(b)
			if err != nil {
				r.t.Error(err)
				return all
			}
			p, err := r.w.Append(source, []batching.Batch{{TopicPartition: r.tp(s.partition), Bytes: b, Header: h}})
			if err != nil {
				r.t.Errorf("Append: %v", err)
				return all
			}
			window, pending = append(window, s), append(pending, p)
		}
		for i, p := range pending {
			results, err := p.Wait(context.Background())
			if window[i].err = err; err == nil {
				window[i].result = results[0]
			}
		}
		all = append(all, window...)
		time.Sleep(time.Duration(round) * time.Millisecond)
	}
	return all
}

// logOf reads what the log and the bucket hold of a partition: the offset of each batch, by its identity.
func logOf(r *rig, partition int32) map[int64][]metastore.Offset {
	r.t.Helper()
	offsets := make(map[int64][]metastore.Offset)
	for _, run := range r.runs(partition) {
		b, err := r.store.Get(context.Background(), segment.Key(run.Segment), int64(run.Position), int64(run.Length))
		if err != nil {
			r.t.Fatalf("the log names a run that the bucket does not have: %v", err)
		}
		offset := run.Base
		for batch, err := range recordbatch.Split(b) {
			if err != nil {
				r.t.Fatal(err)
			}
			h, _ := recordbatch.ParseHeader(batch)
			offsets[h.MaxTimestamp] = append(offsets[h.MaxTimestamp], offset)
			offset += metastore.Offset(h.LastOffsetDelta) + 1
		}
	}
	return offsets
}

func compareWithLog(r *rig, byProducer map[int64][]*sent) {
	r.t.Helper()
	var logs [randomPartitions]map[int64][]metastore.Offset
	for partition := range logs {
		logs[partition] = logOf(r, int32(partition))
	}
	for producer, all := range byProducer {
		last := [randomPartitions]metastore.Offset{-1, -1, -1, -1}
		var lost [randomPartitions]bool
		for i, s := range all {
			offsets := logs[s.partition][s.identity]
			what := fmt.Sprintf("batch %d of producer %d", i, producer)
			switch {
			case s.err == nil && s.result.Verdict == metastore.Accepted:
				if len(offsets) != 1 || offsets[0] != s.result.Offset {
					r.t.Errorf("%s: accepted at %d, in the log at %d", what, s.result.Offset, offsets)
				}
			case errors.Is(s.err, batching.ErrUnknownOutcome):
				if len(offsets) > 1 {
					r.t.Errorf("%s: in the log at %d", what, offsets)
				}
			case len(offsets) != 0:
				r.t.Errorf("%s: refused (%v, verdict %d), in the log at %d", what, s.err, s.result.Verdict, offsets)
			}
			if producer%2 == 1 && lost[s.partition] && len(offsets) != 0 {
				r.t.Errorf("%s: in the log at %d, although one before it was lost", what, offsets)
			}
			if s.err != nil && !errors.Is(s.err, batching.ErrUnknownOutcome) {
				lost[s.partition] = true
			}
			for _, offset := range offsets {
				if offset <= last[s.partition] {
					r.t.Errorf("%s: at %d, an earlier one of it at %d", what, offset, last[s.partition])
				}
				last[s.partition] = offset
			}
		}
	}
}
