package batching_test

import (
	"bytes"
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

func TestSegmentsOfAProducerAreCommittedInTheOrderOfTheirSeals(t *testing.T) {
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
			source := batching.NewSource()
			for range requests {
				var batches []batching.Batch
				for p := range int32(partitions) {
					batches = append(batches, r.batch(p, 1+caller%3, 100))
				}
				p, err := r.w.Append(source, batches)
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

// slowAtFirst is a store whose first PUT takes a second.
func slowAtFirst(_ context.Context, n int, next func() error) error {
	if n == 1 {
		time.Sleep(time.Second)
	}
	return next()
}

func TestSlowPutOfOneProducerDoesNotDelayAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{SegmentBytes: 500})
		r.store.put = slowAtFirst
		slow, quick := batching.NewSource(), batching.NewSource()
		begin := time.Now()
		first := r.appendFrom(slow, r.batch(0, 1, 600))
		synctest.Wait()
		r.wantOffsets(r.appendFrom(quick, r.batch(0, 1, 600)), 0) // the same partition, another connection
		r.wantOffsets(r.appendFrom(slow, r.batch(1, 1, 600)), 0)  // the same connection, another partition
		took(t, begin, 0)
		behind := r.appendFrom(slow, r.batch(0, 1, 600), r.batch(2, 1, 100))
		further := r.appendFrom(quick, r.batch(2, 1, 600)) // shares nothing with what it waits for
		r.wantOffsets(further, 0)
		took(t, begin, 0)
		r.wantOffsets(first, 1)
		took(t, begin, time.Second)
		r.wantOffsets(behind, 2, 1)
		took(t, begin, time.Second)
	})
}

func TestSegmentsBehindOneAnotherWaitForAllBeforeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{SegmentBytes: 500})
		r.store.put = slowAtFirst
		a, b := batching.NewSource(), batching.NewSource()
		begin := time.Now()
		r.appendFrom(a, r.batch(0, 1, 600))
		synctest.Wait()
		r.appendFrom(a, r.batch(0, 1, 300), r.batch(1, 1, 300)) // behind the first
		last := r.appendFrom(a, r.batch(1, 1, 600))             // behind the second, and so the first
		free := r.appendFrom(b, r.batch(1, 1, 600))
		r.wantOffsets(free, 0)
		took(t, begin, 0)
		r.wantOffsets(last, 2)
		took(t, begin, time.Second)
	})
}

// Whatever the order of uploads, the log of a partition has the batches of a connection, and those of a producer, in the
// order in which they were appended.
func TestLogOrderIsAppendOrder(t *testing.T) {
	overtaken := 0
	for range 10 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %#x", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { overtaken += logOrder(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
	if overtaken == 0 {
		t.Error("no segment overtook another")
	}
}

func logOrder(t *testing.T, rng *rand.Rand) (overtaken int) {
	r := start(t, batching.Options{SegmentBytes: 1 + rng.Int64N(3000), MinLinger: -1, MaxLinger: 3 * time.Millisecond, Uploads: 1 + rng.IntN(12)})
	var mu sync.Mutex
	r.store.put = func(_ context.Context, _ int, next func() error) error {
		mu.Lock()
		wait := time.Duration(rng.IntN(20)) * time.Millisecond
		if rng.IntN(10) == 0 {
			wait *= 20
		}
		mu.Unlock()
		time.Sleep(wait)
		return next()
	}
	const producers, partitions = 4, 3
	sources := []*batching.Source{nil, batching.NewSource(), batching.NewSource(), batching.NewSource()}
	var sequences [producers][partitions]int32
	type line struct{ kind, number, partition int }
	sent := make(map[line][]int64) // identities
	var pending []*batching.Pending
	for n := range 300 {
		mu.Lock()
		from, producer := rng.IntN(len(sources)), rng.IntN(producers+2)
		var batches []batching.Batch
		for range 1 + rng.IntN(3) {
			partition, identity := rng.IntN(partitions), int64(n*10+len(batches))
			o := recordbatchtest.Options{}.NotIdempotent()
			if producer < producers {
				o = recordbatchtest.Options{ProducerID: int64(producer), BaseSequence: sequences[producer][partition]}
				sequences[producer][partition]++
				at := line{1, producer, partition}
				sent[at] = append(sent[at], identity)
			}
			at := line{0, from, partition}
			sent[at] = append(sent[at], identity)
			b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: identity, Value: make([]byte, rng.IntN(300))}}, o)
			h, err := recordbatch.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			batches = append(batches, batching.Batch{TopicPartition: r.tp(int32(partition)), Bytes: b, Header: h})
		}
		pause := time.Duration(rng.IntN(3)) * time.Millisecond
		mu.Unlock()
		pending = append(pending, r.appendFrom(sources[from], batches...))
		time.Sleep(pause)
	}
	for _, p := range pending {
		r.offsets(p)
	}
	logs := make([]map[int64][]metastore.Offset, partitions)
	for partition := range logs {
		logs[partition] = logOf(r, int32(partition))
	}
	for at, identities := range sent {
		last := metastore.Offset(-1)
		for _, identity := range identities {
			offsets := logs[at.partition][identity]
			if len(offsets) != 1 || offsets[0] <= last {
				t.Fatalf("batch %d of %v is at %d, its forerunner at %d", identity, at, offsets, last)
			}
			last = offsets[0]
		}
	}
	var highest metastore.SegmentID
	for _, group := range r.log.calls() {
		for _, id := range group {
			if bytes.Compare(id[:], highest[:]) < 0 {
				overtaken++
			} else {
				highest = id
			}
		}
	}
	return overtaken
}
