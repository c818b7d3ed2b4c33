package rewrite_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/rewrite/rewritetest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	"github.com/runnel-io/runnel/objstore/fault"
)

// some are stretches of the runs of some partitions.
func some(w *rewritetest.World) (parts []rewrite.Part) {
	for _, part := range whole(w) {
		if n := len(part.Runs); w.Rand.IntN(4) > 0 {
			from := w.Rand.IntN(n)
			part.Runs = part.Runs[from : from+1+w.Rand.IntN(n-from)]
			parts = append(parts, part)
		}
	}
	return parts
}

func randomOptions(rng *rand.Rand) rewrite.Options {
	return rewrite.Options{
		ReadBytes: 1 << (10 + rng.IntN(12)), Reads: 1 + rng.IntN(4),
		ObjectBytes: 1 << (8 + rng.IntN(10)), SwapRuns: 1 << rng.IntN(12),
	}
}

// marks are the watermarks of all partitions.
func marks(w *rewritetest.World) map[metastore.TopicPartition]metastore.Watermarks {
	all := map[metastore.TopicPartition]metastore.Watermarks{}
	for _, tp := range w.Partitions() {
		if m, ok := w.Replica.Watermarks(tp); ok {
			all[tp] = m
		}
	}
	return all
}

// checkAll checks that everything reads back, also on a replica that starts now, and that no run names garbage.
func checkAll(t *testing.T, w *rewritetest.World) {
	t.Helper()
	w.Check()
	w.CheckFetches()
	named := map[metastore.SegmentID]bool{}
	second := w.Open()
	for _, tp := range w.Partitions() {
		runs := w.Runs(tp)
		for i, run := range runs {
			named[run.Segment] = true
			if i > 0 && run.Base < runs[i-1].End() {
				t.Fatalf("%s: run at %d, the one before ends at %d", tp, run.Base, runs[i-1].End())
			}
		}
		if m, ok := second.Watermarks(tp); ok {
			if _, again, err := second.Runs(tp, m.LogStart, math.MaxInt); err != nil || !slices.EqualFunc(runs, again, sameRun) {
				t.Fatalf("%s: another replica has other runs: %v", tp, err)
			}
		}
	}
	for _, g := range w.Replica.Garbage(math.MaxInt) {
		if named[g.ID] {
			t.Fatalf("segment %s is garbage and named", g.ID)
		}
	}
}

func sameRun(a, b metastore.Run) bool {
	if a.Marker != nil && b.Marker != nil && *a.Marker == *b.Marker {
		a.Marker, b.Marker = nil, nil
	}
	return a == b
}

// covered is the offsets that runs cover, as their borders.
func covered(runs []metastore.Run) (borders []metastore.Offset) {
	for _, run := range runs {
		if n := len(borders); n > 0 && borders[n-1] == run.Base {
			borders[n-1] = run.End()
		} else {
			borders = append(borders, run.Base, run.End())
		}
	}
	return borders
}

// TestRewritesKeepEverything: whatever is rewritten how often, in objects of whatever size, every record reads back the
// same, watermarks stay, and all old runs are replaced by fewer that cover what they covered.
func TestRewritesKeepEverything(t *testing.T) {
	rng := seeded(t)
	for range 6 {
		w := rewritetest.New(t, rng.Uint64(), 2, 5)
		for range 6 {
			w.Grow(1 + rng.IntN(8))
			parts, before := some(w), marks(w)
			report, err := engine(t, w, randomOptions(rng)).Do(t.Context(), parts)
			if err != nil {
				t.Fatal(err)
			}
			for i, part := range parts {
				if report.Results[i] != nil {
					t.Fatalf("%s: %v", part.TopicPartition, report.Results[i])
				}
				checkReplaced(t, w, part)
			}
			after := marks(w)
			for tp, m := range before {
				if after[tp] != m {
					t.Fatalf("%s: %+v became %+v", tp, m, after[tp])
				}
			}
			checkAll(t, w)
		}
	}
}

