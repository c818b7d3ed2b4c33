package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/cache"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// recordHarness is a harness with a write and a read path on a store in memory.
type recordHarness struct {
	*harness
	objects    *gate
	producer   *wire.Conn // of produce
	membership *cluster.Membership
}

// gate is a store whose PUTs wait while it is shut, and whose GETs are counted.
type gate struct {
	objstore.Store
	mu   sync.Mutex
	open chan struct{} // nil: it is
	gets atomic.Int64
	// waiting receives when a PUT waits, if somebody listens or will.
	waiting chan struct{}
}

func (g *gate) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	g.gets.Add(1)
	return g.Store.Get(ctx, key, offset, length)
}

func (g *gate) Put(ctx context.Context, key string, parts [][]byte) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if open != nil {
		select {
		case g.waiting <- struct{}{}:
		default:
		}
		select {
		case <-open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g.Store.Put(ctx, key, parts)
}

// shut stops PUTs until the function that it returns is called.
func (g *gate) shut() (reopen func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	open := make(chan struct{})
	g.open = open
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.open = nil
		close(open)
	}
}

// newRecordBroker makes a broker whose handlers can be called, without a server.
func newRecordBroker(t *testing.T, overrides map[string]string) *recordHarness {
	t.Helper()
	store := memory.New(memory.Options{})
	t.Cleanup(func() { _ = store.Close() })
	return newRecordBrokerOn(t, overrides, store, objmemory.New(), 0)
}

// newRecordBrokerOn makes one of the brokers that share stores.
func newRecordBrokerOn(t *testing.T, overrides map[string]string, store *memory.Store, objects objstore.Store, id metastore.NodeID) *recordHarness {
	t.Helper()
	h := &recordHarness{harness: &harness{t: t, store: store}, producer: new(wire.Conn),
		objects: &gate{Store: objects, waiting: make(chan struct{}, 1)}}
	h.replica = metastore.NewReplica(h.store, metastore.ReplicaOptions{RefreshPause: -1})
	must(t, h.replica.Open(t.Context()))
	defaults, err := settings.NewCluster(overrides)
	must(t, err)
	self := metastore.Broker{NodeID: id, Host: fmt.Sprint("broker", id), Port: 9092}
	h.membership = cluster.New(h.store, self, cluster.Options{Lease: time.Minute, Beat: 8 * time.Millisecond})
	must(t, h.membership.Join(t.Context()))
	w := batching.New(h.objects, h.replica, batching.Options{MinLinger: -1, MaxLinger: time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	deps := h.deps(defaults, h.membership)
	deps.Partitions, deps.Writer = h.replica, w
	blocks, err := cache.New(h.objects, cache.Options{})
	must(t, err)
	ahead := readahead.New(h.objects, readahead.Options{})
	t.Cleanup(func() {
		must(t, blocks.Close())
		must(t, ahead.Close())
	})
	deps.Reader = reader.New(h.replica, blocks, ahead, w.Recent(), reader.Options{})
	h.broker = New(deps)
	return h
}

// newRecordHarness is newRecordBroker behind a socket.
func newRecordHarness(t *testing.T, overrides map[string]string) *recordHarness {
	t.Helper()
	h := newRecordBroker(t, overrides)
	h.serve()
	return h
}

func (h *recordHarness) topicWith(name string, partitions int32, configs map[string]string) *metastore.Topic {
	h.t.Helper()
	created, err := h.replica.CreateTopic(h.t.Context(), metastore.NewTopic{Name: name, Partitions: partitions, ReplicationFactor: 1, Configs: configs})
	must(h.t, err)
	return created
}

// records are n of a producer that is not idempotent, with timestamps from `at` on, 10 ms apart.
func testRecords(n int, at int64) []recordbatch.Record {
	records := make([]recordbatch.Record, n)
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: at + int64(10*i), Key: []byte("key"), Value: []byte("value")}
	}
	return records
}

func testBatch(n int) []byte {
	return recordbatchtest.Encode(testRecords(n, 1_000_000), recordbatchtest.Options{}.NotIdempotent())
}

// produceRequest is for one partition of a topic, acks=all.
func produceRequest(topic *metastore.Topic, partition int32, batch []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic.Name, topic.ID
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// produce writes a batch and returns its base offset.
func (h *recordHarness) produce(topic *metastore.Topic, partition int32, batch []byte) int64 {
	h.t.Helper()
	req := produceRequest(topic, partition, batch)
	req.SetVersion(13)
	resp := h.broker.produce(h.t.Context(), h.producer, req)(h.t.Context()).(*kmsg.ProduceResponse)
	row := resp.Topics[0].Partitions[0]
	if row.ErrorCode != 0 {
		h.t.Fatalf("produce: error %d: %s", row.ErrorCode, *row.ErrorMessage)
	}
	return row.BaseOffset
}
