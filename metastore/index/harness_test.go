package index

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/fault"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// rig is the stores of a cluster, and one broker's replica and Task.
type rig struct {
	t       *testing.T
	cluster string
	meta    *metamemory.Store
	objects *fault.Store
	replica *metastore.Replica
	task    *Task
	metrics *prometheus.Registry
	made    int
}

func newRig(t *testing.T, opts Options) *rig {
	t.Helper()
	r := &rig{t: t, meta: metamemory.New(metamemory.Options{}), objects: fault.Wrap(objmemory.New())}
	var err error
	r.cluster, err = r.meta.ClusterID(t.Context())
	r.must(err)
	r.replica = metastore.NewReplica(r.meta, metastore.ReplicaOptions{})
	r.must(r.replica.Open(t.Context()))
	r.restart(opts)
	return r
}

// restart makes another broker's Task on the same stores.
func (r *rig) restart(opts Options) {
	opts.Logger = slog.New(slog.NewTextHandler(r.t.Output(), nil))
	r.metrics = prometheus.NewRegistry()
	opts.Registerer = r.metrics
	r.task = NewTask(r.objects, r.meta, r.replica, opts)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) do() {
	r.t.Helper()
	more, err := r.task.Do(r.t.Context())
	r.must(err)
	if more {
		r.t.Error("there is more to do")
	}
}

// grow appends entries.
func (r *rig) grow(entries int) {
	r.t.Helper()
	for range entries {
		r.made++
		_, err := r.replica.CreateTopic(r.t.Context(), metastore.NewTopic{Name: fmt.Sprint("t", r.made), Partitions: 1, ReplicationFactor: 1})
		r.must(err)
	}
}

// commit sets offsets of a group: partitions as many of one topic.
func (r *rig) commit(group string, partitions int, offset metastore.Offset) []metastore.CommittedOffset {
	r.t.Helper()
	claimed, err := r.meta.ClaimGroup(r.t.Context(), group, 1)
	r.must(err)
	offsets := make([]metastore.CommittedOffset, partitions)
	for i := range offsets {
		offsets[i] = metastore.CommittedOffset{
			TopicPartition: metastore.TopicPartition{Topic: metastore.TopicID{7}, Partition: int32(i)}, TopicName: "orders", Offset: offset,
			LeaderEpoch: -1, Metadata: "m", CommittedAt: time.UnixMilli(1_790_000_000_000),
		}
	}
	r.must(r.meta.CommitOffsets(r.t.Context(), group, claimed.Epoch, offsets))
	return offsets
}

func (r *rig) list() []Found {
	r.t.Helper()
	found, err := List(r.t.Context(), r.objects, Folder)
	r.must(err)
	return found
}

// entries are those that the index objects in the bucket are of.
func (r *rig) entries() string {
	r.t.Helper()
	var seqs []metastore.Seq
	for _, f := range r.list() {
		seqs = append(seqs, f.Seq)
	}
	return fmt.Sprint(seqs)
}

// newest reads the newest index object.
func (r *rig) newest() *Object {
	r.t.Helper()
	f := r.list()[0]
	b, err := r.objects.Get(r.t.Context(), f.Key(), 0, f.Size)
	r.must(err)
	o, err := Decode(b)
	r.must(err)
	if o.Name.Key() != f.Key() || int64(len(b)) != f.Size {
		r.t.Errorf("%+v in %q", o.Name, f.Key())
	}
	return o
}

func groupsOf(t testing.TB, o *Object) (groups []metastore.GroupOffsets) {
	t.Helper()
	for g, err := range o.EachGroup() {
		if err != nil {
			t.Fatal(err)
		}
		if n := len(groups); n > 0 && groups[n-1].Group == g.Group {
			groups[n-1].Offsets = append(groups[n-1].Offsets, g.Offsets...)
			continue
		}
		groups = append(groups, g)
	}
	return groups
}

// metric is the value of the metric, of the outcome if it has any.
func (r *rig) metric(name, outcome string) float64 {
	r.t.Helper()
	families, err := r.metrics.Gather()
	r.must(err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if labels := m.GetLabel(); f.GetName() == name && (len(labels) == 0 || labels[0].GetValue() == outcome) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	r.t.Fatalf("no metric %s %s", name, outcome)
	return 0
}

// groupList is groups that need no metastore.
type groupList []metastore.GroupOffsets

func (l groupList) GroupAges(_ context.Context, from string, limit int) (ages []metastore.GroupAge, err error) {
	for _, g := range l {
		if g.Group >= from && len(ages) < limit {
			ages = append(ages, metastore.GroupAge{GroupID: g.Group, OldestCommit: time.UnixMilli(1)})
		}
	}
	return ages, nil
}

func (l groupList) FetchOffsets(_ context.Context, id string, _ []metastore.TopicPartition) ([]metastore.CommittedOffset, error) {
	for _, g := range l {
		if g.Group == id {
			return g.Offsets, nil
		}
	}
	return nil, nil
}

// build makes the bytes of an object.
func build(t testing.TB, cluster string, at time.Time, state metastore.Snapshot, groups groupList) (Name, []byte) {
	t.Helper()
	packed, err := packGroups(t.Context(), groups)
	if err != nil {
		t.Fatal(err)
	}
	name, object, err := assemble(cluster, at, state, packed)
	if err != nil {
		t.Fatal(err)
	}
	return name, bytes.Join(object, nil)
}