// checkReplaced checks that a part is in tier 1, and that its runs cover all that the old ones did: a gap between old runs
// may be covered, too.
func checkReplaced(t *testing.T, w *rewritetest.World, part rewrite.Part) {
	t.Helper()
	from, to := part.Runs[0].Base, part.Runs[len(part.Runs)-1].End()
	var now []metastore.Run
	for _, run := range w.Runs(part.TopicPartition) {
		if run.Base >= from && run.End() <= to {
			if run.Marker != nil || run.Segment.Tier() != 1 {
				t.Fatalf("%s: run %+v was not replaced", part.TopicPartition, run)
			}
			now = append(now, run)
		}
	}
	got := covered(now)
	for old := covered(part.Runs); len(old) > 0; old = old[2:] {
		in := to-from > math.MaxInt32 // no run can have so many: where there are no records, there may be none
		for i := 0; i < len(got); i += 2 {
			in = in || got[i] <= old[0] && old[1] <= got[i+1]
		}
		if !in {
			t.Fatalf("%s: offsets %v are not all covered by %v", part.TopicPartition, old[:2], got)
		}
	}
}

// TestObjectsAreOfTheSizeAskedFor: all but the last of a job are about as large as asked for, and none is larger.
func TestObjectsAreOfTheSizeAskedFor(t *testing.T) {
	w := rewritetest.New(t, seeded(t).Uint64(), 2, 5)
	w.SizeOf = func(rng *rand.Rand) int { return rng.IntN(3000) }
	for range 40 {
		var batches []rewritetest.Batch
		for range 10 {
			batches = append(batches, rewritetest.Batch{TopicPartition: w.Partitions()[w.Rand.IntN(10)], Bytes: w.RandomBatch()})
		}
		w.Write(batches...)
	}
	const target = 50_000
	report, err := engine(t, w, rewrite.Options{ObjectBytes: target}).Do(t.Context(), whole(w))
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	w.Replica.VisitSegments(func(u metastore.SegmentUse) bool {
		if u.ID.Tier() == 1 {
			sizes = append(sizes, u.Size)
		}
		return true
	})
	slices.Sort(sizes)
	if len(sizes) < 4 || len(sizes) != report.Objects || sizes[len(sizes)-1] > target || sizes[1] < target/2 {
		t.Fatalf("objects of %v bytes, %d reported", sizes, report.Objects)
	}
	var sum int64
	for _, size := range sizes {
		sum += size
	}
	if sum != report.BytesWritten {
		t.Fatalf("%d bytes, %d reported", sum, report.BytesWritten)
	}
}

// TestCorruptRunIsLeftAlone: its part stays as it was, the others are replaced.
func TestCorruptRunIsLeftAlone(t *testing.T) {
	rng := seeded(t)
	for range 10 {
		w := rewritetest.New(t, rng.Uint64(), 1, 5)
		w.Grow(8)
		tp := w.Partitions()[rng.IntN(5)]
		bad := w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()})
		w.Grow(8)
		var good []byte
		w.Damage(bad, func(b []byte) []byte {
			good = slices.Clone(b)
			b[segment.HeaderSize+50] ^= 1
			return b
		})
		parts := whole(w)
		before := w.Runs(tp)
		report, err := engine(t, w, randomOptions(rng)).Do(t.Context(), parts)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range parts {
			if part.TopicPartition == tp {
				if !errors.Is(report.Results[i], rewrite.ErrCorrupt) || !slices.EqualFunc(before, w.Runs(tp), sameRun) {
					t.Fatalf("%v, and the runs are %+v", report.Results[i], w.Runs(tp))
				}
			} else if report.Results[i] != nil {
				t.Fatal(report.Results[i])
			} else {
				checkReplaced(t, w, part)
			}
		}
		w.Damage(bad, func([]byte) []byte { return good })
		checkAll(t, w)
	}
}

