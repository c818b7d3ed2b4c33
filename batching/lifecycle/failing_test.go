package lifecycle

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// TestATaskThatFailsOnOneBrokerIsDoneByAnother: be it the one that it belongs to or not. Whoever fails may be the only one that
// does, such as one that cannot get at the store.
func TestATaskThatFailsOnOneBrokerIsDoneByAnother(t *testing.T) {
	for name, belongs := range map[string]bool{"it belongs to the one that fails": true, "it belongs to the other": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New(memory.Options{})
				defer store.Close()
				var good, bad atomic.Int64
				fails := Task{Name: "t", Every: always(time.Minute), Do: func(context.Context) (bool, error) {
					bad.Add(1)
					return false, errors.New("broken")
				}}
				works := Task{Name: "t", Every: always(time.Minute), Do: func(context.Context) (bool, error) {
					good.Add(1)
					return false, nil
				}}
				c := &crowd{}
				first, second := fails, works // node ids rise, and the task is the lowest's
				if !belongs {
					first, second = works, fails
				}
				a := join(t, store, c, []Task{first}, Options{})
				if !belongs { // it is away while the one that fails takes the task
					c.change(nil, a.self.NodeID)
					a.store.cut.Store(true)
					time.Sleep(2 * time.Minute)
				}
				b := join(t, store, c, []Task{second}, Options{})
				time.Sleep(5 * time.Minute)
				if !belongs {
					a.store.cut.Store(false)
					if bad.Load() == 0 {
						t.Fatal("the one that fails did not have the task")
					}
					good.Store(0)
					c.change([]metastore.Broker{a.self})
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if bad.Load() == 0 || good.Load() < 10 {
					t.Errorf("%d rounds were done in an hour, %d failed", good.Load(), bad.Load())
				}
				a.stop()
				b.stop()
			})
		})
	}
}
