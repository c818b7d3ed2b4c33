package index

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// LeaseName is the role under which one broker writes index objects for all.
const LeaseName = "index"

// Objects is the bucket; an objstore.Store is one.
type Objects interface {
	Put(ctx context.Context, key string, parts [][]byte) error
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error]
	Delete(ctx context.Context, keys []string) error
}

// Metastore is what the task reads beside the folded state; a metastore.Store is one.
type Metastore interface {
	Groups
	ClusterID(ctx context.Context) (string, error)
	Clock(ctx context.Context) (time.Time, error)
	Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error)
}

// Folded is a broker's copy of the log's state; metastore.Replica is one.
type Folded interface {
	Position() metastore.Position
	// Health is nil while the log can be followed.
	Health() error
	// Encoded is the state as it is.
	Encoded() metastore.Snapshot
}

// Options tunes a Task. The zero value is the default.
type Options struct {
	// Interval is the least time between two index objects. Default 10 minutes.
	Interval time.Duration
	// Keep is how many are kept. Default 3.
	Keep int

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

// Task writes index objects, one at each call of Do if there is anything new, and deletes old ones.
//
// Nothing goes wrong if two brokers do so at a time: names are never used twice, and an object is deleted only if there are
// as many newer ones as are to be kept, each of which says more.
//
// The name of an index object is a mark, too, that a broker had folded the log up to a position (see metastore/mark): one
// that the log does not hold says that the metastore went back in time. Then nothing is written or deleted.
type Task struct {
	objects Objects
	meta    Metastore
	folded  Folded
	opts    Options
	metrics *metrics

	groups *[sha256.Size]byte // what the groups had when this broker last looked; nil: it did not
}

// NewTask makes a Task.
func NewTask(objects Objects, meta Metastore, folded Folded, opts Options) *Task {
	opts.Interval = cmp.Or(opts.Interval, 10*time.Minute)
	opts.Keep = cmp.Or(opts.Keep, 3)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Task{objects: objects, meta: meta, folded: folded, opts: opts, metrics: newMetrics(opts.Registerer)}
}

// Every is how long after one call of Do the next is due.
func (t *Task) Every() time.Duration { return t.opts.Interval }

// Do writes an index object if the log, or an offset of a group, moved since the newest. There is never more to do at once.
func (t *Task) Do(ctx context.Context) (more bool, err error) {
	if err = t.do(ctx); err != nil && ctx.Err() == nil {
		t.metrics.written.WithLabelValues("failed").Inc()
	}
	return false, err
}

func (t *Task) do(ctx context.Context) error {
	if err := t.folded.Health(); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	cluster, err := t.meta.ClusterID(ctx)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	there, err := List(ctx, t.objects, Prefix(cluster))
	if err != nil {
		return err
	}
	if err := t.compare(ctx, there); err != nil {
		return err
	}
	fresh, err := t.write(ctx, cluster, there)
	if err != nil {
		return err
	}
	if fresh != nil {
		there = insert(there, *fresh)
	}
	if len(there) > 0 {
		t.metrics.newest(&there[0])
	}
	return t.prune(ctx, there)
}

// compare returns an error if the log does not hold the positions of the index objects that are there.
func (t *Task) compare(ctx context.Context, there []Found) error {
	for i := range there[:min(len(there), t.opts.Keep+1)] {
		_, err := t.meta.Read(ctx, there[i].Position, 1)
		switch {
		case errors.Is(err, metastore.ErrRegressed):
			return fmt.Errorf("the metastore went back in time: %s in the bucket is of entry %d with checksum %016x: %w",
				there[i].Key(), there[i].Seq, there[i].Checksum, err)
		case err != nil && !errors.Is(err, metastore.ErrTrimmed):
			return fmt.Errorf("compare the commit log with the index: %w", err)
		}
	}
	return nil
}

// write makes an index object, nil if that would say nothing new.
func (t *Task) write(ctx context.Context, cluster string, there []Found) (*Found, error) {
	if t.folded.Position().Seq == 0 {
		return nil, nil
	}
	groups, err := packGroups(ctx, t.meta)
	if err != nil {
		return nil, err
	}
	if len(there) > 0 && there[0].Position == t.folded.Position() && t.groups != nil && *t.groups == groups.sum {
		return nil, nil
	}
	at, err := t.meta.Clock(ctx)
	if err != nil {
		return nil, fmt.Errorf("write index: %w", err)
	}
	name, object, err := assemble(cluster, at, t.folded.Encoded(), groups)
	if err != nil {
		return nil, fmt.Errorf("write index: %w", err)
	}
	if err := t.objects.Put(ctx, name.Key(), object); err != nil && !errors.Is(err, objstore.ErrExists) { // one that exists says the same
		return nil, fmt.Errorf("write index: %w", err)
	}
	t.groups = &groups.sum
	t.metrics.written.WithLabelValues("ok").Inc()
	fresh := &Found{Name: name, Size: size(object)}
	t.opts.Logger.Info("index written", "key", name.Key(), "seq", int64(name.Seq), "bytes", fresh.Size)
	return fresh, nil
}

// prune deletes all but the newest. The first of them may be the last that a broker writes that lost the lease and does not
// know it yet: it is no older than what it deletes.
func (t *Task) prune(ctx context.Context, there []Found) error {
	if len(there) <= t.opts.Keep {
		return nil
	}
	keys := make([]string, 0, len(there)-t.opts.Keep)
	for _, f := range there[t.opts.Keep:] {
		keys = append(keys, f.Key())
	}
	if err := t.objects.Delete(ctx, keys); err != nil {
		return fmt.Errorf("delete old index objects: %w", err)
	}
	t.metrics.deleted.Add(float64(len(keys)))
	return nil
}
