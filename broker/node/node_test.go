package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/broker/config"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/fault"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testConfig is that of a broker in this process, with other keys as given.
func testConfig(t *testing.T, keys map[string]string) *config.Config {
	t.Helper()
	flags := map[string]string{
		"listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", "metastore.url": "memory://", "object_store.url": "memory://",
		"linger.max": "5ms", "linger.min": "0s", "drain.timeout": "5s",
	}
	set := []string{"group.initial.rebalance.delay.ms=0"}
	var listeners []string
	for key, value := range keys {
		if path, ok := strings.CutPrefix(key, "listeners."); ok {
			listeners = append(listeners, path+"="+value)
			delete(flags, "listen")
			continue
		}
		if name, ok := strings.CutPrefix(key, "cluster."); ok {
			set = append(set, name+"="+value)
			continue
		}
		flags[key] = value
	}
	slices.Sort(listeners) // the first by name is the first
	loaded, err := config.Load(config.Sources{Set: set, Flags: flags, Listener: listeners})
	if err != nil {
		t.Fatal(err)
	}
	return &loaded.Config
}

// start runs a node until the test ends, or until stop is called.
func start(t *testing.T, stores *Stores) (n *Node, stop func()) {
	t.Helper()
	return startWith(t, stores, nil)
}

func startWith(t *testing.T, stores *Stores, keys map[string]string) (n *Node, stop func()) {
	t.Helper()
	n, err := Open(t.Context(), Options{
		Config: testConfig(t, keys), Stores: stores, Version: "test",
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, run(t, n)
}

func memoryStores() *Stores {
	return &Stores{Metastore: metamemory.New(metamemory.Options{}), Objects: objmemory.New()}
}

// eventually waits for a condition that real goroutines bring about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

func client(t *testing.T, n *Node, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(n.Addr().String()), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTwoNodesServeOneClusterAndSurviveTheFirst(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	a, stopA := start(t, stores)
	b, _ := start(t, stores)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	eventually(t, "both nodes ready and in view", func() bool {
		return a.Ready() == "" && b.Ready() == "" && len(a.members.Live()) == 2 && len(b.members.Live()) == 2
	})
	admin := kadm.NewClient(client(t, a))
	if _, err := admin.CreateTopic(ctx, 4, 3, nil, "t"); err != nil {
		t.Fatal(err)
	}
	producer := client(t, b, kgo.DefaultProduceTopic("t"))
	consumer := client(t, b, kgo.ConsumeTopics("t"), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	produce := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := producer.ProduceSync(ctx, kgo.KeyStringRecord(fmt.Sprint(i%7), fmt.Sprint(i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := make(map[string]int)
	consume := func(total int) {
		t.Helper()
		for len(seen) < total {
			fetches := consumer.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatalf("after %d records: %v", len(seen), err)
			}
			fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
		}
	}
	produce(0, 100)
	consume(100)
	stopA()
	produce(100, 200)
	consume(200)
	for v, n := range seen {
		if n != 1 {
			t.Errorf("record %s was seen %d times", v, n)
		}
	}
}

func TestNodeSaysWhyItIsNotReadyAndJoinsWhenTheStoreIsBack(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	broken := &brokenCheck{Store: fault.Wrap(stores.Objects)}
	stores.Objects = broken
	broken.set(errors.New("bucket is on fire"))
	counted := &countedSnapshots{Store: stores.Metastore}
	stores.Metastore = counted
	n, _ := start(t, stores)
	ready := func() (int, string) {
		res, err := http.Get("http://" + n.AdminAddr().String() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	defer http.DefaultClient.CloseIdleConnections()
	eventually(t, "the reason stands at /readyz", func() bool {
		status, body := ready()
		return status == http.StatusServiceUnavailable && strings.Contains(body, "object store: bucket is on fire")
	})
	if live, err := stores.Metastore.LiveBrokers(t.Context()); err != nil || len(live) != 0 {
		t.Errorf("the others send clients to a broker that does not serve yet: %v, %v", live, err)
	}
	before := counted.reads.Load()
	eventually(t, "the bucket is tried again", func() bool { return broken.checked() >= 3 })
	if again := counted.reads.Load() - before; again > 0 {
		t.Errorf("the snapshot, which may be large, was read %d times more", again)
	}
	broken.set(nil)
	eventually(t, "ready", func() bool {
		status, _ := ready()
		return status == http.StatusOK
	})
}

func TestMetricsDocIsCurrent(t *testing.T) {
	// Some exist only where there is a peer port, or an audit log.
	n, _ := startWith(t, memoryStores(), map[string]string{
		"peer.listen": "127.0.0.1:0", "peer.secret": "a secret of the tests alone", "audit.to": "topic:audit",
	})
	want := metricsDoc(n.registry)
	const path = "../../docs/metrics.md"
	if os.Getenv("RUNNEL_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale: run make generate", path)
	}
}
