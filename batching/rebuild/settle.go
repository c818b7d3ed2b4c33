package rebuild

import (
	"context"
	"fmt"
	"math"

	"github.com/runnel-io/runnel/metastore"
)

// spareProducerIDs is how many producer ids are passed over: more than can have been given since the index was written. (A
// broker takes a thousand at a time.)
const spareProducerIDs = 1_000_000

// settle decides on transactions, and makes the partitions what they will be.
func (b *rebuild) settle(ctx context.Context) error {
	b.opts.Progress.enter("settling transactions", len(b.partitions))
	b.outcomes.conclude()
	filler := b.state.NextProducerID() // of ends that say nothing
	for _, p := range b.partitions {
		if err := b.settlePartition(ctx, p, filler); err != nil {
			return err
		}
		b.opts.Progress.step()
	}
	for id, x := range b.outcomes.ongoing {
		if x.known == nil {
			b.report.TxnOngoing++
			continue
		}
		groups, err := b.state.EndTransaction(id, x.known.commit, x.known.epoch)
		if err != nil {
			return err
		}
		b.released = append(b.released, groups...)
		if x.known.commit {
			b.report.TxnCommitted++
		} else {
			b.report.TxnAborted++
		}
	}
	newest := filler
	for id, epoch := range b.outcomes.newest {
		b.state.RaiseEpoch(id, epoch)
		newest = max(newest, id)
	}
	if newest > math.MaxInt64-spareProducerIDs {
		return fmt.Errorf("producer id %d leaves no room for others", newest)
	}
	b.report.ProducerIDsFrom = newest + spareProducerIDs
	b.state.SkipProducerIDs(b.report.ProducerIDsFrom)
	return nil
}

// justBegun is an offset that says of log compaction no more than that it began, as batching/cleaning notes it.
const justBegun = 1

func (b *rebuild) settlePartition(ctx context.Context, p *partition, filler metastore.ProducerID) error {
	r := p.history.resolve(b.outcomes)
	for r.room != (span{}) {
		// The ends keep apart what is before the gap and what is behind it, so some batches have to make room for them.
		b.report.addMissing(b.opts.MaxFindings, Missing{Topic: b.nameOf(p.TopicPartition), Partition: p.Partition, From: r.room.from, To: r.room.to, GaveWay: true})
		p.without = append(p.without, r.room)
		if err := p.plan(ctx, b.planner); err != nil {
			return err
		}
		r = p.history.resolve(b.outcomes)
	}
	b.report.TxnCut += r.guessed
	set := &metastore.RestoredPartition{
		TopicPartition: p.TopicPartition, LogStart: p.start(), High: p.high(), Steps: r.steps, Forgotten: p.forgotten,
		Unclean: p.rewritten,
	}
	switch {
	case !p.compact: // and was, when that was rewritten
		set.CleanedTo = p.cleanedTo
	case p.rewritten || p.cleanedTo > 0: // it goes by what is known, and may have gaps, also if it is not compacted any more
		set.CleanedTo = max(set.LogStart, justBegun)
	}
	set.Runs = p.withEnds(r, set.LogStart, filler)
	for _, m := range r.tail {
		set.Steps = append(set.Steps, endStep(set.High, m.Producer, m.Commit))
		set.Runs = append(set.Runs, metastore.Run{
			Base: set.High, Records: 1, Length: metastore.MarkerBytes, MaxTimestamp: b.now.UnixMilli(), Marker: &metastore.Marker{Producer: m.Producer, Epoch: m.Epoch, Commit: m.Commit},
		})
		set.High++
		b.outcomes.saw(m.Producer, m.Epoch)
	}
	for _, known := range p.history.producers {
		set.Producers = append(set.Producers, known)
	}
	return b.state.SetPartition(set)
}

// withEnds returns the runs of a partition with the ends of transactions that are put between them: those that the gaps beyond
// the index get, those of aborted transactions that lie where runs are missing, and one where the last run of the index is
// missing, by a producer that there is not: consumers that wait there get past it.
func (p *partition) withEnds(r *resolution, start metastore.Offset, filler metastore.ProducerID) []metastore.Run {
	var ends []metastore.Run
	end := func(at metastore.Offset, m metastore.Marker) {
		ends = append(ends, metastore.Run{Base: at, Records: 1, Length: metastore.MarkerBytes, Marker: &m})
	}
	next := start
	within := func(from, to metastore.Offset) { // what no run covers, below the end of what the index knows
		for _, a := range p.aborted {
			if from <= a.Last && a.Last < to {
				end(a.Last, metastore.Marker{Producer: a.Producer})
			}
		}
	}
	for i := range p.runs {
		within(next, min(p.runs[i].Base, p.should.high))
		next = max(next, p.runs[i].End())
	}
	within(next, p.should.high)
	ends = append(ends, r.runs...)
	if n := len(ends); next < p.should.high && len(r.tail) == 0 && (n == 0 || ends[n-1].End() < p.should.high) {
		end(p.should.high-1, metastore.Marker{Producer: filler})
	}
	all := mergeRuns(p.runs, ends)
	for len(all) > 0 && all[0].End() <= start {
		all = all[1:] // an end, of what has gone
	}
	return all
}

// mergeRuns merges two lists that are in order and do not overlap.
func mergeRuns(a, b []metastore.Run) []metastore.Run {
	if len(b) == 0 {
		return a
	}
	all := make([]metastore.Run, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Base < b[0].Base {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return append(append(all, a...), b...)
}

func (b *rebuild) nameOf(tp metastore.TopicPartition) string {
	if t, ok := b.state.Topic(tp.Topic); ok {
		return t.Name
	}
	return tp.Topic.String()
}

// count fills in what the new state has.
func (b *rebuild) count() {
	r := b.report
	for _, t := range b.state.Topics() {
		r.Topics++
		for i := range t.Partitions {
			r.Partitions++
			for run := range b.state.Runs(metastore.TopicPartition{Topic: t.ID, Partition: i}) {
				r.Offsets += int64(run.Records)
			}
		}
	}
	r.Runs, r.Segments = b.state.RunCount()-b.state.MarkerCount(), b.state.SegmentCount()
	for _, f := range b.bucket.indexes {
		if f.Cluster != r.LostCluster {
			r.Others = append(r.Others, f.Cluster)
		}
	}
	for cluster := range b.bucket.marks {
		if cluster != r.LostCluster {
			r.Others = append(r.Others, cluster)
		}
	}
	if b.index != nil {
		r.Groups, r.GroupOffsets = b.index.Groups, b.index.Offsets
	}
}
