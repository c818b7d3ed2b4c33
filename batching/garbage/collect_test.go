package garbage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/file"
)

func TestGarbageGoesAfterItsGraceAndNothingElseDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		reg := prometheus.NewRegistry()
		c := r.collector(r.replica, garbage.Options{SweepEvery: -1, Registerer: reg})
		others := r.others()
		both, gone := []string{r.write(0, 1)}, []string{r.write(0), r.write(0)}
		uncommitted := []string{segment.Key(r.putSegment())}
		r.forget(0)
		time.Sleep(30 * time.Minute)
		later := []string{r.write(2)}
		r.forget(2)
		if got := counted(t, reg, "runnel_garbage_objects"); got != 3 {
			t.Errorf("%v objects are garbage", got)
		}
		if got := counted(t, reg, "runnel_garbage_oldest_seconds"); got != 1800 {
			t.Errorf("the oldest is %v s old", got)
		}
		r.must(run(t.Context(), c, 30*time.Minute-time.Second))
		r.expect("within the grace", others, both, gone, uncommitted, later)
		r.must(run(t.Context(), c, time.Minute))
		r.expect("after it", others, both, uncommitted, later)
		r.must(run(t.Context(), c, time.Hour))
		r.expect("after that of the others", others, both, uncommitted)
		objects, bytes := r.replica.GarbageTotal()
		if deleted := counted(t, reg, "runnel_garbage_deleted_objects_total", "reason=garbage"); objects != 0 || bytes != 0 || deleted != 3 {
			t.Errorf("the log has %d objects with %d bytes left; %v were deleted", objects, bytes, deleted)
		}
		if got := counted(t, reg, "runnel_garbage_deleted_bytes_total", "reason=garbage"); got != 3*objectBytes {
			t.Errorf("%v bytes were deleted", got)
		}
	})
}

func TestMuchGarbageGoesInBatchesAtARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 2500 {
			r.write(0)
		}
		r.forget(0)
		time.Sleep(2 * time.Hour)
		tr := r.trace()
		begun := time.Now()
		c := r.collector(r.replica, garbage.Options{SweepEvery: -1, Rate: 100})
		for more := true; more; {
			var err error
			if more, err = c.Do(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 20*time.Second {
			t.Errorf("it took %v", took)
		}
		if len(tr.deleted) != 3 || len(tr.deleted[0]) != 1000 || len(tr.deleted[2]) != 500 {
			t.Errorf("%d requests", len(tr.deleted))
		}
		r.expect("at the end")
	})
}

// TestACollectorMayStopAnywhere: at each call of either store, before it takes effect or after, the process dies. The next
// one, on another broker, goes on.
func TestACollectorMayStopAnywhere(t *testing.T) {
	for _, effect := range []bool{false, true} {
		stopped := 0
		for n := 1; ; n++ {
			died := false
			t.Run(fmt.Sprintf("call %d, effect %v", n, effect), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { died = stopAt(t, n, effect) })
			})
			if !died || t.Failed() {
				break
			}
			stopped++
		}
		if stopped < 5 {
			t.Errorf("stopped at %d calls only", stopped)
		}
	}
}

func stopAt(t *testing.T, n int, effect bool) (died bool) {
	r := newRig(t)
	kept := [][]string{r.others(), {r.write(1)}, {r.write(0, 1)}}
	for range 5 {
		r.write(0)
	}
	orphans := []string{segment.Key(r.putSegment()), segment.Key(metastore.NewRewrittenID(time.Now()))}
	r.put(orphans[1])
	r.forget(0)
	time.Sleep(3 * time.Hour)
	ctx, kill := context.WithCancel(t.Context())
	calls := 0
	before := func() error {
		if calls++; calls == n && !effect {
			died = true
			kill()
		}
		return ctx.Err()
	}
	after := func() error {
		if calls == n && effect {
			died = true
			kill()
		}
		return ctx.Err()
	}
	r.objects.Before(func(context.Context, fault.Call) error { return before() })
	r.objects.After(func(_ context.Context, _ fault.Call, err error) error { return errors.Join(err, after()) })
	r.meta.Before(func(context.Context, metafault.Call) error { return before() })
	r.meta.After(func(_ context.Context, _ metafault.Call, err error) error { return errors.Join(err, after()) })
	opts := garbage.Options{Settle: time.Nanosecond, SweepEvery: time.Minute}
	if err := run(ctx, r.collector(r.replica, opts), 2*time.Minute); err != nil && !died {
		t.Error(err)
	}
	r.objects.Before(nil)
	r.objects.After(nil)
	r.meta.Before(nil)
	r.meta.After(nil)
	kill()
	next := r.open()
	r.must(run(t.Context(), r.collector(next, opts), 3*time.Minute))
	r.expect("after another went on", kept...)
	if objects, _ := next.GarbageTotal(); objects != 0 {
		t.Errorf("the log has %d objects left", objects)
	}
	return died
}

func TestAStoreThatFailsIsAskedForLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 1000 {
			r.write(0)
		}
		r.forget(0)
		time.Sleep(2 * time.Hour)
		var sizes []int
		r.objects.Before(func(_ context.Context, call fault.Call) error {
			if sizes = append(sizes, len(call.Keys)); len(sizes) < 9 {
				return errDown
			}
			return nil
		})
		c := r.collector(r.replica, garbage.Options{SweepEvery: -1})
		for range 8 {
			if _, err := c.Do(t.Context()); !errors.Is(err, errDown) {
				t.Fatalf("the error is lost: %v", err)
			}
		}
		r.must(run(t.Context(), c, 10*time.Minute))
		if want := []int{1000, 500, 250, 125, 62, 31, 15, 10, 10, 20, 40, 80, 160, 320, 370}; !slices.Equal(sizes, want) {
			t.Errorf("asked for %v", sizes)
		}
		r.expect("at the end")
	})
}

func TestTwoCollectorsAtOnceDoNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		kept := [][]string{r.others(), {r.write(1)}, r.foreigners()}
		for range 300 {
			r.write(0)
			r.putSegment()
		}
		r.forget(0)
		time.Sleep(2 * time.Hour)
		var both sync.WaitGroup
		for range 2 {
			c := r.collector(r.open(), garbage.Options{Settle: time.Nanosecond, SweepEvery: 10 * time.Minute})
			both.Go(func() {
				if err := run(t.Context(), c, time.Hour); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		r.expect("at the end", kept...)
	})
}

// switched is a log behind which another metastore may be put.
type switched struct{ metastore.Log }

func TestNothingIsDeletedOnAMetastoreThatWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		log := &switched{r.meta}
		replica := metastore.NewReplica(log, metastore.ReplicaOptions{RefreshPause: -1})
		r.must(replica.Open(t.Context()))
		all := [][]string{{r.write(0)}, {segment.Key(r.putSegment())}}
		r.forget(0)
		r.must(replica.CatchUp(t.Context()))
		time.Sleep(2 * time.Hour)
		log.Log = metamemory.New(metamemory.Options{}) // it lost everything
		for _, opts := range []garbage.Options{{SweepEvery: -1}, {Settle: time.Nanosecond, SweepEvery: time.Minute, Grace: 1000 * time.Hour}} {
			if err := run(t.Context(), r.collector(replica, opts), 5*time.Minute); !errors.Is(err, metastore.ErrRegressed) {
				t.Errorf("the error is %v", err)
			}
		}
		r.expect("at the end", all...)
	})
}

func TestADryRunDeletesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		reg := prometheus.NewRegistry()
		all := [][]string{r.others(), {r.write(0)}, {r.write(1)}, {segment.Key(r.putSegment())}}
		r.forget(0)
		time.Sleep(2 * time.Hour)
		tr := r.trace()
		r.must(run(t.Context(), r.collector(r.replica, garbage.Options{DryRun: true, Settle: time.Nanosecond, SweepEvery: time.Hour, Registerer: reg}), 90*time.Minute))
		r.expect("at the end", all...)
		if len(tr.deleted) != 0 {
			t.Errorf("%d requests to delete", len(tr.deleted))
		}
		if found := counted(t, reg, "runnel_garbage_orphans_found_total"); found == 0 {
			t.Error("no orphan was found")
		}
		if objects, _ := r.replica.GarbageTotal(); objects != 1 {
			t.Errorf("the log remembers %d objects", objects)
		}
	})
}

func TestAFileStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := file.Open(t.Context(), t.TempDir(), file.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		r := newRigOn(t, store)
		kept := [][]string{r.others(), {r.write(1)}, {r.write(0, 1)}, {r.put("t0/readme"), r.put("t1/zz/a")}}
		for range 20 {
			r.write(0)
			r.putSegment()
		}
		r.forget(0)
		time.Sleep(2 * time.Hour)
		r.must(run(t.Context(), r.collector(r.replica, garbage.Options{Settle: time.Nanosecond, SweepEvery: time.Hour}), 90*time.Minute))
		r.expect("at the end", kept...)
		r.intact()
	})
}
