package fsck

import (
	"fmt"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// checkLog looks at what the survey alone tells.
func (c *check) checkLog() {
	s, r := c.survey, c.report
	r.Position, r.Snapshot, r.At, r.Entries = s.Position, s.Snapshot, c.began, s.Entries
	r.Markers, r.Segments = s.MarkerCount(), s.SegmentCount()
	r.Runs = s.RunCount() - r.Markers
	for id := range s.Named() {
		r.Rewritten += id.Tier()
	}
	kinds := map[metastore.LogFaultKind]Kind{
		metastore.BrokenChain: BrokenChain, metastore.CorruptSnapshot: CorruptSnapshot, metastore.SnapshotDisagrees: SnapshotDisagrees,
	}
	for _, f := range s.Faults {
		r.add(Finding{Kind: kinds[f.Kind], Entry: f.Seq, Detail: f.Detail})
	}
	if s.Broken {
		r.unjudged(fmt.Sprintf("the log after entry %d, and which objects without a run are orphans", s.Position.Seq))
	}
	for _, t := range s.Topics() {
		r.Topics++
		for i := range t.Partitions {
			r.Partitions++
			c.checkPartition(t, metastore.TopicPartition{Topic: t.ID, Partition: i})
		}
	}
	c.checkTransactions()
}

// checkPartition looks at the runs of a partition. They must follow one another from the log start, in which the first may
// begin before it, to the high watermark, without a gap but for those of log compaction.
func (c *check) checkPartition(t *metastore.Topic, tp metastore.TopicPartition) {
	w, _ := c.survey.Watermarks(tp)
	compacted := c.compacted(tp)
	span := func(from, to metastore.Offset) Span { return Span{t.Name, tp.Partition, from, to} }
	next := metastore.NoOffset
	for run := range c.survey.Runs(tp) {
		switch {
		case next == metastore.NoOffset && run.Base > w.LogStart && !compacted:
			c.report.add(Finding{Kind: Gap, Affects: []Span{span(w.LogStart, run.Base)},
				Detail: fmt.Sprintf("the log starts at %d, its first run at %d", w.LogStart, run.Base)})
		case next != metastore.NoOffset && run.Base > next && !compacted:
			c.report.add(Finding{Kind: Gap, Affects: []Span{span(next, run.Base)},
				Detail: fmt.Sprintf("a run ends at %d, the next begins at %d", next, run.Base)})
		case run.Base < next:
			c.report.add(Finding{Kind: Overlap, Key: keyOf(run), Affects: []Span{span(run.Base, next)},
				Detail: fmt.Sprintf("a run begins at %d, the one before ends at %d", run.Base, next)})
		}
		next = run.End()
	}
	if next == metastore.NoOffset {
		next = w.LogStart
	}
	if next != w.High || w.LogStart > w.High {
		c.report.add(Finding{Kind: HWMMismatch, Affects: []Span{span(min(next, w.High), max(next, w.High))},
			Detail: fmt.Sprintf("the log starts at %d and its runs end at %d, the high watermark is %d", w.LogStart, next, w.High)})
	}
	c.checkRemembered(t, tp, w, compacted)
}

// compacted tells whether log compaction leaves gaps in a partition, or has.
func (c *check) compacted(tp metastore.TopicPartition) bool {
	t, ok := c.survey.Topic(tp.Topic)
	return ok && c.opts.Compacted(t) || c.survey.CleanedTo(tp) > 0
}

// checkRemembered looks for the batches by which repeats are recognised: each must lie in one run, which has an object, unless
// log compaction has left nothing of it.
func (c *check) checkRemembered(t *metastore.Topic, tp metastore.TopicPartition, w metastore.Watermarks, compacted bool) {
	for b := range c.survey.RememberedBatches(tp) {
		if b.Offset < w.LogStart {
			continue
		}
		records := metastore.Offset(sequences(b.First, b.Last)) + 1
		run, ok := c.survey.RunOf(tp, b.Offset)
		if !ok && compacted {
			continue
		}
		if !ok || run.Marker != nil || b.Offset+records > run.End() {
			c.report.add(Finding{Kind: ProducerMismatch, Affects: []Span{{t.Name, tp.Partition, b.Offset, b.Offset + records}},
				Detail: fmt.Sprintf("producer %d is remembered to have written sequences %d to %d there, and no run holds them", b.Producer, b.First, b.Last)})
		}
	}
}

// sequences is how many steps lead from one sequence to another; after 2^31-1 comes 0.
func sequences(from, to int32) int32 { return (to - from) & (1<<31 - 1) }

func (c *check) checkTransactions() {
	for t := range c.survey.Transactions() {
		c.report.Txns++
		if t.State != metastore.TxnOngoing {
			continue
		}
		if open := c.began.Sub(t.StartedAt); open > t.Timeout+c.opts.Stuck {
			c.report.add(Finding{Kind: StuckTransaction, Txn: t.ID,
				Detail: fmt.Sprintf("open for %s, with a time-out of %s", open.Round(time.Second), t.Timeout)})
		}
	}
	for x := range c.survey.StrayTxns() {
		c.addStray(&x)
	}
}

// addStray tells of a transaction that a partition and the transactional ids disagree on.
func (c *check) addStray(x *metastore.StrayTxn) {
	t, _ := c.survey.Topic(x.Topic)
	w, _ := c.survey.Watermarks(x.TopicPartition)
	f := Finding{Kind: StrayTransaction, Txn: x.ID, Affects: []Span{{t.Name, x.Partition, max(x.First, x.ByID), w.High}}}
	switch {
	case x.First == metastore.NoOffset:
		f.Detail = fmt.Sprintf("a transaction of producer %d has records from %d on, and is not open in the partition", x.Producer, x.ByID)
	case x.ByID != metastore.NoOffset:
		f.Detail = fmt.Sprintf("a transaction of producer %d is open from %d on, and its transactional id has %d", x.Producer, x.First, x.ByID)
	case x.ID != "":
		f.Detail = fmt.Sprintf("a transaction of producer %d is open from %d on, and its transactional id has none there", x.Producer, x.First)
	default:
		f.Detail = fmt.Sprintf("a transaction of producer %d is open from %d on, and no transactional id has the producer", x.Producer, x.First)
	}
	c.report.add(f)
}
