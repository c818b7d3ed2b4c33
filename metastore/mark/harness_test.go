package mark_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/mark"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/fault"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// rig is the stores of a cluster and one broker's replica and Keeper, in virtual time.
type rig struct {
	t       *testing.T
	cluster string
	meta    *metamemory.Store
	objects *fault.Store
	replica *metastore.Replica
	keeper  *mark.Keeper
	metrics *prometheus.Registry
	began   time.Time
	made    int

	mu    sync.Mutex
	calls []string // of the bucket, with the seconds since the rig began
}

func newRig(t *testing.T, opts mark.Options) *rig {
	t.Helper()
	return newRigOn(t, metamemory.New(metamemory.Options{}), objmemory.New(), opts)
}

func newRigOn(t *testing.T, meta *metamemory.Store, objects *objmemory.Store, opts mark.Options) *rig {
	t.Helper()
	r := &rig{t: t, meta: meta, objects: fault.Wrap(objects), metrics: prometheus.NewRegistry(), began: time.Now()}
	var err error
	r.cluster, err = meta.ClusterID(t.Context())
	r.must(err)
	r.replica = metastore.NewReplica(meta, metastore.ReplicaOptions{})
	r.must(r.replica.Open(t.Context()))
	opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	opts.Registerer = r.metrics
	r.keeper = mark.NewKeeper(r.objects, meta, r.replica, r, opts)
	r.objects.Before(func(_ context.Context, c fault.Call) error {
		r.note(c)
		return nil
	})
	return r
}

func (r *rig) note(c fault.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what := string(c.Op)
	if m, err := mark.Parse(c.Key); err == nil && c.Op == fault.Put {
		what = fmt.Sprintf("PUT %d", m.Seq)
	}
	if c.Op == fault.Delete {
		what = fmt.Sprintf("DELETE %d", len(c.Keys))
	}
	r.calls = append(r.calls, fmt.Sprintf("%ds %s", time.Since(r.began)/time.Second, what))
}

// wants compares the calls of the bucket since the last time with what they should be.
func (r *rig) wants(calls ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.calls, calls) {
		r.t.Errorf("calls\n\t%s\nwant\n\t%s", strings.Join(r.calls, "\n\t"), strings.Join(calls, "\n\t"))
	}
	r.calls = nil
}

// forget drops a call from those that were made, if it was.
func (r *rig) forget(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = slices.DeleteFunc(r.calls, func(c string) bool { return c == call })
}

// ClusterID and Self are what a member knows.
func (r *rig) ClusterID() string      { return r.cluster }
func (r *rig) Self() metastore.Broker { return metastore.Broker{NodeID: 7} }

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
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

// run runs the keeper until stop, or until the test ends.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.keeper.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(stop)
	return stop
}

// sleep lets virtual time pass, to between two ticks, and waits until all is done that is due.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// put leaves a mark as another broker does.
func (r *rig) put(m mark.Mark) {
	r.t.Helper()
	r.must(r.objects.Put(r.t.Context(), m.Key(), nil))
}

func (r *rig) mark(at metastore.Position, node metastore.NodeID) mark.Mark {
	return mark.Mark{Cluster: r.cluster, Position: at, Node: node}
}

// marks are those in the bucket, the newest first, as "entry/node".
func (r *rig) marks() []string {
	r.t.Helper()
	var found []string
	for o, err := range r.objects.List(r.t.Context(), mark.Prefix(r.cluster), "") {
		r.must(err)
		m, err := mark.Parse(o.Key)
		r.must(err)
		found = append(found, fmt.Sprintf("%d/%d", m.Seq, m.Node))
	}
	return found
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
