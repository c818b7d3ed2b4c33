package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestNodesWithAndWithoutAPeerPortShareALog is a cluster in the middle of getting its peer ports, with one node that was
// given another secret.
func TestNodesWithAndWithoutAPeerPortShareALog(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	keys := func(secret string) map[string]string {
		return map[string]string{"peer.listen": "127.0.0.1:0", "peer.secret": secret}
	}
	a, _ := startWith(t, stores, keys("a secret of the tests alone"))
	eventually(t, "the first node sequences", func() bool { return metric(t, a, "runnel_sequencer_held", "") == 1 })
	b, stopB := startWith(t, stores, keys("another secret of the tests"))
	c, _ := startWith(t, stores, nil)
	d, _ := startWith(t, stores, keys("a secret of the tests alone"))
	nodes := []*Node{a, b, c, d}
	eventually(t, "all nodes ready and in view", func() bool {
		for _, n := range nodes {
			if n.Ready() != "" || len(n.members.Live()) != len(nodes) {
				return false
			}
		}
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const partitions, each = 64, 100 // so many that some lead to each of the nodes, whatever the topic's random id
	if _, err := kadm.NewClient(client(t, c)).CreateTopic(ctx, partitions, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, len(nodes))
	for _, n := range nodes {
		producer := client(t, n, kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		go func() {
			for i := range each {
				r := &kgo.Record{Partition: int32(i % partitions), Value: []byte(fmt.Sprint(i))}
				if err := producer.ProduceSync(ctx, r).FirstErr(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range nodes {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		offsets, err := kadm.NewClient(client(t, n)).ListEndOffsets(ctx, "t")
		if err != nil || offsets.Error() != nil {
			t.Fatal(err, offsets.Error())
		}
		total := int64(0)
		offsets.Each(func(o kadm.ListedOffset) { total += o.Offset })
		if want := int64(each * len(nodes)); total != want {
			t.Errorf("%d records in the log, want %d", total, want)
		}
	}
	through := func(n *Node) float64 { return metric(t, n, "runnel_sequencer_commits_total", "sequencer") }
	for _, n := range []*Node{b, c} {
		if through(n) != 0 {
			t.Error("a node commits through another that it shares no secret with")
		}
	}
	// Unless it was slow to renew its registration, and its clients were told to ask others meanwhile, it has.
	direct, more := client(t, c, kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner())), 0
	eventually(t, "the node without a peer port commits directly", func() bool {
		if metric(t, c, "runnel_sequencer_commits_total", "direct") > 0 {
			return true
		}
		more++
		if err := direct.ProduceSync(ctx, &kgo.Record{Partition: int32(more % partitions), Value: []byte("more")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return false
	})
	stopB() // it may have had the role: if the first node was slow to renew it
	producer := client(t, d, kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	before, i := through(a)+through(d), 0
	eventually(t, "of the two nodes that share a secret, one commits through the other", func() bool {
		i++
		r := &kgo.Record{Partition: int32(i % partitions), Value: []byte("more")}
		return producer.ProduceSync(ctx, r).FirstErr() == nil && through(a)+through(d) > before
	})
}
