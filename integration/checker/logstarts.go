package checker

import (
	"cmp"
	"slices"
	"sort"

	"github.com/runnel-io/runnel/integration/history"
)

// checkLogStarts finds log starts that lie past what was asked to be deleted and past what the topic's settings let go.
func checkLogStarts(x *index, f *findings) {
	by := map[history.Partition]*leaving{}
	for i := range x.ops {
		o := &x.ops[i]
		if o.Kind != history.Observe || o.Outcome != history.OK || o.Marks == nil || o.Marks.LogStart <= 0 {
			continue
		}
		l := by[o.Marks.Partition]
		if l == nil {
			l = x.leaving(o.Marks.Partition)
			by[o.Marks.Partition] = l
		}
		l.judge(f, o)
	}
}

// leaving judges the log starts of a partition.
type leaving struct {
	x      *index
	losses losses
	sends  []int32 // by offset

	// The last one that was found to be right: it stays so.
	start int64
	since instant
}

func (x *index) leaving(p history.Partition) *leaving {
	l := &leaving{x: x, losses: x.lossesOf(p.Topic)}
	id, known := x.ids[p]
	if !known {
		return l
	}
	l.losses = x.partitions[id].losses
	for i := range x.sends {
		if s := &x.sends[i]; s.partition == id && x.offsetOf(s) >= 0 {
			l.sends = append(l.sends, int32(i))
		}
	}
	slices.SortStableFunc(l.sends, func(a, b int32) int { return cmp.Compare(x.offsetOf(&x.sends[a]), x.offsetOf(&x.sends[b])) })
	return l
}

func (l *leaving) judge(f *findings, o *history.Operation) {
	m, then := o.Marks, instantOf(o.Ended)
	from := max(0, l.losses.askedUpTo(then))
	if m.LogStart <= from || m.LogStart <= l.start && then.seq >= l.since.seq {
		return
	}
	var keep, thin []ruled // settings that let records go from the front, and those that let them go anywhere
	small := from          // up to here the size of the partition let records go
	for i := range l.losses.regimes {
		r := &l.losses.regimes[i]
		t, some := r.by(then)
		if some && r.Compacted {
			thin = append(thin, ruled{r, t})
		}
		if !some || r.Retention == 0 && r.Kept == 0 {
			continue
		}
		keep = append(keep, ruled{r, t})
		if r.Kept > 0 {
			high := m.High
			if high < 0 {
				high = l.losses.end
			}
			small = max(small, high-r.Kept)
		}
	}
	if len(keep) == 0 {
		f.add(LogStartAhead, m.Partition, []place{{op: o}}, "the log starts at %d, and nobody asked to delete what is from %d on", m.LogStart, from)
		return
	}
	byAge := slices.ContainsFunc(keep, func(r ruled) bool { return r.Retention > 0 })
	if !byAge && m.LogStart > small {
		f.add(LogStartAhead, m.Partition, []place{{op: o}}, "the log starts at %d, and what is from %d on has to stay for its size", m.LogStart, small)
		return
	}
	for _, id := range l.from(from) {
		s := &l.x.sends[id]
		offset := l.x.offsetOf(s)
		old := func(r ruled) bool { return l.x.old(s, r.Retention, r.then) }
		gone := func(r ruled) bool { return l.x.mayBeCompacted(s, offset, r.regime, r.then) } // before the log start came by
		switch {
		case offset >= m.LogStart:
		case l.x.openAt(s, then):
			f.add(LogStartAhead, m.Partition, []place{l.x.sendPlace(s), {op: o}}, "the log starts at %d, past the value %d at offset %d, whose transaction was open", m.LogStart, s.record.Value, offset)
			return
		case offset >= small && !slices.ContainsFunc(keep, old) && !slices.ContainsFunc(thin, gone):
			f.add(LogStartAhead, m.Partition, []place{l.x.sendPlace(s), {op: o}}, "the log starts at %d, past the value %d at offset %d, which is too young to go", m.LogStart, s.record.Value, offset)
			return
		}
	}
	l.start, l.since = m.LogStart, then
}

// ruled are settings, and until when brokers may have gone by them.
type ruled struct {
	*regime
	then instant
}

// from gives the sends from an offset on.
func (l *leaving) from(offset int64) []int32 {
	i := sort.Search(len(l.sends), func(i int) bool { return l.x.offsetOf(&l.x.sends[l.sends[i]]) >= offset })
	return l.sends[i:]
}