// TestCrashAnywhere: wherever a job ends, before or after what it just did took effect, nothing is named that is not there,
// and every record reads back; the same job done anew then finds what is left of it to do.
func TestCrashAnywhere(t *testing.T) {
	rng := seeded(t)
	for step, done := 1, false; !done; step++ {
		for _, after := range []bool{false, true} {
			w := rewritetest.New(t, rng.Uint64(), 1, 4)
			w.Grow(6)
			parts := whole(w)
			ctx, cancel := context.WithCancel(t.Context())
			var steps atomic.Int64
			crash := func() error {
				if steps.Add(1) == int64(step) {
					cancel()
				}
				return ctx.Err()
			}
			if after {
				w.Faults.After(func(_ context.Context, _ fault.Call, err error) error { return errors.Join(err, crash()) })
				w.Meta.After(func(_ context.Context, _ metafault.Call, err error) error { return errors.Join(err, crash()) })
			} else {
				w.Faults.Before(func(context.Context, fault.Call) error { return crash() })
				w.Meta.Before(func(context.Context, metafault.Call) error { return crash() })
			}
			_, err := engine(t, w, rewrite.Options{Reads: 1, ReadBytes: 20_000, ObjectBytes: 3000, SwapRuns: 10}).Do(ctx, parts)
			done = err == nil
			if done == (ctx.Err() != nil) {
				t.Fatalf("step %d: %v", step, err)
			}
			cancel()
			w.Faults.Before(nil)
			w.Faults.After(nil)
			w.Meta.Before(nil)
			w.Meta.After(nil)
			if err := w.Replica.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			checkAll(t, w)
			report, err := engine(t, w, rewrite.Options{}).Do(t.Context(), whole(w))
			if err != nil || slices.ContainsFunc(report.Results, func(err error) bool { return err != nil }) {
				t.Fatalf("after a crash at step %d: %v, %v", step, report.Results, err)
			}
			checkAll(t, w)
		}
	}
}

// TestLostAnswersAreNoHarm: answers of PUTs and GETs are lost now and then, some having taken effect; the job goes on.
func TestLostAnswersAreNoHarm(t *testing.T) {
	rng := seeded(t)
	synctest.Test(t, func(t *testing.T) {
		w := rewritetest.New(t, rng.Uint64(), 1, 5)
		w.Grow(20)
		var calls atomic.Int64
		w.Faults.After(func(_ context.Context, call fault.Call, err error) error {
			if calls.Add(1)%3 == 0 && err == nil {
				return rewritetest.ErrInjected
			}
			return err
		})
		parts := whole(w)
		report, err := engine(t, w, rewrite.Options{Reads: 1, ReadBytes: 100_000, ObjectBytes: 5000}).Do(t.Context(), parts)
		if err != nil {
			t.Fatal(err)
		}
		if n := calls.Load(); n < 9 {
			t.Fatalf("%d calls", n)
		}
		for i, part := range parts {
			if report.Results[i] != nil {
				t.Fatal(report.Results[i])
			}
			checkReplaced(t, w, part)
		}
		checkAll(t, w)
	})
}

// TestGapsThatNoRunCanHave: between runs lie more offsets than one run can take.
func TestGapsThatNoRunCanHave(t *testing.T) {
	w := rewritetest.New(t, seeded(t).Uint64(), 1, 1)
	tp := w.Partitions()[0]
	for i := range metastore.Offset(4) {
		w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch(), At: 1 + i*3*math.MaxInt32})
		w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()})
	}
	parts := whole(w)
	report, err := engine(t, w, rewrite.Options{}).Do(t.Context(), parts)
	if err != nil || report.Results[0] != nil {
		t.Fatal(err, report.Results)
	}
	if report.Objects != 4 {
		t.Errorf("%d objects", report.Objects)
	}
	if got, want := len(w.Runs(tp)), 4; got != want {
		t.Errorf("%d runs, want %d", got, want)
	}
	checkReplaced(t, w, parts[0])
	checkAll(t, w)
}

