// Package retention lets old records go: it moves the log start of partitions past what their topics do not want kept.
//
// It is a task for batching/lifecycle. Whoever does it goes by the folded state alone, so any broker can go on at any time,
// and two at once do no harm: a log start never goes back.
package retention

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// LeaseName is the task's among the metastore's leases.
const LeaseName = "retention"

// Log is what is known of partitions; metastore.Replica is one.
type Log interface {
	Refresh(ctx context.Context) error
	VisitPartitions(visit func(*metastore.PartitionView) bool)
	DeleteRecords(ctx context.Context, asked []metastore.RecordDeletion) ([]metastore.DeletionResult, error)
}

// Options tunes a Retention. The zero value is the default.
type Options struct {
	// Now is the time on which brokers agree (cluster.Membership.Now). Default time.Now.
	Now func() time.Time
	// EntryPartitions and EntryRuns bound what one entry of the log takes: every broker folds it in one go. Defaults 500
	// and 20,000, which is about a millisecond.
	EntryPartitions, EntryRuns int
	// RoundPartitions bounds the memory of a round. Default 20,000.
	RoundPartitions int

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.EntryPartitions = cmp.Or(o.EntryPartitions, 500)
	o.EntryRuns = cmp.Or(o.EntryRuns, 20_000)
	o.RoundPartitions = cmp.Or(o.RoundPartitions, 20_000)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Retention moves log starts.
type Retention struct {
	log     Log
	policy  func(*metastore.Topic) Policy
	opts    Options
	metrics *metrics

	stale map[metastore.TopicID]*metastore.Topic // of planted.SettingsStale
}

// New makes a Retention that asks policy what a topic wants; Do makes it work.
func New(log Log, policy func(*metastore.Topic) Policy, opts Options) *Retention {
	opts = opts.withDefaults()
	return &Retention{log: log, policy: policy, opts: opts, metrics: newMetrics(opts.Registerer, opts.Now)}
}

// move is a partition whose log start is to move.
type move struct {
	metastore.RecordDeletion
	due Due
}

// Do looks at all partitions once and moves log starts, durably, a bounded number of them. more: there is more to do.
func (r *Retention) Do(ctx context.Context) (more bool, err error) {
	// What is decided on is then no older than the round: somebody may just have asked for more to be kept.
	if err := r.log.Refresh(ctx); err != nil {
		return false, fmt.Errorf("look at the log before anything leaves it: %w", err)
	}
	moves, more := r.plan(ctx)
	moved := 0
	for len(moves) > 0 {
		n := r.step(moves)
		done, err := r.apply(ctx, moves[:n])
		if err != nil {
			return false, fmt.Errorf("move log starts: %w", err)
		}
		moved += done
		moves = moves[n:]
	}
	if !more && ctx.Err() == nil {
		r.metrics.behind(backlog{at: r.opts.Now()})
	}
	return more && moved > 0, nil
}

// plan finds what is to move, up to the bounds of a round.
func (r *Retention) plan(ctx context.Context) (moves []move, more bool) {
	now := r.opts.Now()
	var topic *metastore.Topic // of the partition before, whose policy is known
	var policy Policy
	behind := backlog{at: now}
	r.log.VisitPartitions(func(p *metastore.PartitionView) bool {
		if topic != p.Topic {
			topic, policy = p.Topic, r.policy(r.seen(p.Topic))
		}
		due := policy.Due(p.Watermarks, p.Bytes, p, now, r.opts.EntryRuns)
		if due.Runs == 0 {
			return ctx.Err() == nil
		}
		more = more || due.More
		behind.bytes += due.ByTime + due.BySize
		behind.late = max(behind.late, policy.late(p.Run(0), now))
		by := p.Topic
		if planted.Is(planted.SettingsStale) {
			by = nil
		}
		moves = append(moves, move{metastore.RecordDeletion{TopicPartition: p.TopicPartition, Before: due.LogStart, By: by}, due})
		return len(moves) < r.opts.RoundPartitions && ctx.Err() == nil
	})
	r.metrics.behind(behind)
	return moves, more || len(moves) == r.opts.RoundPartitions
}

// seen is the topic, but for a planted bug.
func (r *Retention) seen(topic *metastore.Topic) *metastore.Topic {
	if !planted.Is(planted.SettingsStale) {
		return topic
	}
	if r.stale == nil {
		r.stale = make(map[metastore.TopicID]*metastore.Topic)
	}
	if first := r.stale[topic.ID]; first != nil {
		return first
	}
	r.stale[topic.ID] = topic
	return topic
}

// step is how many of the moves make one entry: one at least.
func (r *Retention) step(moves []move) int {
	runs := 0
	for i := range moves {
		if runs += moves[i].due.Runs; i == r.opts.EntryPartitions || i > 0 && runs > r.opts.EntryRuns {
			return i
		}
	}
	return len(moves)
}

func (r *Retention) apply(ctx context.Context, moves []move) (moved int, err error) {
	asked := make([]metastore.RecordDeletion, len(moves))
	for i := range moves {
		asked[i] = moves[i].RecordDeletion
	}
	results, err := r.log.DeleteRecords(ctx, asked)
	if err != nil {
		return 0, err
	}
	runs := 0
	for i, result := range results {
		if result.Err != nil { // the topic was deleted, or altered, meanwhile
			r.opts.Logger.Debug("log start stays", "partition", moves[i].TopicPartition, "error", result.Err)
			continue
		}
		moved++
		runs += moves[i].due.Runs
		r.metrics.runs.Add(float64(moves[i].due.Runs))
		r.metrics.byTime.Add(float64(moves[i].due.ByTime))
		r.metrics.bySize.Add(float64(moves[i].due.BySize))
	}
	r.opts.Logger.Debug("old records left", "partitions", moved, "runs", runs)
	return moved, nil
}
