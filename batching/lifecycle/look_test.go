package lifecycle

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore/memory"
)

// TestWhoDoesNotHaveATaskLooksOn: all the time until it has it, and never while it works.
func TestWhoDoesNotHaveATaskLooksOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		c := &crowd{}
		var busy, beside atomic.Bool
		looks := make([]atomic.Int64, 2)
		task := func(i int) Task {
			return Task{Name: "t", Every: always(time.Minute), Do: func(ctx context.Context) (bool, error) {
				busy.Store(i == 1)
				defer busy.Store(false)
				sleep(ctx, 25*time.Second)
				return false, nil
			}, Look: func() {
				looks[i].Add(1)
				beside.Store(beside.Load() || i == 1 && busy.Load())
			}}
		}
		first := join(t, store, c, []Task{task(0)}, Options{})
		join(t, store, c, []Task{task(1)}, Options{})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if a, b := looks[0].Load(), looks[1].Load(); a != 1 || b < 15 {
			t.Errorf("who works looked %d times, the other %d times in 10 minutes", a, b)
		}
		c.change(nil, first.self.NodeID)
		first.stop()
		before := looks[1].Load()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := looks[1].Load() - before; n > 4 || beside.Load() {
			t.Errorf("it looked %d times after it took over, beside its work: %v", n, beside.Load())
		}
	})
}
