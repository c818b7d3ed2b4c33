package batching_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

func TestSegmentsAreCommittedInTheOrderOfTheirSeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{SegmentBytes: 500})
		r.store.put = func(_ context.Context, n int, next func() error) error {
			time.Sleep(time.Duration(10-n) * time.Second) // the first takes longest
			return next()
		}
		var pending []*batching.Pending
		for i := range 5 {
			pending = append(pending, r.append(r.encode(0, 2, 600, recordbatchtest.Options{ProducerID: 9, BaseSequence: int32(2 * i)})))
			synctest.Wait()
		}
		for i, p := range pending {
			r.wantOffsets(p, metastore.Offset(2*i))
		}
		calls := r.log.calls()
		if len(calls) != 1 || len(calls[0]) != 5 {
			t.Fatalf("commits: %v, want one of all five", calls)
		}
	})
}

// Offsets are dense, and each caller's grow, whatever the interleaving. Run with the race detector.
func TestConcurrentAppenders(t *testing.T) {
	const callers, requests, partitions = 8, 50, 3
	r := start(t, batching.Options{SegmentBytes: 4000, MinLinger: -1, MaxLinger: time.Millisecond, Uploads: 4})
	var mu sync.Mutex
	taken := make([]map[metastore.Offset]bool, partitions)
	for p := range taken {
		taken[p] = make(map[metastore.Offset]bool)
	}
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			var pending []*batching.Pending
			for range requests {
				var batches []batching.Batch
				for p := range int32(partitions) {
					batches = append(batches, r.batch(p, 1+caller%3, 100))
				}
				p, err := r.w.Append(nil, batches)
				if err != nil {
					t.Error(err)
					return
				}
				pending = append(pending, p)
			}
			last := [partitions]metastore.Offset{-1, -1, -1}
			for _, p := range pending {
				results, err := p.Wait(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				for part, res := range results {
					if res.Offset <= last[part] {
						t.Errorf("partition %d: offset %d after %d", part, res.Offset, last[part])
					}
					last[part] = res.Offset
					mu.Lock()
					for i := range metastore.Offset(1 + caller%3) {
						if taken[part][res.Offset+i] {
							t.Errorf("partition %d: offset %d given twice", part, res.Offset+i)
						}
						taken[part][res.Offset+i] = true
					}
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	for part := range taken {
		w, _ := r.replica.Watermarks(r.tp(int32(part)))
		if int(w.High) != len(taken[part]) {
			t.Errorf("partition %d: high watermark %d after %d records", part, w.High, len(taken[part]))
		}
	}
}

func TestVerdictsComeBackInTheOrderOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{})
		pid := recordbatchtest.Options{ProducerID: 5}
		r.wantOffsets(r.append(r.encode(2, 4, 100, pid)), 0)
		gap := recordbatchtest.Options{ProducerID: 5, BaseSequence: 100}
		unknown := r.batch(0, 1, 100)
		unknown.Partition = 1000
		results, err := r.append(unknown, r.encode(2, 4, 100, pid), r.batch(1, 1, 100), r.encode(2, 1, 100, gap)).Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []metastore.Verdict{metastore.UnknownPartition, metastore.Duplicate, metastore.Accepted, metastore.OutOfOrderSequence}
		for i, res := range results {
			if res.Verdict != want[i] {
				t.Errorf("batch %d: verdict %d, want %d", i, res.Verdict, want[i])
			}
		}
		if results[1].Offset != 0 || results[3].Offset != metastore.NoOffset {
			t.Errorf("offsets of duplicate and gap: %d, %d", results[1].Offset, results[3].Offset)
		}
	})
}
