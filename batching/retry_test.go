package batching_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

// Idempotent producers with five requests in flight, that send again what failed and what they had no patience for, over
// other connections too, get every batch into the log once and in order, whatever the stores do.
func TestProducersThatRetryUnderFaults(t *testing.T) {
	for range 20 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %#x", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { retryUnderFaults(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

const retriedBatches = 60

func retryUnderFaults(t *testing.T, rng *rand.Rand) {
	r := start(t, batching.Options{
		SegmentBytes: 1 + rng.Int64N(2000), Uploads: 1 + rng.IntN(6), MinLinger: -1, MaxLinger: 20 * time.Millisecond, MaxBuffered: 3000,
		UploadTimeout: 5 * time.Second, CommitTimeout: 15 * time.Second, AttemptTimeout: 4 * time.Second,
	})
	seed := rng.Uint64()
	f := &faults{rng: rng, rate: rng.Float64() * 0.5, longest: 30 * time.Second}
	r.store.put = func(ctx context.Context, _ int, next func() error) error { return f.interfere(ctx, next) }
	r.log.commit = func(ctx context.Context, _ int, next commitFunc) (results []metastore.SegmentResult, err error) {
		err = f.interfere(ctx, func() error {
			results, err = next()
			return err
		})
		return results, err
	}
	var producers sync.WaitGroup
	for producer := range int64(4) {
		own := rand.New(rand.NewPCG(seed, uint64(producer)))
		producers.Go(func() { produceWithRetries(r, producer, own) })
	}
	producers.Wait()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	offsets := logOf(r, 0)
	for producer := range int64(4) {
		last := metastore.Offset(-1)
		for n := range int64(retriedBatches) {
			at := offsets[producer<<32|n]
			if len(at) != 1 || at[0] <= last {
				t.Errorf("batch %d of producer %d is in the log at %d, the one before at %d", n, producer, at, last)
				continue
			}
			last = at[0]
		}
	}
}

// produceWithRetries sends batches of one producer to one partition until all are acknowledged.
func produceWithRetries(r *rig, producer int64, rng *rand.Rand) {
	source, began := batching.NewSource(), time.Now()
	for acknowledged := 0; acknowledged < retriedBatches; {
		if time.Since(began) > 6*time.Hour {
			r.t.Errorf("producer %d does not get batch %d into the log", producer, acknowledged)
			return
		}
		inFlight := min(5, retriedBatches-acknowledged)
		pending := make([]*batching.Pending, inFlight)
		for i := range pending {
			n := acknowledged + i
			b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: producer<<32 | int64(n), Value: make([]byte, 150)}},
				recordbatchtest.Options{ProducerID: producer, BaseSequence: int32(n)})
			h, err := recordbatch.ParseHeader(b)
			if err != nil {
				r.t.Error(err)
				return
			}
			pending[i], _ = r.w.Append(source, []batching.Batch{{TopicPartition: r.tp(0), Bytes: b, Header: h}}) // overloaded: sent again
			time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second+time.Duration(rng.IntN(20))*time.Second)
		failed := false
		for _, p := range pending {
			if p == nil {
				failed = true
				continue
			}
			results, err := p.Wait(ctx)
			switch {
			case err != nil, results[0].Verdict != metastore.Accepted && results[0].Verdict != metastore.Duplicate:
				failed = true
			case !failed:
				acknowledged++
			}
		}
		cancel()
		if failed && rng.IntN(2) == 0 {
			source = batching.NewSource()
		}
	}
}
