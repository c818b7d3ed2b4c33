package rewrite_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/rewrite/rewritetest"
	"github.com/runnel-io/runnel/metastore"
)

// without returns a batch that has those of the records of b which are to be kept, at their offsets.
func without(t *testing.T, b rewrite.Batch, keep func(recordbatch.Record) bool) []byte {
	t.Helper()
	var kept []recordbatch.Record
	for r, err := range recordbatch.Records(b.Bytes, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		if keep(r) {
			r.Offset -= b.Header.BaseOffset
			kept = append(kept, r)
		}
	}
	made := recordbatchtest.EncodeSparse(kept, b.Header.LastOffsetDelta+1, recordbatchtest.Options{
		Codec: b.Header.Codec(), ProducerID: b.Header.ProducerID, ProducerEpoch: b.Header.ProducerEpoch,
		BaseSequence: b.Header.BaseSequence, Transactional: b.Header.Transactional()})
	recordbatch.SetBaseOffset(made, b.Header.BaseOffset, 0)
	return made
}

// TestCleanDropsWhatItWants: batches that are dropped, and records that are taken out of others, are gone; the rest is there
// with its offsets, once and again; the runs cover what they covered before, and the log knows how far it was cleaned.
func TestCleanDropsWhatItWants(t *testing.T) {
	rng := seeded(t)
	for range 4 {
		w := rewritetest.New(t, rng.Uint64(), 1, 5)
		w.Grow(20)
		w.EndAll()
		gone := map[metastore.TopicPartition]map[int64]bool{} // offsets
		for round := range 3 {
			parts := whole(w)
			for i := range parts {
				part := &parts[i]
				part.CleanedTo = part.Runs[len(part.Runs)-1].End()
				if gone[part.TopicPartition] == nil {
					gone[part.TopicPartition] = map[int64]bool{}
				}
				dropped := gone[part.TopicPartition]
				part.Clean = func(b rewrite.Batch) ([]byte, error) {
					switch n := rng.IntN(4); {
					case b.Header.Control() || n == 0:
						return b.Bytes, nil
					case n == 1 && !b.Last:
						for o := b.Header.BaseOffset; o <= b.Header.LastOffset(); o++ {
							dropped[o] = true
						}
						return nil, nil
					}
					return without(t, b, func(r recordbatch.Record) bool {
						if rng.IntN(3) == 0 {
							dropped[r.Offset] = true
						}
						return !dropped[r.Offset]
					}), nil
				}
			}
			report, err := engine(t, w, randomOptions(rng)).Do(t.Context(), parts)
			if err != nil {
				t.Fatal(err)
			}
			for i, part := range parts {
				if report.Results[i] != nil {
					t.Fatalf("round %d: %v", round, report.Results[i])
				}
				checkReplaced(t, w, part)
				w.Forget(part.TopicPartition, func(r rewritetest.Record) bool { return gone[part.TopicPartition][r.Offset] })
			}
			checkAll(t, w)
			w.Replica.VisitPartitions(func(v *metastore.PartitionView) bool {
				if v.CleanedTo != v.High {
					t.Errorf("%s is cleaned to %d of %d", v.TopicPartition, v.CleanedTo, v.High)
				}
				return true
			})
		}
	}
}

// TestCleanMayDropEverything: then no run is left.
func TestCleanMayDropEverything(t *testing.T) {
	w := rewritetest.New(t, seeded(t).Uint64(), 1, 3)
	w.Grow(10)
	parts := whole(w)
	parts[1].Clean = func(rewrite.Batch) ([]byte, error) { return nil, nil }
	report, err := engine(t, w, rewrite.Options{}).Do(t.Context(), parts)
	if err != nil || report.Results[1] != nil {
		t.Fatal(err, report.Results)
	}
	if runs := w.Runs(parts[1].TopicPartition); len(runs) != 0 {
		t.Fatalf("%+v", runs)
	}
	w.Forget(parts[1].TopicPartition, func(rewritetest.Record) bool { return true })
	w.Check()
}

// TestCleanThatFails: its error is the part's result, whatever objects already have of it, and so it is when it makes what
// is no batch of those offsets. The others are replaced.
func TestCleanThatFails(t *testing.T) {
	rng := seeded(t)
	other := recordbatchtest.Encode(make([]recordbatch.Record, 9), recordbatchtest.Options{}.NotIdempotent())
	for name, tc := range map[string]struct {
		clean func(b rewrite.Batch) ([]byte, error)
		want  error
	}{
		"fails":          {func(rewrite.Batch) ([]byte, error) { return nil, rewritetest.ErrInjected }, rewritetest.ErrInjected},
		"no batch":       {func(rewrite.Batch) ([]byte, error) { return []byte("no batch"), nil }, recordbatch.ErrCorrupt},
		"offset is lost": {func(b rewrite.Batch) ([]byte, error) { return moved(b, -1), nil }, nil},
		"too far":        {func(b rewrite.Batch) ([]byte, error) { return moved(b, 1), nil }, nil},
		"more bytes":     {func(b rewrite.Batch) ([]byte, error) { return append(bytes.Clone(b.Bytes), 0), nil }, nil},
		"wrong CRC":      {func(b rewrite.Batch) ([]byte, error) { b.Bytes[40] ^= 1; return b.Bytes, nil }, nil},
		"more records":   {func(b rewrite.Batch) ([]byte, error) { return bytes.Clone(other), nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := rewritetest.New(t, rng.Uint64(), 1, 4)
			w.Grow(15)
			parts := whole(w)
			at, batches := rng.IntN(4), 0
			parts[at].Clean = func(b rewrite.Batch) ([]byte, error) {
				if batches++; batches < 3 {
					return b.Bytes, nil
				}
				return tc.clean(b)
			}
			report, err := engine(t, w, rewrite.Options{ObjectBytes: 2000}).Do(t.Context(), parts)
			if err != nil {
				t.Fatal(err)
			}
			for i, part := range parts {
				if i == at {
					if result := report.Results[i]; result == nil || tc.want != nil && !errors.Is(result, tc.want) || errors.Is(result, rewrite.ErrRefused) {
						t.Fatalf("result %v", result)
					}
					if !slices.EqualFunc(w.Runs(part.TopicPartition), part.Runs, sameRun) {
						t.Fatal("its runs have changed")
					}
					continue
				}
				if report.Results[i] != nil {
					t.Fatal(report.Results[i])
				}
				checkReplaced(t, w, part)
			}
			checkAll(t, w)
		})
	}
}

// moved is a batch with other offsets.
func moved(b rewrite.Batch, by int64) []byte {
	made := bytes.Clone(b.Bytes)
	recordbatch.SetBaseOffset(made, b.Header.BaseOffset+by, 0)
	return made
}
