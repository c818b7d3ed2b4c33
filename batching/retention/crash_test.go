package retention_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching/retention"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/fault"
)

// TestCrashAnywhere: wherever a round ends, before or after what it just did took effect, only what is too old has left, and the next
// broker ends what was begun.
func TestCrashAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := 1
		for done := false; !done; step++ {
			for _, after := range []bool{false, true} {
				r := newRig(t)
				topic := r.topic("short", 10, map[string]string{"retention.ms": "60000"})
				var tps []metastore.TopicPartition
				for p := range int32(10) {
					tps = append(tps, metastore.TopicPartition{Topic: topic.ID, Partition: p})
				}
				r.write(100, time.Now().UnixMilli(), tps...)
				time.Sleep(2 * time.Minute)
				r.write(100, time.Now().UnixMilli(), tps...)
				done = !r.dieAt(step, after)
				r.must(r.replica.Refresh(t.Context()))
				for _, tp := range tps {
					if at := r.start(tp); at != 0 && at != 3 || done && at != 3 {
						t.Errorf("step %d: partition %d begins at %d", step, tp.Partition, at)
					}
				}
				r.all(retention.New(r.replica, policy, retention.Options{}))
				for _, tp := range tps {
					if at := r.start(tp); at != 3 {
						t.Errorf("after a crash at step %d partition %d begins at %d", step, tp.Partition, at)
					}
				}
				if diff := r.open().Differences(r.replica); len(diff) > 0 {
					t.Errorf("after a crash at step %d a broker that starts has another state: %v", step, diff)
				}
			}
		}
		if step < 5 {
			t.Errorf("%d steps", step)
		}
	})
}

// dieAt does all rounds as a broker of its own, whose every call of the metastore fails from one on, after it took effect or in its
// place. It tells whether they came to that.
func (r *rig) dieAt(step int, after bool) bool {
	r.t.Helper()
	meta := fault.Wrap(r.meta)
	replica := metastore.NewReplica(meta, metastore.ReplicaOptions{RefreshPause: -1})
	r.must(replica.Open(r.t.Context()))
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
		meta.After(func(_ context.Context, _ fault.Call, err error) error { return errors.Join(err, crash()) })
	} else {
		meta.Before(func(context.Context, fault.Call) error { return crash() })
	}
	keeper := retention.New(replica, policy, retention.Options{EntryPartitions: 2, RoundPartitions: 4})
	for more := true; more; {
		var err error
		if more, err = keeper.Do(ctx); err != nil && ctx.Err() == nil {
			r.t.Fatalf("step %d: %v", step, err)
		}
	}
	return ctx.Err() != nil
}
