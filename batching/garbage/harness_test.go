package garbage_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	"github.com/runnel-io/runnel/metastore/mark"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a cluster's stores, and one broker's copy of the log.
type rig struct {
	t       *testing.T
	meta    *metafault.Store
	objects *fault.Store
	stored  objstore.Store // without faults
	replica *metastore.Replica
	topic   metastore.TopicID
}

func newRig(t *testing.T) *rig { return newRigOn(t, memory.New()) }

func newRigOn(t *testing.T, objects objstore.Store) *rig {
	t.Helper()
	r := &rig{t: t, meta: metafault.Wrap(metamemory.New(metamemory.Options{})), stored: objects, objects: fault.Wrap(objects)}
	t.Cleanup(func() { r.must(r.meta.Close()) })
	r.replica = r.open()
	topic, err := r.replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "t", Partitions: 4, ReplicationFactor: 1})
	r.must(err)
	r.topic = topic.ID
	return r
}

// open is a broker that knows the log as it is now.
func (r *rig) open() *metastore.Replica {
	r.t.Helper()
	replica := metastore.NewReplica(r.meta, metastore.ReplicaOptions{RefreshPause: -1})
	r.must(replica.Open(r.t.Context()))
	return replica
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tp(partition int32) metastore.TopicPartition {
	return metastore.TopicPartition{Topic: r.topic, Partition: partition}
}

const objectBytes = 1000

// put uploads an object.
func (r *rig) put(key string) string {
	r.t.Helper()
	r.must(r.stored.Put(r.t.Context(), key, [][]byte{make([]byte, objectBytes)}))
	return key
}

func (r *rig) putSegment() metastore.SegmentID {
	r.t.Helper()
	id := metastore.NewSegmentID(time.Now())
	r.put(segment.Key(id))
	return id
}

// commitOf is that of a segment with a run in each partition.
func (r *rig) commitOf(id metastore.SegmentID, partitions ...int32) metastore.SegmentCommit {
	commit := metastore.SegmentCommit{ID: id, Size: objectBytes}
	for i, p := range partitions {
		commit.Runs = append(commit.Runs, metastore.RunCommit{TopicPartition: r.tp(p), Position: uint32(100 * i), Batches: []metastore.BatchCommit{
			{Length: 100, Records: 1, MaxTimestamp: time.Now().UnixMilli(), ProducerID: metastore.NoProducerID},
		}})
	}
	return commit
}

// write uploads and commits a segment, and returns its key.
func (r *rig) write(partitions ...int32) string {
	r.t.Helper()
	id := r.putSegment()
	_, err := r.replica.Commit(r.t.Context(), []metastore.SegmentCommit{r.commitOf(id, partitions...)})
	r.must(err)
	return segment.Key(id)
}

// forget lets all records of partitions go.
func (r *rig) forget(partitions ...int32) {
	r.t.Helper()
	for _, p := range partitions {
		_, err := r.replica.DeleteRecords(r.t.Context(), []metastore.RecordDeletion{{TopicPartition: r.tp(p), Before: metastore.HighWatermark}})
		r.must(err)
	}
}

// keys are all keys in the bucket.
func (r *rig) keys() (keys []string) {
	r.t.Helper()
	for o, err := range r.stored.List(r.t.Context(), "", "") {
		r.must(err)
		keys = append(keys, o.Key)
	}
	return keys
}

// expect compares the bucket with the keys that it should have.
func (r *rig) expect(when string, groups ...[]string) {
	r.t.Helper()
	want := slices.Sorted(slices.Values(slices.Concat(groups...)))
	if got := r.keys(); !slices.Equal(got, want) {
		gone := slices.DeleteFunc(slices.Clone(want), func(k string) bool { return slices.Contains(got, k) })
		left := slices.DeleteFunc(slices.Clone(got), func(k string) bool { return slices.Contains(want, k) })
		r.t.Errorf("%s: %d objects are there, want %d; %d are gone that should not be, such as %q; %d are left that should not be, such as %q",
			when, len(got), len(want), len(gone), gone[:min(3, len(gone))], len(left), left[:min(3, len(left))])
	}
}

// intact compares bucket and log: all that runs name is there.
func (r *rig) intact() {
	r.t.Helper()
	r.must(r.replica.CatchUp(r.t.Context()))
	there := make(map[string]bool)
	for _, key := range r.keys() {
		there[key] = true
	}
	r.replica.VisitSegments(func(u metastore.SegmentUse) bool {
		if !there[segment.Key(u.ID)] {
			r.t.Errorf("%s is named by %d runs, and gone", segment.Key(u.ID), u.Runs)
		}
		return true
	})
}

// collector makes one for a broker.
func (r *rig) collector(log garbage.Log, opts garbage.Options) *garbage.Collector {
	if opts.ClusterID == nil {
		opts.ClusterID = func() string { return cluster }
	}
	return garbage.New(r.objects, log, opts)
}

const cluster = "bmV2ZXIgYW55IG90aGVyIQ"

// others are objects that are no segments.
func (r *rig) others() []string {
	m := mark.Mark{Cluster: cluster, Position: metastore.Position{Seq: 5, Checksum: 6}}
	return []string{r.put(m.Key()), r.put("backup/t0/00/readme"), r.put("readme")}
}

// foreigners are objects that lie among segments and are none.
func (r *rig) foreigners() (keys []string) {
	id := metastore.NewSegmentID(time.Now().Add(-1000 * time.Hour))
	wrongShard := fmt.Sprintf("t0/%02x/%s", segment.Shard(id)^1, id)
	for _, key := range []string{"t0/readme", "t0/-/a", "t0/zz/a", "t0/00/a", "t0/ff/zzz", "t1/0", "t1/readme", "t1/00/" + id.String(), wrongShard} {
		keys = append(keys, r.put(key))
	}
	return keys
}

// run does what a lifecycle would for so long, and returns the first error.
func run(ctx context.Context, c *garbage.Collector, long time.Duration) error {
	return runEvery(ctx, c, long, 30*time.Second)
}

func runEvery(ctx context.Context, c *garbage.Collector, long, every time.Duration) error {
	for end := time.Now().Add(long); time.Now().Before(end); {
		more, err := c.Do(ctx)
		if err != nil {
			return err
		}
		pause := every
		if more {
			pause = 20 * time.Millisecond
		}
		time.Sleep(pause)
	}
	return nil
}

func counted(t *testing.T, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var has []string
			for _, l := range m.GetLabel() {
				has = append(has, l.GetName()+"="+l.GetValue())
			}
			if slices.Equal(has, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s%q", name, labels)
	return 0
}

// trace notes the deletions of a store.
type trace struct {
	mu      sync.Mutex
	deleted [][]string
	lists   int
}

func (r *rig) trace() *trace {
	tr := &trace{}
	r.objects.Before(func(_ context.Context, call fault.Call) error {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		switch call.Op {
		case fault.Delete:
			tr.deleted = append(tr.deleted, slices.Clone(call.Keys))
		case fault.List:
			tr.lists++
		}
		return nil
	})
	return tr
}

var errDown = errors.New("out of reach")

// failing is a bucket that cannot be listed.
type failing struct{ garbage.Objects }

func (failing) List(context.Context, string, string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) { yield(objstore.Object{}, errDown) }
}

func isSegment(key string) bool {
	return strings.HasPrefix(key, "t0/") || strings.HasPrefix(key, "t1/")
}
