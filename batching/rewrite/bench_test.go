package rewrite_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/rewrite/rewritetest"
	"github.com/runnel-io/runnel/objstore/fault"
)

// uniform writes segments in which each partition has one batch of about so many bytes, and returns their bytes.
func uniform(w *rewritetest.World, segments, batchBytes int) (bytes int64) {
	b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: w.Now().UnixMilli(), Value: make([]byte, batchBytes)}}, recordbatchtest.Options{}.NotIdempotent())
	for range segments {
		var batches []rewritetest.Batch
		for _, tp := range w.Partitions() {
			batches = append(batches, rewritetest.Batch{TopicPartition: tp, Bytes: b})
			bytes += int64(len(b))
		}
		w.Write(batches...)
	}
	return bytes
}

// TestGetsOfALift: 64 segments of 128 KiB in memory of 1 MiB are as 64 segments of 8 MiB in the default 64 MiB. Each is read
// in nine or ten parts, which is some 1,200 GETs for a GiB; and the more memory, the fewer.
func TestGetsOfALift(t *testing.T) {
	for memory, most := range map[int64]int64{1 << 20: 64 * 10, 4 << 20: 64 * 3, 16 << 20: 64} {
		w := rewritetest.New(t, 1, 1, 32)
		bytes := uniform(w, 64, 4<<10)
		var gets, got atomic.Int64
		w.Faults.Before(func(_ context.Context, call fault.Call) error {
			if call.Op == fault.Get {
				gets.Add(1)
				got.Add(call.Length)
			}
			return nil
		})
		report, err := engine(t, w, rewrite.Options{ReadBytes: memory}).Do(t.Context(), whole(w))
		if err != nil {
			t.Fatal(err)
		}
		if gets.Load() > most || got.Load() != bytes || report.Gets != int(gets.Load()) || report.BytesRead != bytes {
			t.Errorf("memory of %d: %d GETs of %d bytes, want at most %d of %d; the report says %+v", memory, gets.Load(), got.Load(), most, bytes, report)
		}
	}
}

// BenchmarkDo rewrites 64 MiB of 16 segments, in batches of several sizes. What it makes is refused, so that each time has the
// same to do; nothing but the swap itself is less work for that.
func BenchmarkDo(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := rewritetest.New(b, 1, 1, int32(4<<20/size))
			bytes := uniform(w, 16, size)
			parts := whole(w)
			e := engine(b, w, rewrite.Options{})
			if _, err := e.Do(b.Context(), parts); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				report, err := e.Do(b.Context(), parts)
				if err != nil || report.BytesWritten < bytes {
					b.Fatal(report.BytesWritten, err)
				}
				b.StopTimer()
				var made []string
				for o, err := range w.Objects.List(b.Context(), "t1/", "") {
					if err != nil {
						b.Fatal(err)
					}
					made = append(made, o.Key)
				}
				if err := w.Objects.Delete(b.Context(), made); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
