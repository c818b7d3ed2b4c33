package batching_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/objstore/memory"
)

// A request may hold 100 MiB of refused batches beside a small good one.
func TestRecentDoesNotHoldTheFrameThatABatchCameIn(t *testing.T) {
	r := start(t, batching.Options{MinLinger: -1, MaxLinger: -1})
	b := r.batch(0, 2, 300)
	sent := b.Bytes
	freed := make(chan struct{})
	p := func() *batching.Pending {
		frame := make([]byte, 1<<20)
		runtime.AddCleanup(&frame[0], func(freed chan struct{}) { close(freed) }, freed)
		b.Bytes = frame[100:][:copy(frame[100:], sent)]
		return r.append(b)
	}()
	b.Bytes = nil
	r.wantOffsets(p, 0)
	run := r.runs(0)[0]
	got, ok := r.w.Recent().Run(run.Segment, run.Position, run.Length)
	if !ok || !bytes.Equal(got[0], sent) {
		t.Fatal("Recent does not hold the batch")
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		select {
		case <-freed:
			return
		case <-time.After(time.Millisecond):
			if time.Now().After(deadline) {
				t.Fatal("the frame is still held")
			}
		}
	}
}

// Frames are used again as soon as a request is appended.
func TestBytesAreTheCallersAgainWhenAppendReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{SegmentBytes: 1 << 20})
		r.store.put = func(_ context.Context, _ int, next func() error) error {
			time.Sleep(10 * time.Millisecond) // so that segments wait in every state
			return next()
		}
		seed := rand.Uint64()
		t.Logf("seed %#x", seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		frame := make([]byte, 2<<20)
		sent := make(map[int32][][]byte)
		var pending []*batching.Pending
		for range 200 {
			var batches []batching.Batch
			used := 0
			for range 1 + rng.IntN(20) {
				size := 100 + rng.IntN(1000)
				if rng.IntN(20) == 0 {
					size = 100_000 + rng.IntN(400_000)
				}
				b := r.batch(rng.Int32N(5), 1, size)
				if used+len(b.Bytes) > len(frame) {
					break
				}
				for i := recordbatch.HeaderSize; i < len(b.Bytes); i++ {
					b.Bytes[i] = byte(rng.Uint32())
				}
				sent[b.Partition] = append(sent[b.Partition], b.Bytes)
				at := used
				used += copy(frame[at:], b.Bytes)
				b.Bytes = frame[at:used]
				batches = append(batches, b)
			}
			pending = append(pending, r.append(batches...))
			for i := range frame[:used] {
				frame[i] = 0xDB
			}
			time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
		}
		for _, p := range pending {
			r.offsets(p)
		}
		for partition, want := range sent {
			var stored, recent [][]byte
			for _, run := range r.runs(partition) {
				b, err := r.store.Get(t.Context(), segment.Key(run.Segment), int64(run.Position), int64(run.Length))
				if err != nil {
					t.Fatal(err)
				}
				stored = append(stored, b)
				parts, ok := r.w.Recent().Run(run.Segment, run.Position, run.Length)
				if !ok {
					t.Fatal("Recent forgot a segment")
				}
				recent = append(recent, parts...)
			}
			if !bytes.Equal(bytes.Join(stored, nil), bytes.Join(want, nil)) {
				t.Errorf("partition %d: the bucket holds other bytes than were sent", partition)
			}
			if !slices.EqualFunc(recent, want, bytes.Equal) {
				t.Errorf("partition %d: Recent holds other bytes than were sent", partition)
			}
		}
	})
}

// What Recent holds is bounded by the memory that it takes, not by the bytes that are of use.
func TestRecentCountsTheMemoryOfItsSegments(t *testing.T) {
	r := start(t, batching.Options{RecentBytes: 64 << 20, MinLinger: -1, MaxLinger: -1})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 2000 {
		r.offsets(r.append(r.batch(int32(i%7), 1, 9000)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held, stored := int64(after.HeapAlloc)-int64(before.HeapAlloc)-r.store.Store.(*memory.Store).Bytes(), r.w.RecentCost()
	if held > stored*5/4+1<<20 {
		t.Errorf("Recent holds about %d bytes and counts %d", held, stored)
	}
}

// Connections come and go by the thousands.
func TestSourceIsHeldOnlyWhileARequestOfItWaits(t *testing.T) {
	r := start(t, batching.Options{MinLinger: -1, MaxLinger: -1})
	freed := make(chan struct{})
	p := func() *batching.Pending {
		source := batching.NewSource()
		runtime.AddCleanup(source, func(freed chan struct{}) { close(freed) }, freed)
		return r.appendFrom(source, r.encode(0, 1, 300, recordbatchtest.Options{ProducerID: 7}))
	}()
	r.wantOffsets(p, 0)
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		select {
		case <-freed:
			runtime.KeepAlive(p)
			return
		case <-time.After(time.Millisecond):
			if time.Now().After(deadline) {
				t.Fatal("the source is still held")
			}
		}
	}
}