// TestSlowJobsSwapInTime: a job that takes hours swaps what it has before that is too old.
func TestSlowJobsSwapInTime(t *testing.T) {
	w := rewritetest.New(t, seeded(t).Uint64(), 2, 20)
	w.Grow(20)
	began := w.Now()
	parts := whole(w)
	for i := range parts {
		parts[i].Clean = func(b rewrite.Batch) ([]byte, error) {
			w.Advance(time.Minute / 4)
			return b.Bytes, nil
		}
	}
	report, err := engine(t, w, rewrite.Options{}).Do(t.Context(), parts)
	if err != nil {
		t.Fatal(err)
	}
	if took := w.Now().Sub(began); took < metastore.MaxRewriteAge {
		t.Fatalf("it took %v", took)
	}
	for i, part := range parts {
		if report.Results[i] != nil {
			t.Fatal(report.Results[i])
		}
		checkReplaced(t, w, part)
	}
	checkAll(t, w)
}

// TestPaceIsAsked: before every GET and PUT, with its bytes; an error of it ends the job.
func TestPaceIsAsked(t *testing.T) {
	w := rewritetest.New(t, seeded(t).Uint64(), 1, 5)
	w.Grow(20)
	var asked atomic.Int64
	opts := rewrite.Options{ObjectBytes: 5000, ReadBytes: 100_000, Pace: func(_ context.Context, bytes int64) error {
		asked.Add(bytes)
		return nil
	}}
	report, err := engine(t, w, opts).Do(t.Context(), whole(w))
	if err != nil {
		t.Fatal(err)
	}
	if asked.Load() != report.BytesRead+report.BytesWritten {
		t.Errorf("asked for %d bytes, and moved %d and %d", asked.Load(), report.BytesRead, report.BytesWritten)
	}
	opts.Pace = func(context.Context, int64) error { return rewritetest.ErrInjected }
	if _, err := engine(t, w, opts).Do(t.Context(), whole(w)); !errors.Is(err, rewritetest.ErrInjected) {
		t.Fatalf("got %v", err)
	}
}

// TestMorePartitionsThanASwapNames: they take several entries.
func TestMorePartitionsThanASwapNames(t *testing.T) {
	w := rewritetest.New(t, 1, 1, metastore.MaxSwapRewrites+100)
	uniform(w, 2, 10)
	parts := whole(w)
	report, err := engine(t, w, rewrite.Options{}).Do(t.Context(), parts)
	if err != nil || slices.ContainsFunc(report.Results, func(err error) bool { return err != nil }) {
		t.Fatal(err)
	}
	if len(parts) <= metastore.MaxSwapRewrites || report.Objects != 2 {
		t.Fatalf("%d parts in %d objects", len(parts), report.Objects)
	}
	for _, part := range []rewrite.Part{parts[0], parts[metastore.MaxSwapRewrites-1], parts[metastore.MaxSwapRewrites], parts[len(parts)-1]} {
		checkReplaced(t, w, part)
	}
}

// TestOffsetsThatTierOneHasNoRoomFor: they are at the very end of what an offset can be. The part stays as it is.
func TestOffsetsThatTierOneHasNoRoomFor(t *testing.T) {
	w := rewritetest.New(t, seeded(t).Uint64(), 1, 2)
	w.Grow(10)
	tp := w.Partitions()[1]
	w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch(), At: math.MaxInt64 - 1<<30})
	parts := whole(w)
	report, err := engine(t, w, rewrite.Options{}).Do(t.Context(), parts)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range parts {
		var corrupt *rewrite.CorruptError
		if errors.As(report.Results[i], &corrupt) != (part.TopicPartition == tp) || corrupt != nil && corrupt.Run.Base != math.MaxInt64-1<<30-1 {
			t.Fatalf("%s: %v", part.TopicPartition, report.Results[i])
		}
	}
	checkAll(t, w)
}
