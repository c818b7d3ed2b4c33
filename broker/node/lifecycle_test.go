package node

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/compaction"
	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/lifecycle"
	"github.com/runnel-io/runnel/batching/retention"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
)

// hasty lets a broker do within a second what takes hours.
func hasty() LifecycleOptions {
	return LifecycleOptions{
		Tasks:           lifecycle.Options{Lease: 600 * time.Millisecond, First: 10 * time.Millisecond, Backoff: 50 * time.Millisecond},
		CompactionEvery: 50 * time.Millisecond,
		Compaction:      compaction.Options{Delay: 100 * time.Millisecond, Wait: 200 * time.Millisecond},
		CleaningEvery:   50 * time.Millisecond,
		Cleaning:        cleaning.Options{SmallBytes: 1},
		RetentionEvery:  50 * time.Millisecond,
		GarbageEvery:    50 * time.Millisecond,
		Garbage:         garbage.Options{Grace: 300 * time.Millisecond},
	}
}

// unwritten is a configuration in which no object is written again.
var unwritten = map[string]string{"compaction.enable": "false", "cluster.log.cleaner.enable": "false"}

func startHasty(t *testing.T, stores *Stores, keys map[string]string) (n *Node, stop func()) {
	t.Helper()
	n, err := Open(t.Context(), Options{
		Config: testConfig(t, keys), Stores: stores, Version: "test", Lifecycle: hasty(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	stop = run(t, n)
	eventually(t, "ready", func() bool { return n.Ready() == "" })
	return n, stop
}

// segments are the objects of a bucket that are segments.
func segments(t *testing.T, stores *Stores) (keys []string) {
	t.Helper()
	for o, err := range stores.Objects.List(t.Context(), "t", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func send(t *testing.T, c *kgo.Client, topic string, n int) (last int64) {
	t.Helper()
	for i := range n {
		r, err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}).First()
		if err != nil {
			t.Fatal(err)
		}
		last = r.Offset
	}
	return last
}

// read reads a topic of one partition from its beginning up to an offset, and returns the offset of the first record.
func read(t *testing.T, n *Node, topic string, upTo int64) (first int64, values []string) {
	t.Helper()
	c := client(t, n, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	first = -1
	for {
		fetches := c.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			if first < 0 {
				first = r.Offset
			}
			values = append(values, string(r.Value))
			if r.Offset == upTo {
				return first, values
			}
		}
	}
}

func create(t *testing.T, n *Node, topic string, configs map[string]string) *kadm.Client {
	t.Helper()
	admin := kadm.NewClient(client(t, n))
	set := make(map[string]*string)
	for name, value := range configs {
		set[name] = &value
	}
	if _, err := admin.CreateTopic(t.Context(), 1, 1, set, topic); err != nil {
		t.Fatal(err)
	}
	return admin
}

func TestOldRecordsLeaveAndTheirObjectsAreDeleted(t *testing.T) {
	stores := memoryStores()
	n, _ := startHasty(t, stores, unwritten)
	create(t, n, "short", map[string]string{"retention.ms": "200"})
	create(t, n, "long", nil)
	c := client(t, n)
	old := send(t, c, "short", 5)
	send(t, c, "long", 1)
	kept := send(t, c, "long", 1)
	eventually(t, "only the objects of what is kept are left", func() bool { return len(segments(t, stores)) == 2 })
	newest := send(t, c, "short", 1)
	if newest != old+1 {
		t.Errorf("offset %d after %d", newest, old)
	}
	if first, _ := read(t, n, "long", kept); first != 0 {
		t.Errorf("the other topic begins at %d", first)
	}
}

func TestRetentionOfATopicActsWhenItIsAltered(t *testing.T) {
	stores := memoryStores()
	n, _ := startHasty(t, stores, unwritten)
	admin := create(t, n, "t", nil)
	c := client(t, n)
	last := send(t, c, "t", 6)
	set := kadm.AlterConfig{Name: "retention.bytes", Value: kadm.StringPtr("1")}
	if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{set}, "t"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one object is left, whose records are more than is to be kept", func() bool { return len(segments(t, stores)) == 1 })
	if first, _ := read(t, n, "t", last); first != last {
		t.Errorf("begins at %d", first)
	}
}

func TestRecordsThatAreDeletedFreeTheBucket(t *testing.T) {
	stores := memoryStores()
	n, _ := startHasty(t, stores, unwritten)
	admin := create(t, n, "t", nil)
	c := client(t, n)
	last := send(t, c, "t", 6)
	var before kadm.Offsets
	before.AddOffset("t", 0, last-1, -1)
	if _, err := admin.DeleteRecords(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the objects of what is left are", func() bool { return len(segments(t, stores)) == 2 })
	if first, _ := read(t, n, "t", last); first != last-1 {
		t.Errorf("begins at %d", first)
	}
}

func TestATopicIsMadeAgainAtOnceUnderItsName(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	n, _ := startHasty(t, stores, unwritten)
	admin := create(t, n, "t", nil)
	var old []string
	for round := range 5 {
		c := client(t, n) // which knows nothing of the topic before
		if last := send(t, c, "t", 10); last != 9 {
			t.Fatalf("round %d: offset %d", round, last)
		}
		if first, values := read(t, n, "t", 9); first != 0 || len(values) != 10 {
			t.Fatalf("round %d: %d records from %d on", round, len(values), first)
		}
		if round == 4 {
			break
		}
		old = append(old, segments(t, stores)...)
		if _, err := admin.DeleteTopic(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		create(t, n, "t", nil)
	}
	eventually(t, "the objects of the last incarnation are left", func() bool { return len(segments(t, stores)) == 10 })
	for _, key := range segments(t, stores) {
		if slices.Contains(old, key) {
			t.Errorf("%s is of an earlier incarnation", key)
		}
	}
	if first, values := read(t, n, "t", 9); first != 0 || len(values) != 10 {
		t.Errorf("%d records from %d on", len(values), first)
	}
}

func TestSmallObjectsBecomeLargeOnesAndReadTheSame(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	n, _ := startHasty(t, stores, nil)
	c := client(t, n)
	topics := []string{"a", "b", "c"}
	last := make(map[string]int64)
	for _, topic := range topics {
		create(t, n, topic, nil)
		last[topic] = send(t, c, topic, 30)
	}
	eventually(t, "few objects of tier 1 are left", func() bool {
		keys := segments(t, stores)
		return len(keys) > 0 && len(keys) < 9 && strings.HasPrefix(keys[0], "t1/")
	})
	for _, topic := range topics {
		first, values := read(t, n, topic, last[topic])
		if first != 0 || len(values) != 30 {
			t.Errorf("%s: %d records from %d on", topic, len(values), first)
		}
		for i, v := range values {
			if v != fmt.Sprint(i) {
				t.Errorf("%s: record %d is %q", topic, i, v)
			}
		}
	}
}

func TestACompactedTopicKeepsTheLastRecordOfEachKey(t *testing.T) {
	stores := memoryStores()
	n, _ := startHasty(t, stores, nil)
	create(t, n, "t", map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"})
	c := client(t, n)
	want := make(map[string]string)
	var last int64
	for i := range 60 {
		key, value := fmt.Sprint(i%7), fmt.Sprint(i)
		r, err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Key: []byte(key), Value: []byte(value)}).First()
		if err != nil {
			t.Fatal(err)
		}
		want[key], last = value, r.Offset
	}
	eventually(t, "a record of each key is left", func() bool {
		_, values := read(t, n, "t", last)
		return len(values) == len(want)
	})
	reader := client(t, n, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := make(map[string]string)
	for len(got) < len(want) {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got[string(r.Key)] = string(r.Value) })
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	eventually(t, "the objects of the others are gone", func() bool { return len(segments(t, stores)) <= 8 })
}

func (n *Node) holds(tasks ...string) bool {
	held := []string{}
	for _, h := range n.life.Held() {
		held = append(held, h.Name)
	}
	return slices.Equal(held, tasks)
}

func TestTasksMoveToTheBrokersThatAreLeft(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	a, stopA := startHasty(t, stores, unwritten)
	b, _ := startHasty(t, stores, unwritten)
	eventually(t, "each has its tasks", func() bool { return a.holds(retention.LeaseName, index.LeaseName) && b.holds(garbage.LeaseName) })
	var roles []string
	for _, r := range a.roles() {
		roles = append(roles, r.Name)
	}
	if !slices.Contains(roles, retention.LeaseName) {
		t.Errorf("the broker tells of its roles %q", roles)
	}
	create(t, b, "t", map[string]string{"retention.ms": "100"})
	stopA()
	eventually(t, "the other has all", func() bool { return b.holds(retention.LeaseName, garbage.LeaseName, index.LeaseName) })
	c := client(t, b)
	send(t, c, "t", 3)
	eventually(t, "it does them", func() bool { return len(segments(t, stores)) == 0 })
}

// A store that does not let anybody delete costs storage and nothing else.
func TestABrokerServesThoughNothingCanBeDeleted(t *testing.T) {
	stores := memoryStores()
	stores.Objects = &undeletable{stores.Objects}
	n, _ := startHasty(t, stores, unwritten)
	create(t, n, "t", map[string]string{"retention.ms": "1"})
	c := client(t, n)
	send(t, c, "t", 3)
	eventually(t, "it is told of", func() bool { return failing(t, n, garbage.LeaseName) > 1 })
	if last := send(t, c, "t", 1); last != 3 || n.Ready() != "" || len(segments(t, stores)) != 4 {
		t.Errorf("offset %d, ready %q, %d objects", last, n.Ready(), len(segments(t, stores)))
	}
}

// hungDeletes is a bucket that does not answer when objects are to be deleted.
type hungDeletes struct {
	ObjectStore
	asked chan struct{} // cap 1
}

func (h *hungDeletes) Delete(ctx context.Context, _ []string) error {
	select {
	case h.asked <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}

// hungReleases is a metastore that does not answer when leases are given back.
type hungReleases struct{ metastore.Store }

func (hungReleases) ReleaseLease(ctx context.Context, _ string, _ metastore.NodeID, _ int64) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestNodeStopsInTimeWhileATaskHangs(t *testing.T) {
	stores := memoryStores()
	hung := &hungDeletes{ObjectStore: stores.Objects, asked: make(chan struct{}, 1)}
	stores.Objects, stores.Metastore = hung, hungReleases{stores.Metastore}
	n, stop := startHasty(t, stores, map[string]string{"compaction.enable": "false", "drain.timeout": "3s"})
	create(t, n, "t", map[string]string{"retention.ms": "1"})
	send(t, client(t, n), "t", 3)
	<-hung.asked
	if took := timed(stop); took > 4*time.Second {
		t.Errorf("stopping took %v, of at most 3 s and one for leases", took)
	}
}

type undeletable struct{ ObjectStore }

func (*undeletable) Delete(context.Context, []string) error {
	return fmt.Errorf("access denied")
}

func failing(t *testing.T, n *Node, task string) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "runnel_lifecycle_failing" {
			continue
		}
		for _, m := range f.GetMetric() {
			if strings.Contains(m.String(), task) {
				return m.GetGauge().GetValue()
			}
		}
	}
	return 0
}
