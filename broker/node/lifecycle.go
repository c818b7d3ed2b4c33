package node

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/compaction"
	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/lifecycle"
	"github.com/runnel-io/runnel/batching/retention"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
	"github.com/runnel-io/runnel/objstore/metered"
)

// LifecycleOptions tunes the tasks that look after stored data, for simulations, which are short. What is zero is as the
// configuration says, or else the task's default.
type LifecycleOptions struct {
	Tasks   lifecycle.Options // leases and pauses
	Rewrite rewrite.Options   // of compaction and cleaning

	CompactionEvery time.Duration // default 20 s
	Compaction      compaction.Options
	CleaningEvery   time.Duration
	Cleaning        cleaning.Options
	RetentionEvery  time.Duration
	Retention       retention.Options
	GarbageEvery    time.Duration // default 30 s
	Garbage         garbage.Options
	IndexEvery      time.Duration

	UnindexedBytes int // of runs of tier 1 in which reads look for a place without the index; see reader.Options
}

// Names of the tasks that have none of their own; see assembleLifecycle.
const (
	compactionName = "compaction"
	cleaningName   = "cleaning"
)

// assembleLifecycle puts together the tasks that look after stored data. Their names are those of their leases. Their order is
// the same on all brokers of a cluster, which share them out by it.
func (n *Node) assembleLifecycle(objects *metered.Store) (*lifecycle.Lifecycle, error) {
	opts := n.opts.Lifecycle.Rewrite
	memory := n.opts.Config.Compaction.Memory
	opts.ReadBytes = cmp.Or(opts.ReadBytes, memory/3)
	opts.ObjectBytes = cmp.Or(opts.ObjectBytes, min(memory/3, mostObject))
	opts.Pace, opts.Now, opts.Logger, opts.Registerer = n.pace, n.members.Now, n.part("rewrite"), n.registry
	engine, err := rewrite.New(objects, n.replica, opts)
	if err != nil {
		return nil, fmt.Errorf("rewrite objects: %w", err)
	}
	compact, err := n.compactionTask(engine)
	if err != nil {
		return nil, fmt.Errorf("compaction: %w", err)
	}
	clean, err := n.cleaningTask(engine)
	if err != nil {
		return nil, fmt.Errorf("log compaction: %w", err)
	}
	running := n.opts.Lifecycle.Tasks
	running.Logger, running.Registerer = n.part("lifecycle"), n.registry
	tasks := []lifecycle.Task{compact, clean, n.retentionTask(), n.garbageTask(objects), n.indexTask(objects)}
	return lifecycle.New(n.opts.Stores.Metastore, n.members, tasks, running), nil
}

// taskMemory is what the tasks may take that this broker has.
func (n *Node) taskMemory() (bytes int64) {
	for _, task := range n.life.Held() {
		switch task.Name {
		case compactionName:
			bytes += n.opts.Config.Compaction.Memory
		case cleaningName:
			bytes += n.opts.Config.Compaction.Memory + n.settings.Load().CleanerDedupeBuffer
		}
	}
	return bytes
}

// mostObject is the size of an object of tier 1.
const mostObject = 64 << 20

// pace lets rewriting go as fast as reads of old records: not at the cost of those at the tail, be they read or written. When
// more is written than is rewritten, it has to go faster: all of what it owes is still to be done, and read in small pieces.
func (n *Node) pace(ctx context.Context, bytes int64) error {
	if n.compactor.Behind() {
		return ctx.Err()
	}
	if n.writer.Busy() {
		n.blocks.ahead.Hurry()
	}
	return n.blocks.ahead.Pace(ctx, bytes)
}

func (n *Node) compactionTask(engine *rewrite.Engine) (lifecycle.Task, error) {
	opts, c := n.opts.Lifecycle.Compaction, &n.opts.Config.Compaction
	object := engine.Options().ObjectBytes
	opts.Delay = cmp.Or(opts.Delay, c.Delay)
	opts.Wait = cmp.Or(opts.Wait, 5*opts.Delay)
	opts.SmallRun = cmp.Or(opts.SmallRun, min(object/4, 16<<20))
	opts.MergeBytes = cmp.Or(opts.MergeBytes, object)
	opts.Now, opts.Logger, opts.Registerer = n.members.Now, n.part("compaction"), n.registry
	var err error
	n.compactor, err = compaction.New(n.replica, engine, opts)
	task := lifecycle.Task{Name: compactionName, Every: always(cmp.Or(n.opts.Lifecycle.CompactionEvery, 20*time.Second))}
	if c.Enabled && err == nil {
		task.Do = n.compactor.Do
	}
	return task, err
}

