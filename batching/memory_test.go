package batching_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching"
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
