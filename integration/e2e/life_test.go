package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/compaction"
	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/lifecycle"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/metastore"
)

// hastyBroker runs a broker in this process that does within seconds what takes hours. It returns its address.
func hastyBroker(t *testing.T, s harness.Stores, tweaks ...func(*node.LifecycleOptions)) (address string, stop func()) {
	t.Helper()
	loaded, err := config.Load(config.Sources{Flags: map[string]string{
		"listen": "127.0.0.1:0", "admin.listen": "", "drain.timeout": "5s",
		"metastore.url": s.Metastore, "object_store.url": s.ObjectStore, "object_store.endpoint": s.Endpoint,
		"object_store.region": servers.Region, "object_store.access_key": s.AccessKey, "object_store.secret_key": s.SecretKey,
		"peer.listen": "127.0.0.1:0", "peer.secret": "of these brokers alone",
	}})
	if err != nil {
		t.Fatal(err)
	}
	stores, err := node.OpenStores(t.Context(), &loaded.Config)
	if err != nil {
		t.Fatal(err)
	}
	life := node.LifecycleOptions{
		Tasks:           lifecycle.Options{Lease: 2 * time.Second, First: 100 * time.Millisecond, Backoff: 100 * time.Millisecond},
		CompactionEvery: 200 * time.Millisecond,
		Compaction:      compaction.Options{Delay: 500 * time.Millisecond, Wait: time.Second, DueBytes: 1 << 20},
		CleaningEvery:   200 * time.Millisecond,
		Cleaning:        cleaning.Options{SmallBytes: 1},
		RetentionEvery:  200 * time.Millisecond,
		GarbageEvery:    200 * time.Millisecond,
		Garbage:         garbage.Options{Grace: 3 * time.Second, Settle: time.Second, SweepEvery: 2 * time.Second, Margin: time.Second},
		IndexEvery:      500 * time.Millisecond,
	}
	for _, tweak := range tweaks {
		tweak(&life)
	}
	n, err := node.Open(t.Context(), node.Options{
		Config: &loaded.Config, Stores: stores, Version: "test", Lifecycle: life,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("broker: %v", err)
			}
		case <-harness.Soon(t).Done():
			t.Errorf("the broker does not end\n%s", harness.Goroutines())
			return
		}
		if err := stores.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	eventually(t, "the broker is ready", time.Minute, func() bool { return n.Ready() == "" })
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(n.Addr().(*net.TCPAddr).Port)), stop
}

// wholeTopic reads a topic from its beginning up to an offset in each partition.
func wholeTopic(t *testing.T, topic string, last map[int32]int64, seeds ...string) (records []*kgo.Record) {
	t.Helper()
	c, err := harness.Client(t, kgo.SeedBrokers(seeds...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	met := make(map[int32]bool)
	for len(met) < len(last) {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s, %d records: %v", topic, len(records), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			if r.Offset >= last[r.Partition] {
				met[r.Partition] = true
			}
		})
	}
	return records
}

// TestTheLifeOfDataOnRealServers: while records come and are read, they are rewritten, compacted, let go and deleted, on
// PostgreSQL and S3, and one of the two brokers stops in the middle.
func TestTheLifeOfDataOnRealServers(t *testing.T) {
	t.Parallel()
	stores := harness.NewStores(t)
	a, stopA := hastyBroker(t, stores)
	b, _ := hastyBroker(t, stores)
	both := kgo.SeedBrokers(a, b)
	client := admin(t, both)
	const partitions = 3
	for topic, configs := range map[string]map[string]string{
		"kept": nil, "short": {"retention.ms": "1000"}, "compacted": {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"},
	} {
		set := make(map[string]*string)
		for name, value := range configs {
			set[name] = kadm.StringPtr(value)
		}
		if _, err := client.CreateTopic(harness.Soon(t), partitions, 1, set, topic); err != nil {
			t.Fatal(err)
		}
	}
	bucket, name, prefix := stores.Bucket()
	hands := bucketHands{t, bucket, name, prefix}
	var orphans []string
	for _, id := range []metastore.SegmentID{
		metastore.NewSegmentID(time.Now().Add(-time.Hour)), metastore.NewRewrittenID(time.Now().Add(-2 * time.Hour)),
	} {
		orphans = append(orphans, segment.Key(id))
		hands.put(segment.Key(id), []byte("nobody names it"))
	}
	young := segment.Key(metastore.NewSegmentID(time.Now().Add(time.Minute)))
	hands.put(young, []byte("it may be committed yet"))
	hands.put("t0/notes", []byte("of somebody"))

	producer, err := harness.Client(t, both, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	last := map[string]map[int32]int64{"kept": {}, "short": {}, "compacted": {}}
	latest := make(map[string]string) // of the compacted topic, by key
	const rounds, each = 60, 20
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for round := range rounds {
		var mu sync.Mutex
		var acks kgo.FirstErrPromise
		ctx := harness.Soon(t)
		for i := range each {
			for topic := range last {
				key, value := fmt.Sprint(i), fmt.Sprint(round)
				if topic == "compacted" {
					latest[key] = value
				}
				finish := acks.Promise()
				producer.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}, func(r *kgo.Record, err error) {
					mu.Lock()
					last[topic][r.Partition] = max(last[topic][r.Partition], r.Offset)
					mu.Unlock()
					finish(r, err)
				})
			}
		}
		if err := acks.Err(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if round == rounds/2 {
			stopA()
		}
		<-pace.C
	}

	left := func(topic string, want int) {
		t.Helper()
		records := wholeTopic(t, topic, last[topic], b)
		if len(records) != want {
			t.Errorf("%s: %d records are left, want %d", topic, len(records), want)
		}
		next := make(map[string]int)
		for _, r := range records {
			key := string(r.Key)
			if topic == "compacted" && latest[key] != string(r.Value) || topic == "kept" && fmt.Sprint(next[key]) != string(r.Value) {
				t.Errorf("%s: key %s at offset %d has value %s, want %s or %d", topic, key, r.Offset, r.Value, latest[key], next[key])
			}
			next[key]++
		}
	}
	eventually(t, "few objects are left, and the orphans are gone", time.Minute, func() bool {
		objects, segments := stores.Objects(t), 0
		for key := range objects {
			if strings.HasPrefix(key, "t1/") {
				segments++
			}
			if strings.HasPrefix(key, "t0/") && key != young && key != "t0/notes" {
				return false
			}
		}
		return segments > 0 && segments < 30
	})
	eventually(t, "a record of each key is left", time.Minute, func() bool {
		return len(wholeTopic(t, "compacted", last["compacted"], b)) == each
	})
	left("compacted", each)
	left("kept", rounds*each)
	eventually(t, "all that is old has left", time.Minute, func() bool {
		starts, err := client.ListStartOffsets(harness.Soon(t), "short")
		if err != nil {
			t.Fatal(err)
		}
		gone := true
		starts.Each(func(o kadm.ListedOffset) { gone = gone && o.Offset == last["short"][o.Partition]+1 })
		return gone
	})
	if r, code := fsck(t, stores, "--deep"); code != 0 || r.Errors != 0 {
		t.Errorf("fsck ends with %d: %+v", code, r.Findings)
	}
	objects := stores.Objects(t)
	for _, key := range orphans {
		if _, there := objects[key]; there {
			t.Errorf("%s is still there", key)
		}
	}
	for _, key := range []string{young, "t0/notes"} {
		if _, there := objects[key]; !there {
			t.Errorf("%s is gone", key)
		}
	}
}
