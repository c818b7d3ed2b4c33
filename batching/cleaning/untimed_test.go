package cleaning_test

import (
	"math"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
)

// untimed is a batch of records without timestamps.
func (r *rig) untimed(pairs ...string) data {
	d := r.put(0, nil, pairs...)
	for i := range d.records {
		d.records[i].Timestamp = -1
	}
	return d
}

// TestRecordsWithoutTimestampsWaitForTheLag: for min.compaction.lag.ms from when they were stored, and no longer if they were rewritten
// meanwhile.
func TestRecordsWithoutTimestampsWaitForTheLag(t *testing.T) {
	for name, rewritten := range map[string]bool{"as stored": false, "rewritten": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, cleaning.Policy{MinCompactionLagMs: time.Minute.Milliseconds()}, rewrite.Options{})
			r.write(r.untimed("a=1", "b=1"))
			r.pass(30 * time.Second)
			r.write(r.untimed("a=2", "c=1"))
			r.pass(59 * time.Second)
			if rewritten {
				r.merge(0, 0, 10)
			}
			r.clean(atOnce)
			r.wantTable(0, "0:a=1 1:b=1 2:a=2 3:c=1")
			r.pass(2 * time.Second)
			r.clean(atOnce)
			r.wantTable(0, "1:b=1 2:a=2 3:c=1")
		})
	}
}

// TestAnUntimedBatchAmongOthersIsNoOlderThanItsObject: nobody knows better.
func TestAnUntimedBatchAmongOthersIsNoOlderThanItsObject(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{MinCompactionLagMs: time.Minute.Milliseconds()}, rewrite.Options{})
	r.write(r.put(0, nil, "a=1"))
	r.pass(2 * time.Minute)
	r.write(r.untimed("a=2"))
	r.merge(0, 0, 10)
	r.pass(59 * time.Second)
	r.clean(atOnce)
	r.wantTable(0, "0:a=1 1:a=2")
	r.pass(2 * time.Second)
	r.clean(atOnce)
	r.wantTable(0, "1:a=2")
}

// TestRecordsWithoutTimestampsAreNotOverdueAtOnce: max.compaction.lag.ms counts from when they were stored, too.
func TestRecordsWithoutTimestampsAreNotOverdueAtOnce(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{MinCleanableDirtyRatio: 1, MaxCompactionLagMs: time.Hour.Milliseconds()}, rewrite.Options{})
	r.write(r.untimed("a=1"), r.untimed("a=2"))
	r.pass(59 * time.Minute)
	r.clean(atOnce)
	r.wantTable(0, "0:a=1 1:a=2")
	r.pass(2 * time.Minute)
	r.clean(atOnce)
	r.wantTable(0, "1:a=2")
}

// TestRecordsWithoutTimestampsKeepTheirAge: however often they are rewritten, so that retention lets them go at last.
func TestRecordsWithoutTimestampsKeepTheirAge(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	r.write(r.untimed("a=1", "b=1"))
	r.pass(time.Hour)
	r.write(r.untimed("a=2", "c=1"))
	newest := r.clock
	stored := func() time.Time {
		t.Helper()
		_, runs, err := r.replica.Runs(r.logs[0].tp, 0, math.MaxInt)
		r.must(err)
		last := runs[len(runs)-1]
		at, ok := last.Untimed()
		if !ok || last.Segment.Tier() != 1 {
			t.Fatalf("%+v", last)
		}
		return at
	}
	r.pass(24 * time.Hour)
	r.policy.MinCleanableDirtyRatio = 0
	r.round()
	for range 2 {
		if at := stored(); at.UnixMilli() != newest.UnixMilli() {
			t.Fatalf("it is as of %v, and was stored at %v", at, newest)
		}
		r.pass(24 * time.Hour)
		r.merge(0, 0, 10)
	}
	s := metastore.Run{MaxTimestamp: -1, Segment: metastore.NewRewrittenID(r.clock)}
	if at, ok := s.Untimed(); !ok || at.UnixMilli() != r.clock.UnixMilli() {
		t.Errorf("a run of an earlier version is as of %v, %v", at, ok)
	}
	s = metastore.Run{MaxTimestamp: -start, Segment: metastore.NewSegmentID(r.clock)}
	if at, ok := s.Untimed(); !ok || at.UnixMilli() != r.clock.UnixMilli() {
		t.Errorf("a run with a strange timestamp of its producer is as of %v, %v", at, ok)
	}
}
