package checker

import (
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/integration/history"
)

// groupPartition is what a group commits offsets of.
type groupPartition struct {
	group string
	history.Partition
}

// commit is an attempt to commit an offset, which took effect, if ever, between its begin and its end.
type commit struct {
	op         *history.Operation
	offset     int64
	begin, end int64
	fate       history.Outcome
}

// floor is a committed offset that somebody knew of: who looks after end must not find less.
type floor struct {
	op         *history.Operation
	offset     int64
	begin, end int64
	generation int32 // of who committed it outside of a transaction, 0 if nobody knows
	torn       bool  // known only by the records of its transaction
}

// look is one partition's offset in an answer to FetchOffsets.
type look struct {
	op     *history.Operation
	offset int64
}

// ledger is all about one group's offset of one partition.
type ledger struct {
	groupPartition
	commits map[int64][]commit // by offset
	aborted map[int64][]commit // by transactions that are not committed
	floors  []floor
	looks   []look // by begin
}

// checkCommittedOffsets finds committed offsets that went back, and such as only a transaction committed of which the
// records are not there. Groups commit forward; a commit without an answer may take effect at any time after it began, also
// after others that went further, so what it committed may be found then.
func checkCommittedOffsets(x *index, f *findings) {
	sends := map[*history.Operation][]send{}
	x.eachTransaction(func(o *history.Operation, of []send) { sends[o] = of })
	told := map[*history.Operation]bool{} // transactions
	for _, l := range ledgers(x, sends) {
		l.checkRising(f)
		for _, seen := range l.looks {
			l.checkSource(x, f, seen, sends, told)
		}
	}
}

// ledgers gives the ledgers in the order in which they are first mentioned.
func ledgers(x *index, sends map[*history.Operation][]send) []*ledger {
	var all []*ledger
	known := map[groupPartition]*ledger{}
	for i := range x.ops {
		o := &x.ops[i]
		if o.Kind != history.CommitOffsets && o.Kind != history.FetchOffsets && o.Kind != history.Transaction {
			continue
		}
		for _, at := range o.Offsets {
			key := groupPartition{o.Group, at.Partition}
			l := known[key]
			if l == nil {
				l = &ledger{groupPartition: key, commits: map[int64][]commit{}, aborted: map[int64][]commit{}}
				known[key] = l
				all = append(all, l)
			}
			switch o.Kind {
			case history.CommitOffsets:
				l.noteCommit(o, at.Offset, o.Outcome, never)
			case history.Transaction:
				l.noteCommit(o, at.Offset, o.Fate(), x.seenCommitted(sends[o]))
			case history.FetchOffsets:
				if o.Outcome == history.OK {
					l.looks = append(l.looks, look{o, at.Offset})
					l.floors = append(l.floors, floor{op: o, offset: at.Offset, begin: o.Begun.Seq, end: endOf(o.Ended)})
				}
			}
		}
	}
	return all
}

// seenCommitted gives the Seq at which somebody first had read a record of these at read_committed, never if nobody had.
func (x *index) seenCommitted(sends []send) int64 {
	seen := int64(never)
	for i := range sends {
		if id := sends[i].committed; id >= 0 {
			seen = min(seen, x.readEnd(&x.reads[id]))
		}
	}
	return seen
}

// noteCommit notes a commit of either kind; seen is when records of its transaction were first seen.
func (l *ledger) noteCommit(o *history.Operation, offset int64, fate history.Outcome, seen int64) {
	c := commit{op: o, offset: offset, begin: o.Begun.Seq, end: endOf(o.Ended), fate: fate}
	if o.Kind == history.Transaction {
		c.begin = max(c.begin, o.Deciding.Seq)
	}
	switch {
	case fate == history.OK:
		known := floor{op: o, offset: offset, begin: c.begin, end: c.end}
		if o.Kind == history.CommitOffsets {
			known.generation = o.Generation
		}
		l.floors = append(l.floors, known)
	case fate == history.Unknown:
		c.end = never
		l.floors = append(l.floors, floor{op: o, offset: offset, begin: c.begin, end: seen, torn: true})
	case o.Kind == history.Transaction:
		l.aborted[offset] = append(l.aborted[offset], c)
		return
	}
	// A commit that was refused may be an attempt after one whose answer was lost: it counts as one that may have been.
	l.commits[offset] = append(l.commits[offset], c)
}

