package compaction_test

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

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/batching/compaction"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/rewrite/rewritetest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func compactor(t testing.TB, w *rewritetest.World, engineOpts rewrite.Options, opts compaction.Options) *compaction.Compactor {
	t.Helper()
	engineOpts.Now, opts.Now = w.Now, w.Now
	e, err := rewrite.New(w.Faults, w.Replica, engineOpts)
	if err != nil {
		t.Fatal(err)
	}
	c, err := compaction.New(w.Replica, e, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// small are options for histories of some ten kilobytes.
func small(rng *rand.Rand) (rewrite.Options, compaction.Options) {
	return rewrite.Options{ReadBytes: 1 << (12 + rng.IntN(8)), ObjectBytes: 16_000, SwapRuns: 1 + rng.IntN(500)},
		compaction.Options{DueBytes: 10_000, JobBytes: 100_000, JobSegments: 1 + rng.IntN(50), MergeRuns: 2 + rng.IntN(4), SmallRun: 4000, MergeBytes: 10_000}
}

// all does jobs until there are none.
func all(t *testing.T, c *compaction.Compactor) (jobs int) {
	t.Helper()
	for more := true; more; jobs++ {
		var err error
		if more, err = c.Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if jobs > 1000 {
			t.Fatal("jobs come to no end")
		}
	}
	return jobs
}

// sound checks that everything reads back, and that garbage is what no run names.
func sound(t *testing.T, w *rewritetest.World) {
	t.Helper()
	w.Check()
	w.CheckFetches()
	garbage := map[metastore.SegmentID]bool{}
	for _, g := range w.Replica.Garbage(math.MaxInt) {
		if garbage[g.ID] {
			t.Fatalf("segment %s is garbage twice", g.ID)
		}
		garbage[g.ID] = true
	}
	for _, tp := range w.Partitions() {
		for _, run := range w.Runs(tp) {
			if run.Marker == nil && garbage[run.Segment] {
				t.Fatalf("segment %s is garbage, and %s has run %+v in it", run.Segment, tp, run)
			}
		}
	}
}

// collect deletes garbage, as if no read was under way.
func collect(t *testing.T, w *rewritetest.World) {
	t.Helper()
	for _, g := range w.Replica.Garbage(math.MaxInt) {
		if err := w.Objects.Delete(t.Context(), []string{segment.Key(g.ID)}); err != nil {
			t.Fatal(err)
		}
		if err := w.Replica.Collected(t.Context(), g.Number); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompactsWhatIsWritten: beside writes, deletions of records and of topics, and with objects deleted as soon as nothing
// names them, everything that is not deleted reads back at any time. In the end all of it is in tier 1, in few runs.
func TestCompactsWhatIsWritten(t *testing.T) {
	rng := seeded(t)
	for range 2 {
		w := rewritetest.New(t, rng.Uint64(), 3, 4)
		engineOpts, opts := small(rng)
		c := compactor(t, w, engineOpts, opts)
		for range 25 {
			w.Grow(1 + rng.IntN(12))
			w.Advance(time.Duration(rng.IntN(300)) * time.Second)
			if rng.IntN(5) == 0 {
				w.DeleteRecords()
			}
			if rng.IntN(30) == 0 {
				w.DeleteTopic()
			}
			all(t, c)
			sound(t, w)
			collect(t, w)
		}
		w.EndAll()
		w.Grow(1)
		w.EndAll()
		for range 10 { // merges wait for company
			w.Advance(15 * time.Minute)
			all(t, c)
		}
		sound(t, w)
		collect(t, w)
		w.CheckObjects()
		for _, tp := range w.Partitions() {
			runs := w.Runs(tp)
			var bytes int64
			for _, run := range runs {
				if bytes += int64(run.Length); run.Marker == nil && run.Segment.Tier() == 0 {
					t.Fatalf("%s: run %+v is left in tier 0", tp, run)
				}
			}
			if n := int64(len(runs)); n > 25+2*bytes/4000 {
				t.Errorf("%s: %d bytes in %d runs", tp, bytes, n)
			}
		}
	}
}

// TestWhatChangesDuringAJob: at each step of a job something else happens to the log; what the job read of a partition is then
// replaced or left, and never wrong.
func TestWhatChangesDuringAJob(t *testing.T) {
	rng := seeded(t)
	refused := 0
	for range 20 {
		w := rewritetest.New(t, rng.Uint64(), 3, 3)
		w.Grow(15)
		w.Advance(15 * time.Minute)
		registry := prometheus.NewRegistry()
		engineOpts, opts := small(rng)
		engineOpts.Reads, engineOpts.Registerer = 1, registry
		c := compactor(t, w, engineOpts, opts)
		var steps atomic.Int64
		step := 1 + rng.Int64N(12)
		w.Faults.Before(func(context.Context, fault.Call) error {
			if steps.Add(1) != step {
				return nil
			}
			switch rng.IntN(4) {
			case 0:
				w.DeleteRecords()
			case 1:
				w.DeleteTopic()
			case 2:
				w.Grow(3)
			case 3: // another broker believes that it compacts, too
				w.Faults.Before(nil)
				if _, err := compactor(t, w, rewrite.Options{}, compaction.Options{}).Do(context.Background()); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		if _, err := c.Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.Faults.Before(nil)
		sound(t, w)
		refused += counted(t, registry, "runnel_rewrite_parts_total", "outcome", "refused")
		all(t, c)
		sound(t, w)
	}
	if refused == 0 {
		t.Error("nothing was ever refused")
	}
}

// counted reads a counter with a label.
func counted(t *testing.T, registry *prometheus.Registry, name, label, value string) int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == label && l.GetValue() == value {
					return int(m.GetCounter().GetValue())
				}
			}
		}
	}
	t.Fatalf("there is no %s with %s %s", name, label, value)
	return 0
}

// TestCrashesOfCompactors: compactors die at any call of a store, before or after it took effect; nothing is lost, and
// whoever goes on comes to the same end.
func TestCrashesOfCompactors(t *testing.T) {
	rng := seeded(t)
	w := rewritetest.New(t, rng.Uint64(), 2, 3)
	for range 40 {
		w.Grow(1 + rng.IntN(8))
		w.Advance(time.Duration(rng.IntN(400)) * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var steps atomic.Int64
		last := 1 + rng.Int64N(20)
		crash := func() error {
			if steps.Add(1) == last {
				cancel()
			}
			return ctx.Err()
		}
		if rng.IntN(2) == 0 {
			w.Faults.Before(func(context.Context, fault.Call) error { return crash() })
			w.Meta.Before(func(context.Context, metafault.Call) error { return crash() })
		} else {
			w.Faults.After(func(_ context.Context, _ fault.Call, err error) error { return errors.Join(err, crash()) })
			w.Meta.After(func(_ context.Context, _ metafault.Call, err error) error { return errors.Join(err, crash()) })
		}
		engineOpts, opts := small(rng)
		engineOpts.Reads = 1
		c := compactor(t, w, engineOpts, opts)
		for more, err := true, error(nil); more && err == nil; {
			if more, err = c.Do(ctx); err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
		}
		cancel()
		w.Faults.Before(nil)
		w.Faults.After(nil)
		w.Meta.Before(nil)
		w.Meta.After(nil)
		if err := w.Replica.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		sound(t, w)
		collect(t, w)
		w.CheckObjects()
	}
	engineOpts, opts := small(rng)
	w.Advance(time.Hour)
	all(t, compactor(t, w, engineOpts, opts))
	sound(t, w)
}

// TestCorruptRunHoldsUpNothingElse: its partition goes on behind it, and so do the others. After a while it is tried again.
func TestCorruptRunHoldsUpNothingElse(t *testing.T) {
	rng := seeded(t)
	w := rewritetest.New(t, rng.Uint64(), 1, 3)
	registry := prometheus.NewRegistry()
	c := compactor(t, w, rewrite.Options{Registerer: registry}, compaction.Options{})
	w.Grow(5)
	tp := w.Partitions()[1]
	bad := w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()})
	w.Grow(5)
	w.EndAll()
	var good []byte
	w.Damage(bad, func(b []byte) []byte {
		good = slices.Clone(b)
		b[segment.HeaderSize+50] ^= 1
		return b
	})
	w.Advance(20 * time.Minute)
	all(t, c)
	left := func() (ids []metastore.SegmentID) {
		for _, tp := range w.Partitions() {
			for _, run := range w.Runs(tp) {
				if run.Marker == nil && run.Segment.Tier() == 0 {
					ids = append(ids, run.Segment)
				}
			}
		}
		return ids
	}
	if got := left(); !slices.Equal(got, []metastore.SegmentID{bad}) {
		t.Fatalf("left in tier 0: %v, want %s", got, bad)
	}
	if n := counter(t, registry, "runnel_rewrite_corrupt_runs_total"); n != 1 {
		t.Errorf("%d corrupt runs were counted", n)
	}
	w.Damage(bad, func([]byte) []byte { return good })
	w.Advance(30 * time.Minute)
	if all(t, c); len(left()) != 1 {
		t.Fatal("it was tried again too early")
	}
	w.Advance(31 * time.Minute)
	if all(t, c); len(left()) != 0 {
		t.Fatal("it was not tried again")
	}
	sound(t, w)
}

func counter(t *testing.T, registry *prometheus.Registry, name string) int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return int(f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// TestSegmentsThatCannotBeRead: jobs fail for each twice, and then go around it, be it missing or beyond the store's powers. If it
// is missing, they go on at once the second time, or many would hold up the others for hours, and then be tried again.
func TestSegmentsThatCannotBeRead(t *testing.T) {
	for reason, told := range map[error]int{objstore.ErrNotFound: 1, rewritetest.ErrInjected: 2} {
		t.Run(reason.Error(), func(t *testing.T) {
			rng := seeded(t)
			synctest.Test(t, func(t *testing.T) {
				w := rewritetest.New(t, rng.Uint64(), 1, 3)
				c := compactor(t, w, rewrite.Options{}, compaction.Options{})
				w.Grow(5)
				bad := map[metastore.SegmentID]bool{}
				keys := map[string]bool{}
				for range 9 {
					id := w.Write(rewritetest.Batch{TopicPartition: w.Partitions()[1], Bytes: w.RandomBatch()})
					bad[id], keys[segment.Key(id)] = true, true
					w.Grow(2)
				}
				w.EndAll()
				w.Advance(20 * time.Minute)
				w.Faults.Before(func(_ context.Context, call fault.Call) error {
					if keys[call.Key] {
						return reason
					}
					return nil
				})
				failed := map[metastore.SegmentID]int{}
				for more := true; more; {
					var err error
					if more, err = c.Do(t.Context()); err == nil {
						continue
					}
					var of *rewrite.SegmentError
					if !errors.Is(err, reason) || !errors.As(err, &of) || !bad[of.Segment] {
						t.Fatalf("got %v", err)
					}
					if failed[of.Segment]++; failed[of.Segment] > told {
						t.Fatalf("segment %s was told of %d times, want %d", of.Segment, failed[of.Segment], told)
					}
					more = true // after a pause
				}
				if len(failed) != len(bad) {
					t.Errorf("jobs failed for %d segments, want %d", len(failed), len(bad))
				}
				for _, tp := range w.Partitions() {
					for _, run := range w.Runs(tp) {
						if run.Marker == nil && run.Segment.Tier() == 0 && !bad[run.Segment] {
							t.Fatalf("%s: run %+v is left in tier 0", tp, run)
						}
					}
				}
			})
		})
	}
}

// TestBehindIsMoreThanTwoJobs: a compactor that one job of the delay's worth brings up to date is not behind.
func TestBehindIsMoreThanTwoJobs(t *testing.T) {
	w := rewritetest.New(t, 1, 1, 1)
	b := w.RandomBatch()
	c := compactor(t, w, rewrite.Options{}, compaction.Options{JobBytes: int64(len(b)), Wait: time.Hour})
	for written, behind := range []bool{false, false, true} {
		w.Write(rewritetest.Batch{TopicPartition: w.Partitions()[0], Bytes: b})
		if _, err := c.Do(t.Context()); err != nil || c.Behind() != behind {
			t.Errorf("behind %v after %d batches, %v", c.Behind(), written+1, err)
		}
	}
}

// TestBacklogIsTold: on the broker that plans, and for as long as it does.
func TestBacklogIsTold(t *testing.T) {
	w := rewritetest.New(t, 1, 1, 1)
	registry := prometheus.NewRegistry()
	c := compactor(t, w, rewrite.Options{}, compaction.Options{Registerer: registry})
	b := w.RandomBatch()
	w.Write(rewritetest.Batch{TopicPartition: w.Partitions()[0], Bytes: b})
	w.Advance(5 * time.Minute)
	if more, err := c.Do(t.Context()); more || err != nil {
		t.Fatal(more, err)
	}
	if got := c.Backlog(); got != (compaction.Backlog{At: w.Now(), Bytes: int64(len(b)), Lag: 3 * time.Minute}) {
		t.Errorf("%+v", got)
	}
	if lag, bytes := counter(t, registry, "runnel_compaction_lag_seconds"), counter(t, registry, "runnel_compaction_tier0_bytes"); lag != 180 || bytes != len(b) {
		t.Errorf("lag %d, %d bytes", lag, bytes)
	}
	w.Advance(6 * time.Minute)
	if lag := counter(t, registry, "runnel_compaction_lag_seconds"); lag != 0 {
		t.Errorf("lag %d of an old plan", lag)
	}
	if more, err := c.Do(t.Context()); !more || err != nil {
		t.Fatal(more, err)
	}
	if n := counted(t, registry, "runnel_compaction_jobs_total", "kind", "lift"); n != 1 {
		t.Errorf("%d jobs", n)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	w := rewritetest.New(t, 1, 1, 1)
	e, err := rewrite.New(w.Faults, w.Replica, rewrite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]compaction.Options{
		"negative delay":       {Delay: -1},
		"wait below the delay": {Delay: time.Hour},
		"no merge of one":      {MergeRuns: 1},
		"small run too large":  {SmallRun: 1 << 30},
		"negative job":         {JobBytes: -1},
	} {
		if _, err := compaction.New(w.Replica, e, opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
