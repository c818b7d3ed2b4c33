package checker

import (
	"math"
	"slices"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// losses are the ways in which a partition may rightly come to lack records.
type losses struct {
	regimes []regime // what its settings let go, one after the other; none: nothing
	removal *removal // of its topic; nil: nobody asked for it

	asked   []deletion // by begin
	deleted int64      // the greatest offset of these

	start int64 // the greatest log start that anybody was told
	final bool  // somebody was told of it in the end
	end   int64 // behind all that anybody knows to be there
}

// deletion is somebody's having asked that the records before an offset be deleted.
type deletion struct{ begin, offset int64 }

// removal is somebody's having asked that a topic be deleted.
type removal struct {
	op         *history.Operation
	begin, end int64 // never: nobody knows that it is
}

// instant is a moment to judge by.
type instant struct {
	seq int64
	at  time.Duration
}

func instantOf(m history.Moment) instant {
	if m.Never() {
		return instant{never, math.MaxInt64}
	}
	return instant{m.Seq, m.At}
}

// endOfRead is when a step was over: with its operation, if it does not tell itself.
func endOfRead(o *history.Operation, s *history.Step) instant {
	step, whole := instantOf(s.Ended), instantOf(o.Ended)
	if step.seq < whole.seq {
		return step
	}
	return whole
}

func (x *index) indexTopics(topics []history.Topic, trailing time.Duration) {
	x.topics, x.removals = map[string][]regime{}, map[string]removal{}
	for i := range topics {
		x.topics[topics[i].Name] = []regime{{Topic: &topics[i], until: math.MaxInt64}}
	}
	for i := range x.ops {
		o := &x.ops[i]
		if o.Outcome == history.Failed {
			continue
		}
		switch o.Kind {
		case history.AlterTopic:
			x.topics[o.Settings.Name] = altered(x.topics[o.Settings.Name], o, trailing)
		case history.DeleteTopic:
			x.remove(o)
		}
	}
}

func (x *index) remove(o *history.Operation) {
	for _, p := range o.Partitions {
		r, again := x.removals[p.Topic]
		if !again {
			r = removal{op: o, begin: o.Begun.Seq, end: never}
		}
		if o.Outcome == history.OK && endOf(o.Ended) < r.end {
			r.op, r.end = o, endOf(o.Ended)
		}
		x.removals[p.Topic] = r
	}
}

// lossesOf are those of a new partition.
func (x *index) lossesOf(topic string) losses {
	l := losses{regimes: x.topics[topic]}
	if r, some := x.removals[topic]; some {
		l.removal = &r
	}
	return l
}

func (l *losses) ask(begin, offset int64) {
	l.asked = append(l.asked, deletion{begin, offset})
	l.deleted = max(l.deleted, offset)
}

// loses tells whether a record may go at all.
func (l *losses) loses() bool { return len(l.regimes) > 0 || l.deleted > 0 || l.removed() }

func (l *losses) removed() bool { return l.removal != nil }

func (l *losses) compacted() bool {
	return slices.ContainsFunc(l.regimes, func(r regime) bool { return r.Compacted })
}

// onlyCompacted tells whether compaction is all that takes records from it, unless somebody asks for it.
func (l *losses) onlyCompacted() bool {
	return len(l.regimes) > 0 && !l.removed() &&
		!slices.ContainsFunc(l.regimes, func(r regime) bool { return !r.Compacted || r.Retention > 0 || r.Kept > 0 })
}

// indexBorders notes where partitions were said to begin and to end.
func (x *index) indexBorders() {
	for i := range x.ops {
		o := &x.ops[i]
		if o.Kind != history.Observe || o.Outcome != history.OK || o.Marks == nil {
			continue
		}
		id, known := x.ids[o.Marks.Partition]
		if !known {
			continue
		}
		p := &x.partitions[id]
		p.start, p.end = max(p.start, o.Marks.LogStart), max(p.end, o.Marks.High)
		p.final = p.final || o.Final && o.Marks.LogStart >= 0
	}
	for i := range x.sends {
		if s := &x.sends[i]; s.acked() {
			p := &x.partitions[s.partition]
			p.end = max(p.end, s.record.Offset+1)
		}
	}
	for i := range x.reads {
		p := &x.partitions[x.reads[i].partition]
		p.end = max(p.end, x.reads[i].record.Offset+1)
	}
}

// bound is what the records that may be gone lie before, if they are not compacted: the log start, as far as it is known.
// That it is where it may be is for checkMarks to say.
func (l *losses) bound() int64 {
	if l.final {
		return l.start
	}
	return max(l.start, l.deleted)
}

// mayBeGone tells whether a final reader may lack a record. One whose offset is not known may lie before the log start.
func (x *index) mayBeGone(s *send, offset int64, r *reader, number int8) bool {
	p := &x.partitions[s.partition]
	if p.removed() || p.bound() > 0 && offset < p.bound() {
		return true
	}
	return p.compacted() && x.compactedFor(s, offset, r, number)
}

// mayHaveGone tells whether a record that was there may have been gone at an instant, for somebody who did not find it.
func (x *index) mayHaveGone(s *send, offset int64, then instant) bool {
	p := &x.partitions[s.partition]
	if p.removed() || p.askedFor(offset, then) {
		return true
	}
	for n := range p.regimes {
		r := &p.regimes[n]
		t, ruled := r.by(then)
		if ruled && (x.old(s, r.Retention, t) || r.Kept > 0 && offset < p.end-r.Kept || r.Compacted && x.mayBeCompacted(s, offset, r, t)) {
			return true
		}
	}
	return false
}

// askedFor tells whether somebody had asked by then for a record to be deleted.
func (l *losses) askedFor(offset int64, then instant) bool { return offset < l.askedUpTo(then) }

func (l *losses) askedUpTo(then instant) int64 {
	up := int64(0)
	for _, d := range l.asked {
		if d.begin < then.seq {
			up = max(up, d.offset)
		}
	}
	return up
}

// rounding is by how much times in milliseconds may seem to be early.
const rounding = 2 * time.Millisecond

// old tells whether a record was so old at an instant, by its time; without one, since it was sent. 0 is never. The cluster may
// have taken it for older.
func (x *index) old(s *send, retention time.Duration, then instant) bool {
	switch {
	case retention == 0:
		return false
	case then.seq == never && then.at == math.MaxInt64:
		return true
	case s.record.Timestamp < 0: // it is dated by the clock that the cluster goes by, which may have been behind
		return x.sentAt(s)+retention <= then.at+x.gains+rounding
	case x.start == 0 || s.record.Timestamp == 0:
		return x.sentAt(s)+retention <= then.at+x.ahead
	}
	return time.Duration(s.record.Timestamp-x.start)*time.Millisecond+retention <= then.at+x.ahead+rounding
}

// sentAt is when a record was given to its client.
func (x *index) sentAt(s *send) time.Duration {
	o := &x.ops[s.op]
	return max(o.Begun.At, o.Steps[s.step].Begun.At)
}

// sentBy tells whether a record had been given to its client by then.
func (x *index) sentBy(s *send, then instant) bool {
	o := &x.ops[s.op]
	return beginOfStep(o, &o.Steps[s.step]) < then.seq && x.sentAt(s) <= then.at
}
