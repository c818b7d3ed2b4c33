package garbage_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// vault is a store that does not let some objects go.
type vault struct {
	garbage.Objects
	locked   map[string]bool
	requests int
}

func (v *vault) Delete(ctx context.Context, keys []string) error {
	v.requests++
	isLocked := func(key string) bool { return v.locked[key] }
	if err := v.Objects.Delete(ctx, slices.DeleteFunc(slices.Clone(keys), isLocked)); err != nil {
		return err
	}
	refused := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !isLocked(key) })
	if len(refused) == 0 {
		return nil
	}
	return &objstore.RefusedError{Keys: refused, Err: errors.New("legal hold")}
}

func (v *vault) lock(keys ...string) []string {
	for _, key := range keys {
		v.locked[key] = true
	}
	return keys
}

// TestAnObjectThatCannotBeDeletedHoldsUpNothing: it is told of once, counted each time, and goes when it may.
func TestAnObjectThatCannotBeDeletedHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := &vault{Objects: r.objects, locked: map[string]bool{}}
		reg, log := prometheus.NewRegistry(), &bytes.Buffer{}
		c := garbage.New(v, r.replica, garbage.Options{
			Settle: time.Hour + time.Minute, SweepEvery: 24 * time.Hour, Registerer: reg, Logger: slog.New(slog.NewTextHandler(log, nil)),
			ClusterID: func() string { return cluster },
		})
		locked := v.lock(r.write(0), r.write(0))
		for range 20 {
			r.write(0)
		}
		locked = append(locked, v.lock(r.write(0))...)
		orphan := segment.Key(r.putSegment())
		v.lock(orphan)
		for range 20 {
			r.putSegment()
		}
		r.forget(0)
		r.must(run(t.Context(), c, time.Hour+time.Minute))
		for _, key := range r.keys() {
			if isSegment(key) && !v.locked[key] && !r.unnamed(key) {
				t.Errorf("%s is left", key)
			}
		}
		if objects, _ := r.replica.GarbageTotal(); objects != 3 {
			t.Errorf("the log remembers %d objects", objects)
		}
		r.must(run(t.Context(), c, 25*time.Hour)) // a sweep
		r.expect("after a day", locked, []string{orphan})
		if n := counted(t, reg, "runnel_garbage_refused_objects_total", "reason=garbage"); n < 3*20 || n > 3*27 {
			t.Errorf("%v objects were refused", n)
		}
		if n := counted(t, reg, "runnel_garbage_refused_objects_total", "reason=orphan"); n < 1 || n > 2 {
			t.Errorf("%v orphans were refused", n)
		}
		if n := counted(t, reg, "runnel_garbage_deleted_objects_total", "reason=garbage"); n != 20 {
			t.Errorf("%v objects count as deleted", n)
		}
		if n := strings.Count(log.String(), "refuses to delete"); n != 1 {
			t.Errorf("it is told %d times:\n%s", n, log)
		}
		clear(v.locked)
		r.must(run(t.Context(), c, 50*time.Hour)) // a whole sweep, which comes to some parts of the bucket late
		r.expect("when they may go")
		if objects, bytes := r.replica.GarbageTotal(); objects != 0 || bytes != 0 {
			t.Errorf("the log remembers %d objects with %d bytes", objects, bytes)
		}
	})
}

// unnamed tells whether the log does not know an object.
func (r *rig) unnamed(key string) bool {
	id, err := segment.ParseKey(key)
	r.must(err)
	return !r.replica.Known([]metastore.SegmentID{id})[0]
}

// TestManyLockedObjectsInARow: more than a request takes, before one that goes.
func TestManyLockedObjectsInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := &vault{Objects: r.objects, locked: map[string]bool{}}
		for range 2500 {
			v.lock(r.write(0))
		}
		r.write(0)
		r.forget(0)
		c := garbage.New(v, r.replica, garbage.Options{SweepEvery: -1})
		r.must(run(t.Context(), c, time.Hour+time.Minute))
		if n := len(r.keys()); n != 2500 || v.requests != 3 {
			t.Errorf("%d objects are left after %d requests", n, v.requests)
		}
		if oldest := r.replica.Garbage(1); time.Since(oldest[0].Since) > 2*time.Minute {
			t.Errorf("the oldest garbage is of %v ago", time.Since(oldest[0].Since))
		}
	})
}

// TestAStoreThatRefusesEverythingIsAnError: the task fails then, and asks for little.
func TestAStoreThatRefusesEverythingIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := &vault{Objects: r.objects, locked: map[string]bool{}}
		for range 1500 {
			v.lock(r.write(0))
		}
		r.forget(0)
		time.Sleep(2 * time.Hour)
		c := garbage.New(v, r.replica, garbage.Options{SweepEvery: -1})
		if err := run(t.Context(), c, 24*time.Hour); err == nil || !strings.Contains(err.Error(), "may this broker delete?") {
			t.Errorf("the error is %v", err)
		}
		if objects, _ := r.replica.GarbageTotal(); objects != 1500 || v.requests != 2 {
			t.Errorf("the log remembers %d objects after %d requests", objects, v.requests)
		}
	})
}
