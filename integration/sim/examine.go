package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/sim/audit"
)

// garbageLate is how much longer than its grace garbage may be there: leases, and rounds.
const garbageLate = 15 * time.Second

// examine looks into the stores of a world whose brokers have rested and stopped: whether all that ever folded the log made the
// same of it, whether every run that it names is in the bucket, byte for byte, and nothing else but what was garbage a moment
// ago, and whether nothing was deleted too early.
func (p *Played) examine(ctx context.Context, w *World) {
	replicas := make(map[string]audit.Replica)
	for _, b := range w.Brokers {
		for i, r := range b.replicas() {
			replicas[fmt.Sprintf("%s, start %d", b.Name, i+1)] = r
		}
	}
	found, err := audit.Examine(ctx, w.archive, replicas)
	p.stuck(err)
	for _, f := range found {
		p.anomaly(f.Name, f.Text)
	}
	found, err = audit.Deletions(ctx, w.bucket, w.opts.Lifecycle.Garbage.Grace-clockError)
	p.stuck(err)
	for _, f := range found {
		p.anomaly(f.Name, f.Text)
	}
	report, err := fsck.Check(ctx, w.Metastore, w.Objects, fsck.Options{Deep: true, GarbageGrace: w.opts.Lifecycle.Garbage.Grace, GarbageLate: garbageLate})
	p.stuck(err)
	if err != nil {
		return
	}
	stuck := slices.ContainsFunc(p.Anomalies, func(a checker.Anomaly) bool { return a.Name == Stuck })
	for _, f := range report.Findings {
		switch {
		case f.Kind == fsck.StuckTransaction && stuck: // it may be why; else a client that died last may have left it
			p.anomaly(Stuck, fmt.Sprintf("transactional id %q: %s", f.Txn, f.Detail))
		case f.Kind.Severity() == fsck.Error || slices.Contains([]fsck.Kind{fsck.OffsetBeyondEnd, fsck.OrphanObject, fsck.UncollectedGarbage}, f.Kind):
			p.anomaly(string(f.Kind), fmt.Sprintf("%s %s %v", f.Key, f.Detail, f.Affects))
		}
	}
	if len(report.Unjudged) > 0 {
		p.anomaly(Stuck, fmt.Sprintf("fsck: %q", report.Unjudged))
	}
	p.Rewritten, p.Deleted = report.Rewritten, w.bucket.Deleted()
}

func (p *Played) anomaly(name, text string) {
	p.Anomalies = append(p.Anomalies, checker.Anomaly{Name: name, Text: text})
}
