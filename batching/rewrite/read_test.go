package rewrite_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/rewrite/rewritetest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seeded is a source of chance whose seed a failed test tells.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func engine(t testing.TB, w *rewritetest.World, opts rewrite.Options) *rewrite.Engine {
	t.Helper()
	opts.Now = w.Now
	e, err := rewrite.New(w.Faults, w.Replica, opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// whole are parts of all runs of all partitions.
func whole(w *rewritetest.World) (parts []rewrite.Part) {
	for _, tp := range w.Partitions() {
		if runs := w.Runs(tp); len(runs) > 0 {
			parts = append(parts, rewrite.Part{TopicPartition: tp, Runs: runs})
		}
	}
	slices.SortFunc(parts, func(a, b rewrite.Part) int { return order(a.TopicPartition, b.TopicPartition) })
	return parts
}

func order(a, b metastore.TopicPartition) int {
	return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}

// readAll reads parts and returns the records of each, with the results.
func readAll(t *testing.T, e *rewrite.Engine, parts []rewrite.Part) ([][]rewritetest.Record, []error) {
	t.Helper()
	got := make([][]rewritetest.Record, len(parts))
	ended := make([]bool, len(parts))
	results, err := e.Read(t.Context(), parts, func(part int, b rewrite.Batch) error {
		records, err := rewritetest.Decode(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		run := parts[part].Runs[b.Run]
		if b.Header.BaseOffset < int64(run.Base) || b.Header.LastOffset() >= int64(run.Base)+int64(run.Records) || ended[part] {
			t.Fatalf("batch %+v of run %+v", b.Header, run)
		}
		got[part], ended[part] = append(got[part], records...), b.Last
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range parts {
		if ended[i] != (results[i] == nil) {
			t.Fatalf("part %d: %v, and it came to its last batch: %v", i, results[i], ended[i])
		}
	}
	return got, results
}

// TestReadsEverythingInOrder: all batches of all partitions, with their offsets, however small the chunks are.
func TestReadsEverythingInOrder(t *testing.T) {
	rng := seeded(t)
	for range 5 {
		w := rewritetest.New(t, rng.Uint64(), 2, 5)
		w.Grow(30)
		e := engine(t, w, rewrite.Options{ReadBytes: 1 << (10 + rng.IntN(12)), Reads: 1 + rng.IntN(4)})
		parts := whole(w)
		got, results := readAll(t, e, parts)
		for i, part := range parts {
			if results[i] != nil {
				t.Fatal(results[i])
			}
			w.Compare(part.TopicPartition, got[i])
		}
	}
}

// TestCorruptRunEndsItsPartAlone: whatever is wrong with a run, its part ends before it, with an error that names it, and
// the others are read to their ends.
func TestCorruptRunEndsItsPartAlone(t *testing.T) {
	rng := seeded(t)
	for name, spoil := range map[string]func(b []byte, run metastore.Run) []byte{
		"a bit of a record": func(b []byte, run metastore.Run) []byte {
			b[int(run.Position)+recordbatch.HeaderSize+3] ^= 4
			return b
		},
		"length": func(b []byte, run metastore.Run) []byte {
			binary.BigEndian.PutUint32(b[run.Position+8:], 1<<30)
			return b
		},
		"tiny length": func(b []byte, run metastore.Run) []byte {
			binary.BigEndian.PutUint32(b[run.Position+8:], 3)
			return b
		},
		"magic": func(b []byte, run metastore.Run) []byte {
			b[run.Position+16] = 1
			return b
		},
		"more offsets than the run has": func(b []byte, run metastore.Run) []byte {
			binary.BigEndian.PutUint32(b[run.Position+23:], uint32(run.Records))
			recordbatchtest.Seal(b[run.Position : run.Position+run.Length])
			return b
		},
		"more records than offsets": func(b []byte, run metastore.Run) []byte {
			binary.BigEndian.PutUint32(b[run.Position+57:], uint32(run.Records)+1)
			recordbatchtest.Seal(b[run.Position : run.Position+run.Length])
			return b
		},
		"fewer offsets than the run has": func(b []byte, run metastore.Run) []byte {
			binary.BigEndian.PutUint32(b[run.Position+23:], uint32(run.Records)-2)
			binary.BigEndian.PutUint32(b[run.Position+57:], uint32(run.Records)-1)
			recordbatchtest.Seal(b[run.Position : run.Position+run.Length])
			return b
		},
		"object cut short": func(b []byte, run metastore.Run) []byte { return b[:run.Position+run.Length/2] },
		"object cut away":  func(b []byte, run metastore.Run) []byte { return b[:run.Position] },
	} {
		t.Run(name, func(t *testing.T) {
			w := rewritetest.New(t, rng.Uint64(), 1, 4)
			w.Grow(10)
			var last metastore.SegmentID // has one batch of one partition, and nothing behind it
			tp := w.Partitions()[1]
			records := []recordbatch.Record{{Value: []byte("one")}, {Value: []byte("two")}, {Value: []byte("three")}}
			last = w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: recordbatchtest.Encode(records, recordbatchtest.Options{}.NotIdempotent())})
			w.Grow(10)
			parts := whole(w)
			at := slices.IndexFunc(parts, func(p rewrite.Part) bool { return p.TopicPartition == tp })
			bad := slices.IndexFunc(parts[at].Runs, func(r metastore.Run) bool { return r.Segment == last })
			w.Damage(last, func(b []byte) []byte { return spoil(b, parts[at].Runs[bad]) })

			got, results := readAll(t, engine(t, w, rewrite.Options{ReadBytes: 100_000}), parts)
			for i, part := range parts {
				if i == at {
					continue
				}
				if results[i] != nil {
					t.Fatalf("part %d: %v", i, results[i])
				}
				w.Compare(part.TopicPartition, got[i])
			}
			var corrupt *rewrite.CorruptError
			if !errors.Is(results[at], rewrite.ErrCorrupt) || !errors.As(results[at], &corrupt) || corrupt.Run != parts[at].Runs[bad] {
				t.Fatalf("got %v, want the error of run %d", results[at], bad)
			}
			if n := len(got[at]); n > 0 && got[at][n-1].Offset >= int64(corrupt.Run.Base) {
				t.Fatalf("records to offset %d, the corrupt run begins at %d", got[at][n-1].Offset, corrupt.Run.Base)
			}
		})
	}
}

// TestVisitEndsAPart: an error of the visit ends its part, and the others go on.
func TestVisitEndsAPart(t *testing.T) {
	rng := seeded(t)
	w := rewritetest.New(t, rng.Uint64(), 1, 6)
	w.Grow(30)
	parts := whole(w)
	batches := make([]int, len(parts))
	results, err := engine(t, w, rewrite.Options{ReadBytes: 50_000}).Read(t.Context(), parts, func(part int, _ rewrite.Batch) error {
		if batches[part]++; part%2 == 0 && batches[part] == 1+part {
			return io.ErrShortBuffer
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range parts {
		if want := i%2 == 0; want != (results[i] == io.ErrShortBuffer) || want && batches[i] != 1+i {
			t.Errorf("part %d: %v after %d batches", i, results[i], batches[i])
		}
	}
}

// TestMissingSegmentEndsTheRead: with an error that says which one is missing.
func TestMissingSegmentEndsTheRead(t *testing.T) {
	w := rewritetest.New(t, seeded(t).Uint64(), 1, 4)
	w.Grow(10)
	id := w.Write(rewritetest.Batch{TopicPartition: w.Partitions()[2], Bytes: w.RandomBatch()})
	if err := w.Objects.Delete(t.Context(), []string{segment.Key(id)}); err != nil {
		t.Fatal(err)
	}
	_, err := engine(t, w, rewrite.Options{}).Read(t.Context(), whole(w), func(int, rewrite.Batch) error { return nil })
	var missing *rewrite.SegmentError
	if !errors.Is(err, objstore.ErrNotFound) || !errors.As(err, &missing) || missing.Segment != id {
		t.Fatalf("got %v", err)
	}
}

// TestReadEndsWithItsContext: at once, and with nothing left behind, which TestMain sees to.
func TestReadEndsWithItsContext(t *testing.T) {
	w := rewritetest.New(t, seeded(t).Uint64(), 1, 4)
	w.Grow(20)
	ctx, cancel := context.WithCancel(t.Context())
	w.Faults.Before(func(ctx context.Context, _ fault.Call) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	_, err := engine(t, w, rewrite.Options{}).Read(ctx, whole(w), func(int, rewrite.Batch) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// TestInvalidJobs are refused before anything is read.
func TestInvalidJobs(t *testing.T) {
	w := rewritetest.New(t, seeded(t).Uint64(), 1, 4)
	w.Grow(20)
	w.Faults.Before(func(context.Context, fault.Call) error {
		t.Error("the store was asked")
		return nil
	})
	good := whole(w)
	for name, parts := range map[string][]rewrite.Part{
		"a partition without runs": {good[0], {TopicPartition: good[1].TopicPartition}},
		"a partition twice":        {good[0], good[0]},
		"out of order":             {good[1], good[0]},
		"runs out of order": {{TopicPartition: good[0].TopicPartition,
			Runs: []metastore.Run{good[0].Runs[1], good[0].Runs[0]}}},
	} {
		_, err := engine(t, w, rewrite.Options{}).Read(t.Context(), parts, func(int, rewrite.Batch) error { return nil })
		if !errors.Is(err, rewrite.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := engine(t, w, rewrite.Options{}).Do(t.Context(), parts); !errors.Is(err, rewrite.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
