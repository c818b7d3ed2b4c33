package broker

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/cache"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// benchBroker is a broker on stores in memory, and a topic of one partition with n batches of 50 records.
func benchBroker(b *testing.B, n int) (*Broker, *metastore.Topic) {
	b.Helper()
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	meta, objects := memory.New(memory.Options{}), objmemory.New()
	replica := metastore.NewReplica(meta, metastore.ReplicaOptions{})
	check(replica.Open(b.Context()))
	topic, err := replica.CreateTopic(b.Context(), metastore.NewTopic{Name: "events", Partitions: 1,
		Configs: map[string]string{"retention.ms": "1000", "max.message.bytes": "2000000"}})
	check(err)
	defaults, err := settings.NewCluster(nil)
	check(err)
	w := batching.New(objects, replica, batching.Options{MinLinger: -1, MaxLinger: time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	blocks, err := cache.New(objects, cache.Options{})
	check(err)
	ahead := readahead.New(objects, readahead.Options{})
	membership := cluster.New(meta, metastore.Broker{Host: "broker0", Port: 9092}, cluster.Options{})
	check(membership.Join(b.Context()))
	b.Cleanup(func() {
		cancel()
		check(<-done)
		check(blocks.Close())
		check(ahead.Close())
		check(meta.Close())
	})
	broker := New(Deps{Topics: replica, Changes: replica, Partitions: replica, Membership: membership, Writer: w, Settings: settings.NewLive(defaults, replica),
		Reader: reader.New(replica, blocks, ahead, w.Recent(), reader.Options{})})
	for range n {
		req := produceRequest(topic, 0, testBatch(50))
		req.SetVersion(11)
		broker.produce(b.Context(), new(wire.Conn), req)(b.Context())
	}
	return broker, topic
}

// BenchmarkAdmit is what a connection's requests wait for one after the other in Produce: settings of the topic,
// validation of an uncompressed batch of 200 records, the answer; not the append.
func BenchmarkAdmit(b *testing.B) {
	broker, topic := benchBroker(b, 0)
	req := produceRequest(topic, 0, testBatch(200))
	req.SetVersion(11)
	b.SetBytes(int64(len(req.Topics[0].Partitions[0].Records)))
	conn := new(wire.Conn)
	b.ReportAllocs()
	for b.Loop() {
		p := broker.production(conn, req)
		broker.admit(context.Background(), p, req)
		if len(p.batches) != 1 {
			b.Fatal(p.refused)
		}
	}
}

// BenchmarkFetch answers a Fetch of 64 KiB, 50 batches, from the memory of what was written, up to the slices for the socket.
func BenchmarkFetch(b *testing.B) {
	broker, topic := benchBroker(b, 64)
	req := fetchRequest(topic, 0)
	req.Topics[0].Partitions[0].PartitionMaxBytes = 64 << 10
	req.SetVersion(12)
	b.ReportAllocs()
	for b.Loop() {
		resp := broker.fetch(b.Context(), nil, broker.readable(nil, req), nil, req)
		b.SetBytes(int64(resp.rows[0].size))
		resp.AppendSegments(nil)
		resp.Release()
	}
}

// BenchmarkIdleFetch is a request of a session of four partitions at their ends: all that it costs but the wait, which its
// ctx has ended.
func BenchmarkIdleFetch(b *testing.B) {
	broker, _ := benchBroker(b, 0)
	topic, err := broker.Changes.CreateTopic(b.Context(), metastore.NewTopic{Name: "idle", Partitions: 4})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	req := fetchRequest(topic, 0, 1, 2, 3)
	req.SetVersion(12)
	req.MinBytes, req.MaxWaitMillis, req.SessionEpoch = 1, 500, 0
	first := broker.fetch(ctx, nil, anyTopic, nil, req)
	if len(first.rows) != 4 || first.SessionID == 0 {
		b.Fatal(first.rows)
	}
	req.SessionID, req.Topics = first.SessionID, nil
	b.ReportAllocs()
	for b.Loop() {
		req.SessionEpoch++
		if resp := broker.fetch(ctx, nil, broker.readable(nil, req), nil, req); resp.ErrorCode != 0 || len(resp.rows) != 0 {
			b.Fatal(resp.ErrorCode, resp.rows)
		}
	}
}

// BenchmarkHandlers is a Produce that is refused at once, and a Fetch that finds nothing, through a server: what quotas cost,
// with none set, with one of another client, and with one that never throttles.
func BenchmarkHandlers(b *testing.B) {
	for _, quotas := range []string{"none", "others", "own"} {
		broker, topic := benchBroker(b, 0)
		replica := broker.Topics.(*metastore.Replica)
		broker.Quotas = quota.NewLimiter(func() *metastore.ConfigSet { return replica.ConfigsOf(metastore.ClientQuotas) }, quota.Options{})
		entity := quota.Entity{ClientID: quota.Named("other")}
		if quotas == "own" {
			entity = quota.Entity{ClientID: quota.Default}
		}
		if quotas != "none" {
			err := replica.AlterConfigs(b.Context(), []metastore.ConfigChange{{ConfigResource: metastore.ConfigResource{Kind: metastore.ClientQuotas, Name: entity.String()},
				Set: map[string]string{"producer_byte_rate": "1e15", "consumer_byte_rate": "1e15", "request_percentage": "1e9"}}})
			if err != nil {
				b.Fatal(err)
			}
		}
		srv, err := wire.NewServer(broker.Routes(), wire.Options{})
		if err != nil {
			b.Fatal(err)
		}
		ln := newPipes()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(context.Background(), ln, &wire.Endpoint{Name: "PLAINTEXT"}) }()
		client := newBareClient(ln.dial())
		produce := produceRequest(topic, 0, make([]byte, 1000))
		produce.SetVersion(11)
		fetch := fetchRequest(topic, 0)
		fetch.SetVersion(12)
		for name, req := range map[string]kmsg.Request{"produce": produce, "fetch": fetch} {
			b.Run(name+"_"+quotas, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := client.send(req); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		client.conn.Close()
		if err := srv.Shutdown(context.Background()); err != nil {
			b.Fatal(err)
		}
		<-served
	}
}