func (n *Node) cleaningTask(engine *rewrite.Engine) (lifecycle.Task, error) {
	opts, c := n.opts.Lifecycle.Cleaning, n.opts.Config.Cluster
	if opts.MapBytes == 0 {
		opts.MapBytesNow = func() int64 { return n.settings.Load().CleanerDedupeBuffer }
	}
	opts.Backoff = cmp.Or(opts.Backoff, min(max(c.CleanerBackoff, time.Second), time.Hour))
	opts.Now, opts.Logger, opts.Registerer = n.members.Now, n.part("cleaning"), n.registry
	cleaner, err := cleaning.New(n.replica, engine, n.cleaningPolicy, opts)
	task := lifecycle.Task{Name: cleaningName, Every: func() time.Duration {
		return cmp.Or(n.opts.Lifecycle.CleaningEvery, max(n.settings.Load().CleanerBackoff, time.Second))
	}}
	if c.CleanerEnabled && err == nil {
		task.Do = cleaner.Do
	}
	return task, err
}

func (n *Node) cleaningPolicy(t *metastore.Topic) cleaning.Policy {
	s := n.settings.Load().Topic(t.Configs)
	return cleaning.Policy{
		Compact: s.Compacted, MinCleanableDirtyRatio: s.MinCleanableRatio, MinCompactionLagMs: s.MinCompactionLagMs,
		MaxCompactionLagMs: s.MaxCompactionLagMs, DeleteRetentionMs: s.DeleteRetentionMs, SegmentMs: s.SegmentMs,
	}
}

func (n *Node) retentionTask() lifecycle.Task {
	opts := n.opts.Lifecycle.Retention
	opts.Now, opts.Logger, opts.Registerer = n.members.Now, n.part("retention"), n.registry
	every := cmp.Or(n.opts.Lifecycle.RetentionEvery, n.opts.Config.Cluster.RetentionCheckInterval)
	return lifecycle.Task{Name: retention.LeaseName, Every: always(every), Do: retention.New(n.replica, n.retentionPolicy, opts).Do}
}

func (n *Node) retentionPolicy(t *metastore.Topic) retention.Policy {
	s := n.settings.Load().Topic(t.Configs)
	return retention.Policy{Delete: s.Deleted, Ms: s.RetentionMs, Bytes: s.RetentionBytes}
}

func (n *Node) garbageTask(objects *metered.Store) lifecycle.Task {
	opts, c := n.opts.Lifecycle.Garbage, &n.opts.Config.Garbage
	opts.Grace, opts.SweepEvery = cmp.Or(opts.Grace, c.Grace), cmp.Or(opts.SweepEvery, orNone(c.Sweep))
	opts.DryRun, opts.Now, opts.ClusterID = c.DryRun, n.members.Now, n.members.ClusterID
	opts.Logger, opts.Registerer = n.part("garbage"), n.registry
	every := cmp.Or(n.opts.Lifecycle.GarbageEvery, 30*time.Second)
	collector := garbage.New(objects, n.replica, opts)
	return lifecycle.Task{Name: garbage.LeaseName, Every: always(every), Do: collector.Do, Look: collector.Look}
}

func (n *Node) indexTask(objects *metered.Store) lifecycle.Task {
	every := cmp.Or(n.opts.Lifecycle.IndexEvery, n.opts.Config.Index.Interval)
	copies := index.NewTask(objects, n.opts.Stores.Metastore, n.replica, index.Options{
		Interval: every, Logger: n.part("index"), Registerer: n.registry,
	})
	task := lifecycle.Task{Name: index.LeaseName, Every: copies.Every}
	if every > 0 {
		task.Do = copies.Do
	}
	return task
}

func always(every time.Duration) func() time.Duration { return func() time.Duration { return every } }
