package cleaning_test

import (
	"math"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
)

// TestRecordsWithoutTimestampsKeepTheirAge: however often they are rewritten, so that retention lets them go at last.
func TestRecordsWithoutTimestampsKeepTheirAge(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	untimed := func(pairs ...string) data {
		d := r.put(0, nil, pairs...)
		for i := range d.records {
			d.records[i].Timestamp = -1
		}
		return d
	}
	r.write(untimed("a=1", "b=1"))
	r.pass(time.Hour)
	r.write(untimed("a=2", "c=1"))
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
