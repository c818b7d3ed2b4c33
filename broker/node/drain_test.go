package node

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
	case <-time.After(20 * time.Second):
		t.Error("the batch was not acknowledged")
	}
}

// pair starts two nodes that know each other.
func pair(t *testing.T, keys map[string]string) (a, b *Node, stopA func()) {
	t.Helper()
	stores := memoryStores()
	a, stopA = startWith(t, stores, keys)
	b, _ = startWith(t, stores, keys)
	eventually(t, "both nodes ready and in view", func() bool {
		return a.Ready() == "" && b.Ready() == "" && len(a.members.Live()) == 2 && len(b.members.Live()) == 2
	})
	return a, b, stopA
}

func timed(stop func()) time.Duration {
	began := time.Now()
	stop()
	return time.Since(began)
}

// stopsWithin stops up to three nodes, the first of which may be held up by what else the machine does.
func stopsWithin(t *testing.T, most time.Duration, begin func() (stop func())) {
	t.Helper()
	var all []time.Duration
	for range 3 {
		took := timed(begin())
		if took <= most {
			return
		}
		all = append(all, took)
	}
	t.Errorf("stopping took %v", all)
}

func TestLoneNodeWithClientsStopsAtOnce(t *testing.T) {
	stopsWithin(t, 1500*time.Millisecond, func() func() { // the longest poll, and some
		n, stop := startWith(t, memoryStores(), nil)
		eventually(t, "ready", func() bool { return n.Ready() == "" })
		consumer := client(t, n, kgo.ConsumeTopics("t"), kgo.AllowAutoTopicCreation(), kgo.FetchMaxWait(time.Second))
		go consumer.PollFetches(t.Context())
		eventually(t, "the client is connected", func() bool { return n.server.Connections() > 0 })
		return stop
	})
}

func TestNodeWithoutClientsStopsAtOnce(t *testing.T) {
	stopsWithin(t, 500*time.Millisecond, func() func() {
		_, _, stop := pair(t, nil)
		return stop
	})
}

func TestNodeThatStopsIsStillListedWhenItHandsOverAndGoneAfterwards(t *testing.T) {
	a, b, stop := pair(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin := kadm.NewClient(client(t, b))
	if _, err := admin.CreateTopic(ctx, 8, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	idle := client(t, a)
	if err := idle.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan time.Duration, 1)
	go func() { ended <- timed(stop) }()
	<-a.members.HandedOver()
	metadata, err := admin.Metadata(ctx, "t")
	if err != nil {
		t.Fatal(err)
	}
	if len(metadata.Brokers) != 2 {
		t.Errorf("brokers while one hands over: %v", metadata.Brokers.NodeIDs())
	}
	for _, p := range metadata.Topics["t"].Partitions {
		if p.Leader != int32(b.members.Self().NodeID) {
			t.Errorf("partition %d is led by %d", p.Partition, p.Leader)
		}
	}
	if took := <-ended; took > a.members.Stale()+2*time.Second {
		t.Errorf("stopping took %v", took)
	}
	eventually(t, "it is gone", func() bool {
		brokers, err := admin.ListBrokers(ctx)
		return err == nil && len(brokers) == 1
	})
}

// TestNodeEndsAlthoughAClientDoesNotGoAway: one that takes no answer for an answer.
func TestNodeEndsAlthoughAClientDoesNotGoAway(t *testing.T) {
	a, _, stop := pair(t, nil)
	stubborn := client(t, a)
	asking, stopAsking := context.WithCancel(t.Context())
	defer stopAsking()
	asked := make(chan struct{}, 1)
	go func() {
		for asking.Err() == nil {
			if _, err := stubborn.SeedBrokers()[0].Request(asking, kmsg.NewPtrMetadataRequest()); err == nil {
				select {
				case asked <- struct{}{}:
				default:
				}
			}
		}
	}()
	<-asked
	if took := timed(stop); took > 5*time.Second {
		t.Errorf("stopping took %v, of at most 5 s", took)
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
