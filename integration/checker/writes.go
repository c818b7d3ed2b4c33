package checker

import (
	"fmt"

	"github.com/runnel-io/runnel/integration/history"
)

// checkWrites finds records that had to be in a final read and are not. What was acknowledged has to be there, but for
// records of transactions that are not known to be committed, which only read_uncommitted has to find; and so does what
// anybody has read, since what is once below the high watermark stays.
func checkWrites(x *index, f *findings) {
	for i := range x.sends {
		s := &x.sends[i]
		committed, uncommitted := x.due(s)
		for j := range x.readers {
			r := &x.readers[j]
			due := uncommitted && !r.committed || committed && r.committed
			if due && x.lacks(r, int8(j), s) && x.inTime(s, r) {
				x.reportMissing(f, s, r)
				break
			}
		}
	}
}

// due tells which final reads have to find a record.
func (x *index) due(s *send) (committed, uncommitted bool) {
	uncommitted = s.acked() || s.first >= 0
	switch {
	case s.fate == history.Failed:
		// Aborted. It stays in the log, but whoever saw it with read_committed was wrong to.
	case s.committed >= 0:
		committed = true
	case s.fate == history.OK:
		committed = s.acked() || !s.transactional && s.first >= 0
	}
	return committed, uncommitted
}

// lacks tells whether a final reader ought to have come by a record, and did not.
func (x *index) lacks(r *reader, number int8, s *send) bool {
	if s.finally&(1<<number) != 0 {
		return false
	}
	offset := x.offsetOf(s)
	if x.mayBeGone(s, offset, r, number) {
		return false
	}
	return r.covers(s.partition) || r.past(s.partition, offset)
}

// inTime tells whether a record that is due was there when a final reader began, or, as offsets are given in order, when it
// read what is after it. A record without an acknowledgement may come as late as during the final reads.
func (x *index) inTime(s *send, r *reader) bool {
	known := s.first
	if r.committed && s.transactional {
		known = s.committed
	}
	return s.acked() || r.past(s.partition, x.offsetOf(s)) || x.readEnd(&x.reads[known]) < r.begin
}

// offsetOf is where a record is, as far as is known, else -1.
func (x *index) offsetOf(s *send) int64 {
	switch {
	case s.acked() && s.record.Offset >= 0:
		return s.record.Offset
	case s.first >= 0:
		return x.reads[s.first].record.Offset
	default:
		return -1
	}
}

func (x *index) reportMissing(f *findings, s *send, r *reader) {
	offset := x.offsetOf(s)
	places := []place{x.sendPlace(s)}
	name, why := LostWrite, "was acknowledged"
	switch {
	case s.first >= 0 && !s.acked():
		why = "was read"
	case s.first >= 0:
		why = "was acknowledged, and read"
	case !r.past(s.partition, offset):
		name = Unseen
	}
	if s.first >= 0 {
		at := s.first
		if s.committed >= 0 {
			at = s.committed
		}
		places = append(places, x.readPlace(&x.reads[at]))
	}
	places = append(places, place{op: &x.ops[r.last]})
	f.add(name, s.record.Partition, places, "the value %d%s %s, and %s does not have it",
		s.record.Value, atOffset(offset), why, x.describeReader(r, s.partition))
}

func atOffset(offset int64) string {
	if offset < 0 {
		return ""
	}
	return fmt.Sprintf(" at offset %d", offset)
}

// describeReader says what a final reader read of a partition.
func (x *index) describeReader(r *reader, partition int32) string {
	text := "the final read"
	if r.client != "" {
		text += " by " + r.client
	}
	if r.committed {
		text += " at read_committed"
	} else {
		text += " at read_uncommitted"
	}
	if int(partition) < len(r.highest) && r.highest[partition] >= 0 {
		return fmt.Sprintf("%s, whose last offset is %d,", text, r.highest[partition])
	}
	return text + ", which found nothing,"
}

// committedReaders are the bits of the final readers that read at read_committed.
func (x *index) committedReaders() uint64 {
	var bits uint64
	for i := range x.readers {
		if x.readers[i].committed || !x.transactional {
			bits |= 1 << i
		}
	}
	return bits
}

// checkTorn finds transactions of which nobody knows whether they are committed, and that are in part.
func checkTorn(x *index, f *findings) {
	visible := x.committedReaders()
	x.eachTransaction(func(o *history.Operation, sends []send) {
		if o.Fate() != history.Unknown {
			return // Committed or not: the checks of writes and of isolation see to it.
		}
		var there *send
		for i := range sends {
			if sends[i].finally&visible != 0 {
				there = &sends[i]
				break
			}
		}
		if there == nil {
			return
		}
		for i := range sends {
			s := &sends[i]
			if r := x.lackingReader(s); s.acked() && s.committed < 0 && r != nil {
				f.add(TornTransaction, s.record.Partition, []place{x.sendPlace(there), x.readPlace(&x.reads[there.committed]), x.sendPlace(s), {op: &x.ops[r.last]}},
					"of one transaction the value %d in %s is there, and %s does not have the value %d%s, which was acknowledged",
					there.record.Value, there.record.Partition, x.describeReader(r, s.partition), s.record.Value, atOffset(x.offsetOf(s)))
				return
			}
		}
	})
}

// lackingReader gives the first final read_committed reader that ought to have come by a record, and did not, if there is one.
func (x *index) lackingReader(s *send) *reader {
	for i := range x.readers {
		if r := &x.readers[i]; r.committed && x.lacks(r, int8(i), s) {
			return r
		}
	}
	return nil
}

// eachTransaction calls with each transaction that sent something, and what it sent.
func (x *index) eachTransaction(call func(*history.Operation, []send)) {
	for begin := 0; begin < len(x.sends); {
		op := x.sends[begin].op
		end := begin + 1
		for end < len(x.sends) && x.sends[end].op == op {
			end++
		}
		if o := &x.ops[op]; o.Kind == history.Transaction {
			call(o, x.sends[begin:end])
		}
		begin = end
	}
}
