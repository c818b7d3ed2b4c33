package node

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/metastore"
)

// regressible is a metastore that goes back in time on demand: its log ends before what anybody has folded.
type regressible struct {
	metastore.Store
	gone atomic.Bool
}

func (r *regressible) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	if r.gone.Load() {
		return metastore.ErrConflict
	}
	return r.Store.Append(ctx, expected, next)
}

func (r *regressible) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	if r.gone.Load() && after.Seq > 0 {
		return nil, metastore.ErrRegressed
	}
	return r.Store.Read(ctx, after, maxBytes)
}

// TestABrokerStaysUpNotReadyWhenTheMetastoreWentBackInTime also if it is written to: a supervisor would start one anew that
// ends, which then knows of nothing that is missing.
func TestABrokerStaysUpNotReadyWhenTheMetastoreWentBackInTime(t *testing.T) {
	stores := memoryStores()
	meta := &regressible{Store: stores.Metastore}
	stores.Metastore = meta
	n, _ := start(t, stores) // which fails the test if the node ends by itself
	eventually(t, "ready", func() bool { return n.Ready() == "" })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := client(t, n, kgo.DefaultProduceTopic("t"), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.RecordDeliveryTimeout(2*time.Second))
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(ctx, kgo.StringRecord("before")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	meta.gone.Store(true)
	for range 2 { // the second meets a write path that has ended
		if err := c.ProduceSync(ctx, kgo.StringRecord("after")).FirstErr(); err == nil {
			t.Fatal("a record was acknowledged by a metastore that went back in time")
		} else {
			t.Logf("a producer is told: %v", err)
		}
	}
	const why = "went back in time"
	eventually(t, "not ready, and says why", func() bool { return strings.Contains(n.Ready(), why) })
	n.note(componentMetastore, n.metastoreHealth()) // as the next look at the stores does
	if !strings.Contains(n.Ready(), why) {
		t.Errorf("ready for %q", n.Ready())
	}
}
