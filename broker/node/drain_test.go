package node

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What waits in the broker for company gets none while it stops: sockets are not read any more.
func TestNodeThatStopsDoesNotWaitOutTheLingerOfATopic(t *testing.T) {
	n, stop := startWith(t, memoryStores(), map[string]string{"drain.timeout": "20s"})
	eventually(t, "ready", func() bool { return n.Ready() == "" })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	c := client(t, n, kgo.DefaultProduceTopic("t"))
	linger := "60000"
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 1, 1, map[string]*string{"runnel.linger.max.ms": &linger}, "t"); err != nil {
		t.Fatal(err)
	}
	acknowledged := make(chan error, 1)
	c.Produce(ctx, kgo.StringRecord("a"), func(_ *kgo.Record, err error) { acknowledged <- err })
	eventually(t, "the broker has the batch", func() bool { return buffered(t, n) > 0 })
	began := time.Now()
	stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
	select {
	case err := <-acknowledged:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Second):
		t.Error("the batch was not acknowledged")
	}
}

// buffered returns the bytes that the write path of a node has and did not answer.
func buffered(t *testing.T, n *Node) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "runnel_batching_buffered_bytes" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no gauge of buffered bytes")
	return 0
}
