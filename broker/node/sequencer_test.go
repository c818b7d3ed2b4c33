package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// metric is the value of a counter or gauge with a label of that value, or with none.
func metric(t *testing.T, n *Node, name, label string) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s with %q", name, label)
	return 0
}

func TestNodesSequenceThroughOneThatHandsTheRoleOn(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	keys := map[string]string{"peer.listen": "127.0.0.1:0", "peer.secret": "a secret of the tests alone"}
	a, stopA := startWith(t, stores, keys)
	eventually(t, "the first node sequences", func() bool { return metric(t, a, "runnel_sequencer_held", "") == 1 })
	b, _ := startWith(t, stores, keys)
	eventually(t, "both nodes ready and in view", func() bool {
		return a.Ready() == "" && b.Ready() == "" && len(a.members.Live()) == 2 && len(b.members.Live()) == 2
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const partitions = 16 // some of which the second node leads
	if _, err := kadm.NewClient(client(t, a)).CreateTopic(ctx, partitions, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	producer := client(t, b, kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	through := func() float64 { return metric(t, b, "runnel_sequencer_commits_total", "sequencer") }
	sent := 0
	produce := func() {
		t.Helper()
		r := &kgo.Record{Partition: int32(sent % partitions), Value: []byte(fmt.Sprint(sent))}
		if err := producer.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	eventually(t, "commits of the second node go through the first", func() bool {
		produce()
		return through() > 5
	})
	if metric(t, b, "runnel_sequencer_entries_received_total", "") == 0 {
		t.Error("the second node got no entries from the first")
	}
	stopA()
	eventually(t, "the second node sequences", func() bool { return metric(t, b, "runnel_sequencer_held", "") == 1 })
	for range 10 {
		produce()
	}
	eventually(t, "all records are in the log once", func() bool {
		offsets, err := kadm.NewClient(client(t, b)).ListEndOffsets(ctx, "t")
		if err != nil || offsets.Error() != nil {
			return false // the client still looks for the node that is gone
		}
		total := int64(0)
		offsets.Each(func(o kadm.ListedOffset) { total += o.Offset })
		if total > int64(sent) {
			t.Fatalf("%d records in the log, %d were produced", total, sent)
		}
		return total == int64(sent)
	})
}
