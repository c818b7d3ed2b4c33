package mark

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// Folded is what a broker has made of the log; metastore.Replica is.
type Folded interface {
	Position() metastore.Position
	// Health is nil while the log can be followed.
	Health() error
	// Refuse makes the log one that cannot be followed.
	Refuse(err error)
}

// Members tells who this broker is, once it is anybody; cluster.Membership does.
type Members interface {
	ClusterID() string
	Self() metastore.Broker
}

// Options tunes a Keeper. The zero value is the default.
type Options struct {
	// Every is the least time between two marks of this broker while it can follow the log. Default 10 s.
	Every time.Duration
	// LookEvery is the least time between two looks at the marks of others. Default 1 minute.
	LookEvery time.Duration
	// Keep is how many marks a look leaves, the newest of all brokers', beside those that the log does not hold. Default 8.
	Keep int

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	o.Every = cmp.Or(o.Every, 10*time.Second)
	o.LookEvery = cmp.Or(o.LookEvery, time.Minute)
	o.Keep = cmp.Or(o.Keep, 8)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	tick        = time.Second // between two looks at whether there is anything to do
	putTimeout  = 10 * time.Second
	lastTimeout = 3 * time.Second // for the mark of a broker that stops
	lookTimeout = 30 * time.Second
)

// Keeper writes one broker's marks and looks at those of all.
//
// A mark is written only of what was folded, which is durable by the contract of the log; so whoever lists marks first and
// reads the log afterwards finds every position that they name, unless the log lost it. Whoever deletes a mark has seen that
// the log holds it and that of a newer one, which says the same and more. Marks that the log does not hold are never
// deleted, other than by an administrator who gives up what it lost.
type Keeper struct {
	objects Objects
	log     Log
	folded  Folded
	members Members
	opts    Options
	metrics *metrics

	marked atomic.Pointer[metastore.Position] // of the newest mark that this broker wrote; nil: none

	looked metastore.Position // where the log was when its marks were compared last; Compare's, then Run's

	// Run's own
	markedAt, lookedAt time.Time
	failing            bool // the last PUT did
}

// NewKeeper makes a Keeper. Compare may be called at once, Run after it when the broker is a member of the cluster.
func NewKeeper(objects Objects, log Log, folded Folded, members Members, opts Options) *Keeper {
	k := &Keeper{objects: objects, log: log, folded: folded, members: members, opts: opts.withDefaults()}
	k.metrics = newMetrics(opts.Registerer, k)
	return k
}

// Compare compares the log of a cluster with the marks in the bucket. nil: it holds them all. A *RegressedError: it does not,
// and must not be written to. Other errors: that could not be told.
func (k *Keeper) Compare(ctx context.Context, cluster string) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_, err := k.compare(ctx, cluster)
	return err
}

// compare lists the marks first and reads the log afterwards: see Keeper.
func (k *Keeper) compare(ctx context.Context, cluster string) ([]Mark, error) {
	at := k.folded.Position()
	marks, err := newest(ctx, k.objects, cluster)
	if err == nil {
		err = compareAll(ctx, k.log, marks)
	}
	if err == nil {
		k.looked = at
	}
	return marks, err
}

// Run marks what this broker folds and looks at the marks of others until ctx ends, and once more then. That a mark can not
// be written or looked at holds up nothing.
func (k *Keeper) Run(ctx context.Context) error {
	clock := time.NewTicker(tick)
	defer clock.Stop()
	k.lookedAt = time.Now().Add(-rand.N(k.opts.LookEvery)) // brokers that start together do not look together
	for {
		select {
		case <-ctx.Done():
			k.last(ctx)
			return nil
		case <-clock.C:
		}
		if k.due(time.Now()) {
			k.mark(ctx, putTimeout)
		}
		if now := time.Now(); now.Sub(k.lookedAt) >= k.opts.LookEvery && k.folded.Position() != k.looked && k.folded.Health() == nil {
			k.lookedAt = now
			k.look(ctx)
		}
	}
}

// unmarked tells whether there is something that this broker has not marked.
func (k *Keeper) unmarked() bool {
	at, marked := k.folded.Position(), k.marked.Load()
	return at.Seq > 0 && (marked == nil || *marked != at)
}

// due: a log that cannot be followed any more may have lost what only this broker knows of, and this process may end at any
// moment.
func (k *Keeper) due(now time.Time) bool {
	return k.unmarked() && (now.Sub(k.markedAt) >= k.opts.Every || k.folded.Health() != nil)
}

// last marks what a broker that stops has seen.
func (k *Keeper) last(ctx context.Context) {
	if k.unmarked() {
		k.mark(context.WithoutCancel(ctx), lastTimeout)
	}
}

func (k *Keeper) mark(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m := Mark{k.members.ClusterID(), k.folded.Position(), k.members.Self().NodeID}
	err := k.objects.Put(ctx, m.Key(), [][]byte{m.text()})
	if err != nil && !errors.Is(err, objstore.ErrExists) { // one that exists says the same
		k.metrics.written.WithLabelValues("failed").Inc()
		if !k.failing {
			k.opts.Logger.Warn("could not mark in the bucket how far the commit log is, trying again", "seq", int64(m.Seq), "error", err)
		}
		k.failing = true
		return
	}
	k.metrics.written.WithLabelValues("ok").Inc()
	k.failing, k.markedAt = false, time.Now()
	k.marked.Store(&m.Position)
}

// look compares the log with all marks and deletes those that newer ones make needless. A broker that was cut off from the
// others may have seen more than this one when the metastore went back, and marked it since.
func (k *Keeper) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	marks, err := k.compare(ctx, k.members.ClusterID())
	regressed := (*RegressedError)(nil)
	switch {
	case err == nil:
		err = k.prune(ctx, marks)
	case errors.As(err, &regressed):
		k.opts.Logger.Error("commit log refused", "error", err)
		k.folded.Refuse(err)
		return
	}
	if err != nil && ctx.Err() == nil {
		k.opts.Logger.Warn("look at the marks of the commit log", "error", err)
	}
}

// prune deletes all marks but the newest ones. The log holds them all.
func (k *Keeper) prune(ctx context.Context, marks []Mark) error {
	if len(marks) <= k.opts.Keep {
		return nil
	}
	keys := make([]string, 0, len(marks)-k.opts.Keep)
	for _, m := range marks[k.opts.Keep:] {
		keys = append(keys, m.Key())
	}
	if err := k.objects.Delete(ctx, keys); err != nil {
		return fmt.Errorf("delete old marks: %w", err)
	}
	k.metrics.deleted.Add(float64(len(keys)))
	return nil
}
