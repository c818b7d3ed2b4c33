package cleaning_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
)

// TestAFirstRoundThatDiesHasSaidThatItBegan: its gaps are then none that anybody has to wonder about.
func TestAFirstRoundThatDiesHasSaidThatItBegan(t *testing.T) {
	for name, logStart := range map[string]metastore.Offset{"from the first record on": 0, "from the log start on": 3} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
			for i := range 40 {
				r.write(r.put(0, nil, fmt.Sprintf("k%d=%d", i%4, i), fmt.Sprintf("k%d=%d", i%3, i)))
			}
			if logStart > 0 {
				r.deleteRecords(0, logStart)
			}
			swaps := 0
			r.swapping = func([]metastore.Rewrite) (bool, error) {
				swaps++
				if swaps > 2 {
					return true, errors.New("it dies")
				}
				return false, nil
			}
			if _, err := r.cleaner(cleaning.Options{PieceBytes: 500, SmallBytes: 1}).Do(t.Context()); err == nil || swaps < 3 {
				t.Fatalf("%d swaps, %v", swaps, err)
			}
			s := r.logs[0].read()
			if len(s.records) > 75 || s.cleanedTo != max(logStart, 1) {
				t.Errorf("%d records are left, and it is cleaned to %d", len(s.records), s.cleanedTo)
			}
			r.swapping = nil
			r.intact("it died")
			r.policy.MinCleanableDirtyRatio = 0
			r.round()
		})
	}
}

// TestARoundEndsWhenTheTopicIsNotCompactedAnyMore: what it has not come to stays.
func TestARoundEndsWhenTheTopicIsNotCompactedAnyMore(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	for i := range 40 {
		r.write(r.put(0, nil, fmt.Sprintf("k%d=%d", i%4, i), fmt.Sprintf("k%d=%d", i%3, i)))
	}
	swaps := 0
	r.swapping = func([]metastore.Rewrite) (bool, error) {
		swaps++
		r.policy.Compact = swaps < 2
		return false, nil
	}
	opts := cleaning.Options{PieceBytes: 500, SmallBytes: 1}
	r.clean(opts)
	left := len(r.logs[0].read().records)
	if swaps != 2 || left < 30 || left > 75 {
		t.Fatalf("%d swaps, %d records are left", swaps, left)
	}
	r.intact("it ended")
	r.clean(opts)
	if again := len(r.logs[0].read().records); swaps != 2 || again != left {
		t.Errorf("%d swaps, %d records are left of %d", swaps, again, left)
	}
	r.swapping, r.policy.Compact = nil, true
	r.clean(opts)
	if last := len(r.logs[0].read().records); last != 4 {
		t.Errorf("compacted again, and %d records are left", last)
	}
}

// intact has fsck look at all, to which the topic is one that deletes: its settings were altered when something had happened.
func (r *rig) intact(when string) {
	r.t.Helper()
	report, err := fsck.Check(r.t.Context(), r.meta, r.store, fsck.Options{Deep: true, Compacted: func(*metastore.Topic) bool { return false }})
	r.must(err)
	for _, f := range report.Findings {
		if f.Kind.Severity() == fsck.Error {
			r.t.Errorf("after %s: %s %s: %s %v", when, f.Kind, f.Key, f.Detail, f.Affects)
		}
	}
}