// checkRising compares each look with the highest floors known before it.
func (l *ledger) checkRising(f *findings) {
	floors := slices.Clone(l.floors)
	slices.SortStableFunc(floors, func(a, b floor) int { return cmp.Compare(a.end, b.end) })
	var sure, torn floor
	for _, seen := range l.looks {
		for len(floors) > 0 && floors[0].end < seen.op.Begun.Seq {
			if floors[0].torn {
				torn = higher(torn, floors[0])
			} else {
				sure = higher(sure, floors[0])
			}
			floors = floors[1:]
		}
		for _, low := range []floor{sure, torn} {
			if low.op == nil || seen.offset >= low.offset || l.excused(seen, low) {
				continue
			}
			name, known := CommittedOffsetBack, "known"
			if low.torn {
				name, known = TornTransaction, "committed, as the records of its transaction show"
			}
			f.add(name, l.Partition, []place{{op: low.op}, {op: seen.op}}, "group %q: the offset %d was %s, and then %d was found", l.group, low.offset, known, seen.offset)
			break
		}
	}
}

// higher gives the higher floor; of two that are as high it gives the first, with what both tell.
func higher(a, b floor) floor {
	switch {
	case a.op == nil || b.offset > a.offset:
		return b
	case b.offset == a.offset:
		a.begin, a.generation = max(a.begin, b.begin), max(a.generation, b.generation)
	}
	return a
}

// excused tells whether a commit of just the offset that was found may have taken effect after the higher one was there.
// One that names an earlier generation cannot, since the group had gone on. In a transaction it can: the generation is
// looked at when the offset is given, and not when the transaction is committed.
func (l *ledger) excused(seen look, low floor) bool {
	return slices.ContainsFunc(l.commits[seen.offset], func(c commit) bool {
		fenced := c.op.Kind == history.CommitOffsets && c.op.Generation > 0 && c.op.Generation < low.generation
		return c.begin < endOf(seen.op.Ended) && c.end > low.begin && !fenced
	})
}

// checkSource looks at who may have committed an offset that was found.
func (l *ledger) checkSource(x *index, f *findings, seen look, sends map[*history.Operation][]send, told map[*history.Operation]bool) {
	before := func(c commit) bool { return c.begin < endOf(seen.op.Ended) }
	var sources []commit
	for _, c := range l.commits[seen.offset] {
		if before(c) {
			sources = append(sources, c)
		}
	}
	if len(sources) == 0 {
		if i := slices.IndexFunc(l.aborted[seen.offset], before); i >= 0 {
			o := l.aborted[seen.offset][i].op
			f.add(AbortedRead, l.Partition, []place{{op: o}, {op: seen.op}}, "group %q: the offset %d was found, which only a transaction that is not committed has", l.group, seen.offset)
		}
		return
	}
	only := sources[0].op
	if len(sources) > 1 || only.Kind != history.Transaction || only.Fate() != history.Unknown || told[only] {
		return
	}
	// The transaction is committed, then. If some of its records are there, checkTorn has seen which are not.
	if of := sends[only]; x.seenCommitted(of) == never {
		for i := range of {
			if s := &of[i]; s.acked() && x.lackingReader(s) != nil {
				told[only] = true
				f.add(TornTransaction, l.Partition, []place{x.sendPlace(s), {op: seen.op}}, "group %q: the offset %d of a transaction was found, and the value %d in %s, which was acknowledged in it, is not there",
					l.group, seen.offset, s.record.Value, s.record.Partition)
				return
			}
		}
	}
}
