package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/compaction"
	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/lifecycle"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/metastore"
)

// garbageGrace is longer than a broker does nothing for, and short enough that much is deleted within a minute.
const garbageGrace = 25 * time.Second

// hasty lets a broker do within a minute what takes hours, in many small steps: runs are rewritten seconds after they were
// written, a few at a time, into objects that hold little.
func hasty() *node.LifecycleOptions {
	return &node.LifecycleOptions{
		Tasks: lifecycle.Options{
			Lease: 4 * time.Second, First: 200 * time.Millisecond, Backoff: 200 * time.Millisecond, MostBackoff: 3 * time.Second,
		},
		Rewrite:         rewrite.Options{ReadBytes: 64 << 10, ObjectBytes: 16 << 10, MarkBytes: 256, SwapRuns: 60},
		UnindexedBytes:  400,
		CompactionEvery: 900 * time.Millisecond,
		Compaction: compaction.Options{
			Delay: 2 * time.Second, Wait: 4 * time.Second, DueBytes: 8 << 10,
			JobBytes: 64 << 10, JobSegments: 60, JobRuns: 300, JobParts: 20,
			MergeRuns: 3, SmallRun: 2 << 10, MergeBytes: 4 << 10, Forgive: 5 * time.Second,
		},
		CleaningEvery: 700 * time.Millisecond,
		Cleaning: cleaning.Options{
			PieceBytes: 2 << 10, SmallBytes: 1, Backoff: 500 * time.Millisecond, MostBackoff: 3 * time.Second,
		},
		RetentionEvery: 600 * time.Millisecond,
		GarbageEvery:   800 * time.Millisecond,
		Garbage:        garbage.Options{Grace: garbageGrace, SweepEvery: sweepEvery, Margin: time.Second, Settle: 5 * time.Second},
	}
}

// clockError is how far a broker may take the metastore's clock to be ahead, or behind: half of the slowest look that cluster.Membership
// goes by.
const clockError = 500 * time.Millisecond

// sweepEvery is in what time brokers look for orphans in the whole bucket.
const sweepEvery = 20 * time.Second

// clockLooks is more than a broker takes to hear of a jump of the metastore's clock.
const clockLooks = 5 * time.Second

// Rest lets pass what it takes for all that is not needed to be deleted: by the metastore's clock the time in which the log may
// come to know a segment, and then two sweeps and the grace of what became garbage meanwhile. Nobody writes any more, but for
// one entry: what the log remembers it forgets only as time passes in it, and a PUT that took effect late may have brought back
// what was deleted.
func (w *World) Rest(ctx context.Context) error {
	w.note("rest")
	w.Clock.Jump(metastore.MaxRewriteAge + time.Minute)
	time.Sleep(clockLooks)
	if s := w.Brokers[0].current(); s != nil {
		if err := s.node.Replica().Touch(ctx); err != nil {
			return fmt.Errorf("let time pass in the log: %w", err)
		}
	}
	time.Sleep(2*sweepEvery + garbageGrace)
	return w.AwaitReady(ctx, endTimeout)
}
