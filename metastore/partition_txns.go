package metastore

import (
	"slices"
	"sort"

	"github.com/runnel-io/runnel/planted"
)

// partitionTxns is what a partition knows of transactions. It is copied before it changes once it may be in a view.
type partitionTxns struct {
	epoch   uint64         // of the sharing
	open    []openTxnStart // by first offset
	aborted []abortedTxn   // by last offset; only ever appended to, and cut at the front
}

// openTxnStart is an undecided transaction: its producer, and the offset of its first record in the partition.
type openTxnStart struct {
	producer ProducerID
	first    Offset
}

// abortedTxn has, beside what readers need, the last stable offset right after its marker: no transaction that was aborted
// later begins below it, so a search ends there.
type abortedTxn struct {
	AbortedTxn
	stable Offset
}

// stable is the last stable offset. It never goes back: what is open ends, and what begins, begins at the high watermark.
func (p *partition) stable() Offset {
	if p.txns == nil || len(p.txns.open) == 0 {
		return p.high
	}
	return max(p.txns.open[0].first, p.logStart)
}

// openAt returns the offset of the first record of a producer's open transaction, NoOffset if there is none. A nil
// partitionTxns has none.
func (t *partitionTxns) openAt(id ProducerID) Offset {
	if t != nil {
		for i := range t.open {
			if t.open[i].producer == id {
				return t.open[i].first
			}
		}
	}
	return NoOffset
}

// overlapping returns the aborted transactions with a marker at from or later and a record below end.
func (t *partitionTxns) overlapping(from, end Offset) []AbortedTxn {
	if t == nil {
		return nil
	}
	var found []AbortedTxn
	i := sort.Search(len(t.aborted), func(i int) bool { return t.aborted[i].Last >= from })
	for ; i < len(t.aborted); i++ {
		if a := &t.aborted[i]; a.First < end {
			found = append(found, a.AbortedTxn)
		}
		if t.aborted[i].stable >= end {
			break
		}
	}
	return found
}

// ownTxns returns what the partition knows of transactions, to be written.
func (s *State) ownTxns(p *partition) *partitionTxns {
	switch t := p.txns; {
	case t == nil:
		p.txns = &partitionTxns{epoch: s.sharing.epoch}
	case t.epoch < s.sharing.shared:
		p.txns = &partitionTxns{epoch: s.sharing.epoch, open: slices.Clone(t.open), aborted: t.aborted}
	}
	return p.txns
}

// openTxn notes the first record of a transaction in the partition.
func (s *State) openTxn(p *partition, id ProducerID, first Offset) {
	t := s.ownTxns(p)
	t.open = append(t.open, openTxnStart{producer: id, first: first})
}

// closeTxn ends a producer's open transaction, whose marker has just been put at the end.
func (s *State) closeTxn(p *partition, id ProducerID, marker Offset, commit bool) {
	t := s.ownTxns(p)
	i := slices.IndexFunc(t.open, func(o openTxnStart) bool { return o.producer == id })
	if i < 0 {
		return
	}
	first := t.open[i].first
	t.open = slices.Delete(t.open, i, i+1)
	if !commit && !planted.Is(planted.AbortedForgotten) {
		t.aborted = append(t.aborted, abortedTxn{AbortedTxn{Producer: id, First: first, Last: marker}, p.stable()})
	}
	s.forgetAborted(p)
}

// forgetAborted drops the aborted transactions that lie before the log start, and all that the partition knows of
// transactions if nothing is left.
func (s *State) forgetAborted(p *partition) {
	t := p.txns
	if t == nil {
		return
	}
	if i := sort.Search(len(t.aborted), func(i int) bool { return t.aborted[i].Last >= p.logStart }); i > 0 {
		t = s.ownTxns(p)
		t.aborted = t.aborted[i:]
	}
	if len(t.open) == 0 && len(t.aborted) == 0 {
		p.txns = nil
	}
}
