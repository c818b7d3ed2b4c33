package node

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/runnel-io/runnel/metastore"
)

// hungGroups is a metastore that stops to answer what groups write.
type hungGroups struct {
	metastore.Store
	hangs atomic.Bool
	asked chan struct{} // cap 1
}

func (h *hungGroups) CommitOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
	if !h.hangs.Load() {
		return h.Store.CommitOffsets(ctx, id, epoch, offsets)
	}
	select {
	case h.asked <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestNodeStopsInTimeWhileWritesOfGroupsHang(t *testing.T) {
	stores := memoryStores()
	hung := &hungGroups{Store: stores.Metastore, asked: make(chan struct{}, 1)}
	stores.Metastore = hung
	n, stop := startWith(t, stores, map[string]string{"drain.timeout": "3s"})
	eventually(t, "ready", func() bool { return n.Ready() == "" })
	admin := kadm.NewClient(client(t, n))
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	hung.hangs.Store(true)
	var offsets kadm.Offsets
	offsets.AddOffset("t", 0, 1, -1)
	go admin.CommitAllOffsets(t.Context(), "g", offsets)
	<-hung.asked
	if took := timed(stop); took > 4*time.Second {
		t.Errorf("stopping took %v, of at most 3 s", took)
	}
}