// openAt tells whether a record's transaction is known to have been open at an instant: it was committed, as was asked for
// after that.
func (x *index) openAt(s *send, then instant) bool {
	return s.transactional && s.fate == history.OK && x.ops[s.op].Deciding.Seq > then.seq
}

// atBroker is a partition as one broker has it.
type atBroker struct {
	broker string
	history.Partition
}

// told is something that a broker has said by a Seq.
type told struct {
	op    *history.Operation
	by    int64
	start int64
}

// checkBeforeStart finds brokers that gave records which lie before where they had said that the log starts.
func checkBeforeStart(x *index, f *findings) {
	starts := x.startsTold()
	reported := map[atBroker]bool{}
	for i := range x.reads {
		r := &x.reads[i]
		at := x.readPlace(r)
		key := atBroker{at.op.Broker, r.record.Partition}
		said := starts[key]
		if at.op.Broker == "" || reported[key] || len(said) == 0 {
			continue
		}
		begin := beginOfStep(at.op, at.step)
		last := sort.Search(len(said), func(i int) bool { return said[i].by >= begin }) - 1
		if last < 0 || r.record.Offset >= said[last].start {
			continue
		}
		reported[key] = true
		f.add(LogStartBack, r.record.Partition, []place{{op: said[last].op}, at}, "broker %q told of the log start offset %d, and then gave offset %d",
			key.broker, said[last].start, r.record.Offset)
	}
}

// startsTold gives the log starts that brokers told of, each with the greatest until then.
func (x *index) startsTold() map[atBroker][]told {
	all := map[atBroker][]told{}
	for i := range x.ops {
		o := &x.ops[i]
		if o.Outcome != history.OK || o.Broker == "" || o.Ended.Never() {
			continue
		}
		switch {
		case o.Kind == history.Observe && o.Marks != nil && o.Marks.LogStart > 0:
			key := atBroker{o.Broker, o.Marks.Partition}
			all[key] = append(all[key], told{o, o.Ended.Seq, o.Marks.LogStart})
		case o.Kind == history.DeleteRecords:
			for _, asked := range o.Offsets {
				key := atBroker{o.Broker, asked.Partition}
				all[key] = append(all[key], told{o, o.Ended.Seq, asked.Offset})
			}
		}
	}
	for _, said := range all {
		slices.SortStableFunc(said, func(a, b told) int { return cmp.Compare(a.by, b.by) })
		for i := 1; i < len(said); i++ {
			if said[i-1].start > said[i].start {
				said[i].op, said[i].start = said[i-1].op, said[i-1].start
			}
		}
	}
	return all
}

// checkDeleted finds records that were acknowledged in a topic that had been deleted, and brokers that gave records of one
// that they had said is deleted.
func checkDeleted(x *index, f *findings) {
	for i := range x.sends {
		s := &x.sends[i]
		gone := x.partitions[s.partition].removal
		if gone == nil || !s.acked() {
			continue
		}
		if o := &x.ops[s.op]; beginOfStep(o, &o.Steps[s.step]) > gone.end {
			f.add(LostWrite, s.record.Partition, []place{{op: gone.op}, x.sendPlace(s)}, "the value %d was acknowledged in a topic that had been deleted", s.record.Value)
		}
	}
	if len(x.removals) == 0 {
		return
	}
	said := map[atBroker]int64{} // since when
	for i := range x.ops {
		o := &x.ops[i]
		if o.Kind != history.DeleteTopic || o.Outcome != history.OK || o.Broker == "" {
			continue
		}
		for _, p := range o.Partitions {
			key := atBroker{o.Broker, history.Partition{Topic: p.Topic}}
			if since, again := said[key]; !again || endOf(o.Ended) < since {
				said[key] = endOf(o.Ended)
			}
		}
	}
	for i := range x.reads {
		r := &x.reads[i]
		at := x.readPlace(r)
		since, some := said[atBroker{at.op.Broker, history.Partition{Topic: r.record.Topic}}]
		if some && beginOfStep(at.op, at.step) > since {
			f.add(DeletedRead, r.record.Partition, []place{{op: x.removals[r.record.Topic].op}, at}, "broker %q had said that the topic is deleted, and gave offset %d", at.op.Broker, r.record.Offset)
		}
	}
}
