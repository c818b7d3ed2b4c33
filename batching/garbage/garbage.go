// Package garbage deletes objects that nothing names any more, and those that nothing ever named.
//
// It is a task for batching/lifecycle. What an object is comes from the folded log alone, and no object is written twice or
// named again once it was let go; so a round may end at any line, and two brokers at once delete the same.
package garbage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// LeaseName is the task's among the metastore's leases.
const LeaseName = "garbage"

// Log is what tells what objects are; metastore.Replica is one.
type Log interface {
	Refresh(ctx context.Context) error
	Touch(ctx context.Context) error
	LogTime() time.Time
	Known(ids []metastore.SegmentID) []bool
	Garbage(limit int) []metastore.Garbage
	GarbageEnd() int64
	GarbageTotal() (objects int, bytes int64)
	Collected(ctx context.Context, through int64) error
	PutOff(ctx context.Context, through int64, kept []int64) error
}

// Objects is the bucket; an objstore.Store is one.
type Objects interface {
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error]
	Delete(ctx context.Context, keys []string) error
}

// Options tunes a Collector. The zero value is the default.
type Options struct {
	// Grace is how long garbage stays: longer than any fetch that planned with it goes on, than any broker is behind, and
	// than the metastore may be set back. Default 1 h.
	Grace time.Duration
	// SweepEvery is in what time the bucket is looked through once for orphans; negative: never. Default 24 h.
	SweepEvery time.Duration
	// Margin is how far the log's time must be past the moment from which on a segment is never committed, for its object to
	// be an orphan. Nothing relies on it. Default 10 minutes.
	Margin time.Duration
	// Settle is how long after New the first sweep begins: who went on with another metastore than the one that is right has
	// so long to notice. Default: as Grace, and an hour at most.
	Settle time.Duration
	// Rate is how many objects are deleted in a second at most; S3 takes 3,500 requests for each of the many parts that it
	// makes of a bucket. Default 500.
	Rate int
	// DryRun: what would be deleted is logged and counted as found, and stays.
	DryRun bool
	// Now is the time on which brokers agree (cluster.Membership.Now). Default time.Now.
	Now func() time.Time
	// Wall is this machine's clock, which the first look at garbage is checked against. Default time.Now.
	Wall func() time.Time
	// ClusterID is that of the metastore. Default: none, and no mark in the bucket is this cluster's.
	ClusterID func() string

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

const (
	mostKeys  = 1000 // in one request: what S3 takes
	leastKeys = 10   // when it fails
	pageKeys  = 1000 // that one look at the bucket takes: a page of a LIST

	deleteTimeout = time.Minute // a server without multi-object deletion is asked for each key
	listTimeout   = time.Minute
)

func (o Options) withDefaults() Options {
	o.Grace = cmp.Or(o.Grace, time.Hour)
	o.SweepEvery = cmp.Or(o.SweepEvery, 24*time.Hour)
	o.Margin = cmp.Or(o.Margin, 10*time.Minute)
	o.Settle = cmp.Or(o.Settle, min(o.Grace, time.Hour))
	o.Rate = cmp.Or(o.Rate, 500)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.ClusterID == nil {
		o.ClusterID = func() string { return "" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Collector deletes.
type Collector struct {
	objects Objects
	log     Log
	opts    Options
	metrics *metrics

	// Do's own
	batch int       // keys in the next request
	next  time.Time // no request before
	sweep sweep
	watch watch
	held  []int64 // numbers of garbage that was refused since some was last deleted
	told  bool    // that the store refuses
}

// New makes a Collector; Do makes it work.
func New(objects Objects, log Log, opts Options) *Collector {
	c := &Collector{objects: objects, log: log, opts: opts.withDefaults(), batch: mostKeys}
	c.sweep.next = time.Now().Add(c.opts.Settle)
	c.metrics = newMetrics(opts.Registerer, log, c.opts.Now)
	return c
}

// Look notes what garbage there is, so that its grace is counted should Do be called here later. Brokers that do not collect call it
// now and then, not while Do is.
func (c *Collector) Look() {
	c.watch.look(c.log.GarbageEnd(), time.Now(), c.opts.Now(), c.opts.Wall().Round(0), c.opts.Grace)
}

// Do deletes some garbage that has had its grace, and looks through a part of the bucket for orphans when that is due.
// more: there is more to do. It is called by one goroutine at a time.
func (c *Collector) Do(ctx context.Context) (more bool, err error) {
	if more, err = c.collect(ctx); err != nil {
		return false, fmt.Errorf("collect garbage: %w", err)
	}
	if c.opts.SweepEvery < 0 {
		return more, nil
	}
	behind, err := c.sweepOn(ctx)
	if err != nil {
		return false, fmt.Errorf("look for orphans: %w", err)
	}
	return more || behind, nil
}

// collect deletes a batch of the oldest garbage and then has the log forget it: if it ends in between, the next collector
// deletes again what is gone, which is no error. What the store refuses to delete goes to the end of the queue, so that nothing
// waits behind it, and is tried again when it has had another grace.
func (c *Collector) collect(ctx context.Context) (more bool, err error) {
	c.Look()
	asked := c.batch
	ripe := c.ripe(c.beyondHeld(c.log.Garbage(len(c.held)+asked), asked))
	if len(ripe) == 0 {
		return false, c.putOff(ctx)
	}
	// A metastore that went back in time may name again what is garbage here. This look is what notices.
	if err := c.log.Refresh(ctx); err != nil {
		return false, fmt.Errorf("look at the log before anything is deleted: %w", err)
	}
	doomed := make([]object, len(ripe))
	for i, g := range ripe {
		doomed[i] = object{segment.Key(g.ID), g.Size}
	}
	deleted, refused, err := c.delete(ctx, doomed, c.metrics.garbage)
	if !deleted || err != nil {
		return false, err
	}
	for _, g := range ripe {
		if refused[segment.Key(g.ID)] {
			c.held = append(c.held, g.Number)
		}
	}
	all := len(ripe) == asked
	if len(refused) == len(ripe) {
		if all && len(c.held) < mostHeld {
			return true, nil // what comes next tells whether these are locked or the whole bucket is
		}
		return false, c.putOff(ctx)
	}
	through, held := ripe[len(ripe)-1].Number, c.held
	if c.held = nil; len(held) == 0 {
		err = c.log.Collected(ctx, through)
	} else {
		err = c.log.PutOff(ctx, through, held)
	}
	if err != nil {
		return false, fmt.Errorf("tell the log what was deleted: %w", err)
	}
	return all, nil
}

// object is one that is to go.
type object struct {
	key  string
	size int64
}

// delete deletes the objects, not faster than the rate allows, and tells whether it did, not in a dry run, and the keys of those that
// the store refuses to delete. A store that fails is asked for less at a time; the pause that follows is the caller's.
func (c *Collector) delete(ctx context.Context, doomed []object, count deletions) (deleted bool, refused map[string]bool, err error) {
	keys, bytes := make([]string, len(doomed)), int64(0)
	for i := range doomed {
		keys[i] = doomed[i].key
		bytes += doomed[i].size
	}
	if c.opts.DryRun {
		c.opts.Logger.Info("dry run: objects stay that would be deleted", "reason", count.reason, "objects", len(keys), "bytes", bytes, "first", keys[0])
		return false, nil, nil
	}
	if !sleepUntil(ctx, c.next) {
		return false, nil, ctx.Err()
	}
	limited, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	err = c.objects.Delete(limited, keys)
	var no *objstore.RefusedError
	if errors.As(err, &no) {
		refused, err = c.refused(no, count), nil
	}
	if err != nil {
		c.batch = max(c.batch/2, leastKeys)
		return false, nil, fmt.Errorf("delete %d objects: %w", len(keys), err)
	}
	c.batch = min(2*c.batch, mostKeys)
	c.next = time.Now().Add(time.Duration(len(keys)) * time.Second / time.Duration(c.opts.Rate))
	for i := range doomed {
		if refused[doomed[i].key] {
			bytes -= doomed[i].size
		}
	}
	count.objects.Add(float64(len(keys) - len(refused)))
	count.bytes.Add(float64(bytes))
	c.opts.Logger.Debug("objects deleted", "reason", count.reason, "objects", len(keys)-len(refused), "bytes", bytes, "first", keys[0])
	return true, refused, nil
}

// sleepUntil returns at a time, true unless ctx ended.
func sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
