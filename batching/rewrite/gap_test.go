package rewrite_test

import (
	"math/rand/v2"
	"testing"

	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/rewrite/rewritetest"
)

// TestRunsWithGapsAtTheirEndsAreRead: a run takes all offsets that the runs before it took, its object has those of the batches
// that are left. Reads begin anywhere in a run that is long enough for the sparse index to be asked.
func TestRunsWithGapsAtTheirEndsAreRead(t *testing.T) {
	for name, gone := range map[string]func(b rewrite.Batch) bool{
		"before the first batch": func(b rewrite.Batch) bool { return b.Run == 0 },
		"after the last batch":   func(b rewrite.Batch) bool { return b.Last },
		"at both ends":           func(b rewrite.Batch) bool { return b.Run == 0 || b.Last },
	} {
		t.Run(name, func(t *testing.T) {
			w := rewritetest.New(t, seeded(t).Uint64(), 1, 1)
			tp := w.Partitions()[0]
			w.SizeOf = func(rng *rand.Rand) int { return 64<<10 + rng.IntN(1000) }
			for range 30 {
				w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()})
			}
			lost := map[int64]bool{}
			parts := whole(w)
			parts[0].Clean = func(b rewrite.Batch) ([]byte, error) {
				if !gone(b) {
					return b.Bytes, nil
				}
				for o := b.Header.BaseOffset; o <= b.Header.LastOffset(); o++ {
					lost[o] = true
				}
				return nil, nil
			}
			report, err := engine(t, w, rewrite.Options{}).Do(t.Context(), parts)
			if err != nil || report.Results[0] != nil {
				t.Fatal(err, report.Results)
			}
			w.Forget(tp, func(r rewritetest.Record) bool { return lost[r.Offset] })
			runs := w.Runs(tp)
			if marks, _ := w.Replica.Watermarks(tp); len(runs) != 1 || runs[0].Base != 0 || runs[0].End() != marks.High {
				t.Fatalf("%+v", runs)
			}
			w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()}) // so that there is an end to get to
			for range 20 {
				w.CheckFetches()
			}
		})
	}
}
