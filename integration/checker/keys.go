package checker

import (
	"cmp"
	"math"
	"slices"

	"github.com/runnel-io/runnel/integration/history"
)

// lineage is what was sent with one key to a partition of a compacted topic.
type lineage struct {
	placed   []int32 // sends by offset
	unplaced []int32 // those of which nobody knows where they are, if anywhere
}

type lineageKey struct {
	partition int32
	key       int64
}

func (x *index) indexKeys() {
	x.lineages = map[lineageKey]*lineage{}
	for i := range x.sends {
		s := &x.sends[i]
		if !x.partitions[s.partition].compacted() {
			continue
		}
		key := lineageKey{s.partition, s.record.Key}
		l := x.lineages[key]
		if l == nil {
			l = &lineage{}
			x.lineages[key] = l
		}
		if x.offsetOf(s) >= 0 {
			l.placed = append(l.placed, int32(i))
		} else {
			l.unplaced = append(l.unplaced, int32(i))
		}
	}
	for _, l := range x.lineages {
		slices.SortStableFunc(l.placed, func(a, b int32) int { return cmp.Compare(x.offsetOf(&x.sends[a]), x.offsetOf(&x.sends[b])) })
	}
}

// supersedes tells whether any send satisfies what is asked that may have superseded one at an offset: of the same key, after
// it or nobody knows where, and committed, or perhaps so.
func (x *index) supersedes(s *send, offset int64, asked func(*send) bool) bool {
	l := x.lineages[lineageKey{s.partition, s.record.Key}]
	from, _ := slices.BinarySearchFunc(l.placed, offset+1, func(id int32, offset int64) int { return cmp.Compare(x.offsetOf(&x.sends[id]), offset) })
	ok := func(id int32) bool {
		u := &x.sends[id]
		return u != s && u.outcome != history.Failed && u.fate != history.Failed && asked(u)
	}
	return slices.ContainsFunc(l.placed[from:], ok) || slices.ContainsFunc(l.unplaced, ok)
}

// mayBeCompacted tells whether a record of a topic that was compacted by some settings may have been gone at an instant.
func (x *index) mayBeCompacted(s *send, offset int64, by *regime, then instant) bool {
	return x.mayBeAborted(s) && x.cleanable(s, by, then) || x.forgotten(s, by, then) ||
		x.supersedes(s, offset, func(u *send) bool { return x.cleanable(u, by, then) })
}

// cleanable tells whether compaction may have come to a record by then: it goes no further than to the first that is too young.
func (x *index) cleanable(s *send, by *regime, then instant) bool {
	return x.sentBy(s, then) && (by.Lag == 0 || x.old(s, by.Lag, then))
}

// compactedFor tells whether a final reader may lack a record. What superseded it must be there itself, for nothing came
// after it, unless it is a tombstone.
func (x *index) compactedFor(s *send, offset int64, r *reader, number int8) bool {
	end := instantOf(x.ops[r.last].Ended)
	for n := range x.partitions[s.partition].regimes {
		by := &x.partitions[s.partition].regimes[n]
		then, ruled := by.by(end)
		if !ruled || !by.Compacted {
			continue
		}
		aborted := s.fate == history.Failed || !r.committed && x.mayBeAborted(s)
		if aborted && x.cleanable(s, by, then) || x.forgotten(s, by, then) || x.supersedes(s, offset, func(u *send) bool {
			return x.cleanable(u, by, then) && (u.finally&(1<<number) != 0 || x.gone(u, end))
		}) {
			return true
		}
	}
	return false
}

// gone tells whether a record is a tombstone that may have gone by then, by any settings.
func (x *index) gone(s *send, end instant) bool {
	for n := range x.partitions[s.partition].regimes {
		by := &x.partitions[s.partition].regimes[n]
		if then, ruled := by.by(end); ruled && by.Compacted && x.forgotten(s, by, then) {
			return true
		}
	}
	return false
}

// mayBeAborted tells whether a record's transaction is not known to be committed.
func (x *index) mayBeAborted(s *send) bool { return s.fate != history.OK && s.committed < 0 }

// forgotten tells whether a record is a tombstone that may have gone by then.
func (x *index) forgotten(s *send, by *regime, then instant) bool {
	return s.record.Tombstone && (then.at == math.MaxInt64 || x.sentAt(s)+by.Tombstones <= then.at+x.gains)
}

// checkValues finds those who read a compacted partition from where it begins to where it ends, in less time than tombstones
// stay, and did not end with the newest value of a key: or had one that was deleted.
func checkValues(x *index, f *findings) {
	for i := range x.ops {
		o := &x.ops[i]
		if !o.Whole || o.Kind != history.Poll || o.Outcome != history.OK || o.Ended.Never() {
			continue
		}
		for _, end := range o.Offsets {
			if id, known := x.ids[end.Partition]; known && x.partitions[id].onlyCompacted() {
				x.checkWhole(f, o, id, end.Offset)
			}
		}
	}
}

// checkWhole judges one reading of a partition.
func (x *index) checkWhole(f *findings, o *history.Operation, partition int32, end int64) {
	for _, r := range x.partitions[partition].regimes {
		if o.Ended.At-o.Begun.At+x.gains >= r.Tombstones {
			return
		}
	}
	last := x.lastRead(o, x.partitions[partition].Partition)
	asked := x.partitions[partition].askedUpTo(instantOf(o.Ended))
	told := map[int64]bool{} // keys
	for i := range x.sends {
		s := &x.sends[i]
		// The newest of a key comes last, and one that was passed by is told of once.
		if s.partition != partition || told[s.record.Key] || !x.knownBefore(s, o) || s.record.Offset >= end || s.record.Offset < asked {
			continue
		}
		got, some := last[s.record.Key]
		switch {
		case some && got.Offset >= s.record.Offset:
		case some:
			told[s.record.Key] = true
			f.add(WrongValue, s.record.Partition, []place{x.sendPlace(s), {op: o}}, "of key %d, %v was read last, and %v, which came after it, was not",
				s.record.Key, got, s.record)
		case !x.forgottenSince(s, instantOf(o.Ended)):
			told[s.record.Key] = true
			f.add(WrongValue, s.record.Partition, []place{x.sendPlace(s), {op: o}}, "of key %d nothing was read, and %v is there", s.record.Key, s.record)
		}
	}
}

// lastRead gives the last record of each key that an operation read of a partition, but for those that are aborted: whoever
// finds these in the log knows that they are.
func (x *index) lastRead(o *history.Operation, p history.Partition) map[int64]history.Record {
	last := map[int64]history.Record{}
	for i := range o.Steps {
		for _, r := range o.Steps[i].Read {
			id, known := x.byValue.get(r.Value)
			if r.Partition == p && known && x.sends[id].fate != history.Failed {
				last[r.Key] = r
			}
		}
	}
	return last
}

// knownBefore tells whether a record was acknowledged, and if it is in a transaction, committed, before an operation began.
func (x *index) knownBefore(s *send, o *history.Operation) bool {
	by := &x.ops[s.op]
	if !s.acked() || s.fate != history.OK || s.record.Offset < 0 {
		return false
	}
	if s.transactional {
		return endOf(by.Ended) < o.Begun.Seq
	}
	return endOfStep(by, &by.Steps[s.step]) < o.Begun.Seq
}

// forgottenSince tells whether a key may have nothing left: since a record, or one after it, is a tombstone that may have gone.
func (x *index) forgottenSince(s *send, then instant) bool {
	return x.gone(s, then) || x.supersedes(s, s.record.Offset, func(u *send) bool { return x.gone(u, then) })
}
