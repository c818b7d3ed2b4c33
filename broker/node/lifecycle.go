package node

import (
	"cmp"
	"time"

	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/lifecycle"
	"github.com/runnel-io/runnel/batching/retention"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/metered"
)

// LifecycleOptions tunes the tasks that look after stored data, for simulations, which are short. What is zero is as the
// configuration says, or else the task's default.
type LifecycleOptions struct {
	Tasks lifecycle.Options // leases and pauses

	RetentionEvery time.Duration
	Retention      retention.Options
	GarbageEvery   time.Duration // default 30 s
	Garbage        garbage.Options
}

// The names of tasks are those of their leases. Their order is the same on all brokers of a cluster, which share them out
// by it: new ones come last.
func (n *Node) assembleLifecycle(objects *metered.Store) *lifecycle.Lifecycle {
	opts := n.opts.Lifecycle.Tasks
	opts.Logger, opts.Registerer = n.part("lifecycle"), n.registry
	return lifecycle.New(n.opts.Stores.Metastore, n.members, []lifecycle.Task{
		n.retentionTask(), n.garbageTask(objects),
	}, opts)
}

func (n *Node) retentionTask() lifecycle.Task {
	opts := n.opts.Lifecycle.Retention
	opts.Now, opts.Logger, opts.Registerer = n.members.Now, n.part("retention"), n.registry
	every := cmp.Or(n.opts.Lifecycle.RetentionEvery, n.opts.Config.Cluster.RetentionCheckInterval)
	policy := func(t *metastore.Topic) retention.Policy {
		s := n.settings.Load().Topic(t.Configs)
		return retention.Policy{Delete: s.Deleted, Ms: s.RetentionMs, Bytes: s.RetentionBytes}
	}
	return lifecycle.Task{Name: retention.LeaseName, Every: always(every), Do: retention.New(n.replica, policy, opts).Do}
}

func (n *Node) garbageTask(objects *metered.Store) lifecycle.Task {
	opts, c := n.opts.Lifecycle.Garbage, &n.opts.Config.Garbage
	opts.Grace, opts.SweepEvery = cmp.Or(opts.Grace, c.Grace), cmp.Or(opts.SweepEvery, orNone(c.Sweep))
	opts.DryRun, opts.Now, opts.ClusterID = c.DryRun, n.members.Now, n.members.ClusterID
	opts.Logger, opts.Registerer = n.part("garbage"), n.registry
	every := cmp.Or(n.opts.Lifecycle.GarbageEvery, 30*time.Second)
	return lifecycle.Task{Name: garbage.LeaseName, Every: always(every), Do: garbage.New(objects, n.replica, opts).Do}
}

func always(every time.Duration) func() time.Duration { return func() time.Duration { return every } }
