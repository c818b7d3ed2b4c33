package cleaning_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	"github.com/runnel-io/runnel/objstore/fault"
)

// TestCrashAnywhere: wherever a round ends, before or after what it just did took effect, everything reads as Kafka promises, fsck finds
// no damage, and the next broker ends what was begun.
func TestCrashAnywhere(t *testing.T) {
	steps := 0
	for done := false; !done; steps++ {
		for _, after := range []bool{false, true} {
			r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
			r.writeForCrash()
			died := r.dieAt(steps+1, after)
			done = !died
			r.must(r.replica.Refresh(t.Context()))
			l := r.logs[0]
			l.bound = math.MaxInt64
			l.met(l.check().cleanedTo)
			r.intact(fmt.Sprintf("a crash at step %d", steps+1))
			for range 3 { // what met its horizon goes, too
				r.pass(2 * time.Hour)
				r.write(r.put(0, nil, "last=1"))
				r.round()
			}
			if s := l.read(); len(s.records) != 4 || s.cleanedTo != s.marks.Stable {
				t.Fatalf("after a crash at step %d: %d records are left, cleaned to %d of %d: %s", steps+1, len(s.records), s.cleanedTo, s.marks.Stable, r.table(0))
			}
			r.intact("all was cleaned")
		}
	}
	if steps < 20 {
		t.Errorf("%d steps", steps)
	}
}

// writeForCrash writes keys that are superseded, a tombstone, and a transaction of either end.
func (r *rig) writeForCrash() {
	r.t.Helper()
	committed, aborted := r.producer("committed", 2), r.producer("aborted", 2)
	for i := range 12 {
		r.write(r.put(0, nil, fmt.Sprintf("k%d=%d", i%3, i), fmt.Sprintf("k%d=%d", i%2, i)))
		if i == 4 {
			r.write(r.put(0, nil, "gone=-"), r.put(0, committed, "k0=c"), r.put(0, aborted, "k0=a"))
		}
	}
	committed.end(true)
	aborted.end(false)
}

// dieAt does a round as a broker of its own, whose every call of a store fails from one on, after it took effect or in its place. It
// tells whether the round came to that.
func (r *rig) dieAt(step int, after bool) bool {
	r.t.Helper()
	meta, objects := metafault.Wrap(r.meta), fault.Wrap(r.store)
	replica := metastore.NewReplica(meta, metastore.ReplicaOptions{Now: r.now})
	r.must(replica.Open(r.t.Context()))
	engine, err := rewrite.New(objects, replica, rewrite.Options{Now: r.now, Reads: 1})
	r.must(err)
	cleaner, err := cleaning.New(replica, engine, func(*metastore.Topic) cleaning.Policy { return r.policy }, cleaning.Options{Now: r.now, PieceBytes: 500, SmallBytes: 1})
	r.must(err)
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	var calls atomic.Int64
	crash := func() error {
		if calls.Add(1) == int64(step) {
			cancel()
		}
		return ctx.Err()
	}
	if after {
		objects.After(func(_ context.Context, _ fault.Call, err error) error { return errors.Join(err, crash()) })
		meta.After(func(_ context.Context, _ metafault.Call, err error) error { return errors.Join(err, crash()) })
	} else {
		objects.Before(func(context.Context, fault.Call) error { return crash() })
		meta.Before(func(context.Context, metafault.Call) error { return crash() })
	}
	_, err = cleaner.Do(ctx)
	if died := ctx.Err() != nil; died || err == nil {
		return died
	}
	r.t.Fatalf("step %d: %v", step, err)
	return false
}
