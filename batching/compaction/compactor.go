// Package compaction rewrites what lies in many small runs into fewer large ones.
//
// Segments as brokers write them, tier 0, hold what came within a moment, of all partitions: small runs in many objects.
// Once they are no longer the tail's, their runs are lifted into tier 1, sorted by partition. There, small neighbors are
// merged, and runs leave segments of which little is still named, so that the rest can be deleted. All of it is planned
// from the folded log, so whoever does it goes on where the last one ended.
package compaction

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// Log is what jobs are planned from; a metastore.Replica is one.
type Log interface {
	VisitSegments(visit func(metastore.SegmentUse) bool)
	VisitPartitions(visit func(*metastore.PartitionView) bool)
	Runs(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, error)
}

// Compactor plans and does one job after the other. Its methods are for one goroutine at a time.
type Compactor struct {
	log     Log
	engine  *rewrite.Engine
	opts    Options
	metrics *metrics
	bad     *badRuns
	failed  metastore.SegmentID // that the last job which failed for one could not read; zero: none, or jobs go around it
	turn    int                 // the kind whose turn it is, in kinds

	mu      sync.Mutex
	backlog Backlog
}

// Backlog is what a plan found in tier 0.
type Backlog struct {
	At    time.Time     // of the plan; zero: there was none
	Bytes int64         // of runs in tier 0, the tail's among them
	Lag   time.Duration // how much older than the delay the oldest segment of tier 0 is
}

// New makes a compactor that has engine do its jobs.
func New(log Log, engine *rewrite.Engine, opts Options) (*Compactor, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	if most := engine.Options().ObjectBytes / 4; opts.SmallRun > most {
		return nil, fmt.Errorf("small run %d: must be %d or less, for objects of %d", opts.SmallRun, most, engine.Options().ObjectBytes)
	}
	c := &Compactor{log: log, engine: engine, opts: opts, bad: newBadRuns()}
	c.metrics = newMetrics(opts.Registerer, c)
	return c, nil
}

// Do plans, and does one job if one is due. more says that there may be another at once. After an error the log has what it
// had, or whole parts of the job; Do is called again after a pause.
func (c *Compactor) Do(ctx context.Context) (more bool, err error) {
	p := c.plan()
	for i := range kinds {
		kind := kinds[(c.turn+i)%len(kinds)]
		parts := c.parts(p.job(kind))
		if len(parts) == 0 {
			continue
		}
		c.turn = (c.turn + i + 1) % len(kinds) // each has its turn: none waits for another to run dry
		return c.rewrite(ctx, kind, parts)
	}
	return false, nil
}

// Backlog is what the last plan found.
func (c *Compactor) Backlog() Backlog {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.backlog
}

// Behind tells whether tier 0 was longer than two jobs at the last plan: segments come faster than they are rewritten.
func (c *Compactor) Behind() bool { return c.Backlog().Bytes > 2*c.opts.JobBytes }

// plan looks at the whole log.
func (c *Compactor) plan() *planner {
	opts, now := c.opts, c.opts.Now()
	c.bad.forgive(now)
	p := newPlanner(opts, c.engine.Options().ReadBytes, now, c.bad)
	c.log.VisitSegments(func(u metastore.SegmentUse) bool {
		p.segment(u)
		return true
	})
	p.choose()
	c.log.VisitPartitions(func(v *metastore.PartitionView) bool {
		p.partition(v.TopicPartition, v)
		return true
	})
	backlog := Backlog{At: now, Bytes: p.bytes0}
	if !p.oldest.IsZero() {
		backlog.Lag = max(now.Sub(p.oldest)-opts.Delay, 0)
	}
	c.mu.Lock()
	c.backlog = backlog
	c.mu.Unlock()
	return p
}

// parts finds the runs of stretches. Those that have changed since they were planned are left out.
func (c *Compactor) parts(stretches []stretch) []rewrite.Part {
	parts := make([]rewrite.Part, 0, len(stretches))
	for i := range stretches {
		s := &stretches[i]
		marks, all, err := c.log.Runs(s.TopicPartition, s.from, int(min(s.bytes, math.MaxInt)))
		if errors.Is(err, metastore.ErrOffsetOutOfRange) && marks.LogStart > s.from && marks.LogStart < s.to {
			_, all, err = c.log.Runs(s.TopicPartition, marks.LogStart, int(min(s.bytes, math.MaxInt)))
		}
		if err != nil {
			continue // deleted, or trimmed
		}
		n := 0
		for n < len(all) && all[n].End() <= s.to {
			n++
		}
		if n > 0 && n <= s.runs && all[n-1].End() == s.to {
			parts = append(parts, rewrite.Part{TopicPartition: s.TopicPartition, Runs: all[:n:n]})
		}
	}
	return parts
}

// rewrite does a job, and remembers what of it cannot be read.
func (c *Compactor) rewrite(ctx context.Context, kind Kind, parts []rewrite.Part) (more bool, err error) {
	began := c.opts.Now()
	report, err := c.engine.Do(ctx, parts)
	replaced, refused, failed, learnt := 0, 0, 0, false
	for _, result := range report.Results {
		var corrupt *rewrite.CorruptError
		switch {
		case result == nil:
			replaced++
		case errors.Is(result, rewrite.ErrRefused):
			refused++
		default:
			failed++
			if errors.As(result, &corrupt) && c.bad.add(&corrupt.Run, c.opts.Now().Add(c.opts.Forgive)) {
				learnt = true
			}
		}
	}
	if err != nil {
		c.metrics.jobs.WithLabelValues(string(kind), "failed").Inc()
		if c.lost(err) && errors.Is(err, objstore.ErrNotFound) {
			return true, nil // it is told of in the log; with a pause after each, many would take longer than Forgive
		}
		return false, fmt.Errorf("%s of %d partitions: %w", kind, len(parts), err)
	}
	c.metrics.jobs.WithLabelValues(string(kind), "done").Inc()
	c.opts.Logger.Info("runs rewritten", "kind", string(kind), "partitions", len(parts), "replaced", replaced, "refused", refused, "failed", failed,
		"read_bytes", report.BytesRead, "written_bytes", report.BytesWritten, "gets", report.Gets, "objects", report.Objects,
		"took", c.opts.Now().Sub(began))
	// The next job is another one if runs are others now, or some are known to be gone around.
	return replaced > 0 || learnt, nil
}

// lost remembers a segment that could not be read. One that is missing may have been replaced and deleted since the job was
// planned; then the next plan does not name it. If it fails a second time, jobs go around it: true. Those of other kinds may have
// succeeded in between.
func (c *Compactor) lost(err error) (bad bool) {
	var of *rewrite.SegmentError
	if !errors.As(err, &of) {
		return false
	}
	if c.failed != of.Segment {
		c.failed = of.Segment
		return false
	}
	c.opts.Logger.Error("segment that the commit log names cannot be read", "segment", of.Segment.String(), "error", err)
	c.bad.addSegment(of.Segment, c.opts.Now().Add(c.opts.Forgive))
	c.failed = metastore.SegmentID{}
	return true
}
