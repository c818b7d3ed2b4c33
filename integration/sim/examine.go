package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/sim/audit"
	"github.com/runnel-io/runnel/metastore"
)

// untilOrphaned is how long after the last call an object that no run names can no longer come to be named.
const untilOrphaned = metastore.MaxSegmentAge + 2*time.Minute

// examine looks into the stores of a world whose brokers have stopped: whether all that ever folded the log made the same
// of it, and whether every run that it names is in the bucket, byte for byte. Objects that no run names are counted, not
// judged: a broker that dies between PUT and commit leaves one.
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
	time.Sleep(untilOrphaned)
	report, err := fsck.Check(ctx, w.Metastore, w.Objects, fsck.Options{Deep: true})
	p.stuck(err)
	if err != nil {
		return
	}
	stuck := slices.ContainsFunc(p.Anomalies, func(a checker.Anomaly) bool { return a.Name == Stuck })
	for _, f := range report.Findings {
		switch {
		case f.Kind == fsck.StuckTransaction && stuck: // it may be why; else a client that died last may have left it
			p.anomaly(Stuck, fmt.Sprintf("transactional id %q: %s", f.Txn, f.Detail))
		case f.Kind.Severity() == fsck.Error || f.Kind == fsck.OffsetBeyondEnd:
			p.anomaly(string(f.Kind), fmt.Sprintf("%s %s %v", f.Key, f.Detail, f.Affects))
		}
	}
	if len(report.Unjudged) > 0 {
		p.anomaly(Stuck, fmt.Sprintf("fsck: %q", report.Unjudged))
	}
	p.Orphans = report.Counts[fsck.OrphanObject]
}

func (p *Played) anomaly(name, text string) {
	p.Anomalies = append(p.Anomalies, checker.Anomaly{Name: name, Text: text})
}
