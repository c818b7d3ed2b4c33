package checker

import (
	"fmt"
	"strings"

	"github.com/runnel-io/runnel/integration/history"
)

// checkRecords finds records that were read otherwise than they were sent.
func checkRecords(x *index, f *findings) {
	for i := range x.reads {
		r := &x.reads[i]
		if r.record.Offset < 0 {
			f.add(BadOffset, r.record.Partition, []place{x.readPlace(r)}, "the value %d was read at offset %d", r.record.Value, r.record.Offset)
		}
		if r.send < 0 {
			f.add(WrongRecord, r.record.Partition, []place{x.readPlace(r)}, "nobody sent the value %d, which was read at offset %d", r.record.Value, r.record.Offset)
			continue
		}
		s := &x.sends[r.send]
		if wrong := x.wrong(s, r); wrong != "" {
			f.add(WrongRecord, r.record.Partition, []place{x.sendPlace(s), x.readPlace(r)}, "the value %d was %s", s.record.Value, wrong)
		}
	}
}

// wrong says how a record was read otherwise than it was sent, "" if it was not.
func (x *index) wrong(s *send, r *read) string {
	switch sent, got := s.record, r.record; {
	case s.partition != r.partition:
		return fmt.Sprintf("sent to %s", sent.Partition)
	case sent.Key != got.Key || sent.Of != got.Of:
		return fmt.Sprintf("sent with key %d, of %d, and read with key %d, of %d", sent.Key, sent.Of, got.Key, got.Of)
	case sent.Timestamp != 0 && sent.Timestamp != got.Timestamp:
		return fmt.Sprintf("sent with the time %d, and read with the time %d", sent.Timestamp, got.Timestamp)
	case x.readEnd(r) < x.ops[s.op].Begun.Seq:
		return "read before it was sent"
	}
	return ""
}

// sending is a producer's sending to a partition.
type sending struct {
	client    string
	partition int32
}

// checkAcks finds acknowledgements without an offset, errors with one, and records of one producer that are not in the order
// in which it sent them. Records without an acknowledgement have no order: a producer that gave one up starts anew.
func checkAcks(x *index, f *findings) {
	last := map[sending]int32{}
	for i := range x.sends {
		s := &x.sends[i]
		at := x.sendPlace(s)
		if offset := s.record.Offset; s.acked() != (offset >= 0) {
			f.add(BadOffset, s.record.Partition, []place{at}, "the send of %d is %s, with offset %d", s.record.Value, s.outcome, offset)
		}
		if at.op.Patient && strings.Contains(at.step.Error, "OUT_OF_ORDER_SEQUENCE_NUMBER") {
			f.add(BadRefusal, s.record.Partition, []place{at}, "%s leaves nothing out, and the send of %d was refused: %s", at.op.Client, s.record.Value, at.step.Error)
		}
		if !s.acked() || s.record.Offset < 0 || at.op.Client == "" {
			continue
		}
		key := sending{at.op.Client, s.partition}
		if before, some := last[key]; some && x.sends[before].record.Offset >= s.record.Offset {
			b := &x.sends[before]
			f.add(NonmonotonicSend, s.record.Partition, []place{x.sendPlace(b), at}, "%s sent %d, which is at offset %d, and after it %d, which is at offset %d (%s)",
				key.client, b.record.Value, b.record.Offset, s.record.Value, s.record.Offset, extent(b.op, s.op))
		}
		last[key] = int32(i)
	}
}

// extent tells whether two things are in one operation or in two.
func extent(a, b int32) string {
	if a == b {
		return "internal: within one operation"
	}
	return "external: across operations"
}

// checkIsolation finds reads of what is not committed, or was not yet.
func checkIsolation(x *index, f *findings) {
	const aborted, early = 1, 2
	told := make([]uint8, len(x.sends)) // each record once
	for i := range x.reads {
		r := &x.reads[i]
		if r.send < 0 {
			continue
		}
		s := &x.sends[r.send]
		if told[r.send]&aborted == 0 && x.aborted(s, r) {
			told[r.send] |= aborted
			f.add(AbortedRead, s.record.Partition, []place{x.sendPlace(s), x.readPlace(r)}, "the value %d was read, %s", s.record.Value, x.whyAborted(s))
		}
		if told[r.send]&early == 0 && x.early(s, r) {
			told[r.send] |= early
			f.add(PrecommittedRead, s.record.Partition, []place{x.sendPlace(s), x.readPlace(r)},
				"the value %d was read before anybody asked to commit it", s.record.Value)
		}
	}
}

// aborted tells whether a read shows what definitely did not happen. A send that was refused for good in a transaction may
// still be in the log, if it is an attempt after one whose answer was lost: read_uncommitted may find it.
func (x *index) aborted(s *send, r *read) bool {
	if s.outcome == history.Failed && (r.committed || !s.transactional) {
		return true
	}
	return r.committed && s.fate == history.Failed
}

func (x *index) whyAborted(s *send) string {
	o := &x.ops[s.op]
	switch {
	case s.outcome == history.Failed:
		return "and its send was refused"
	case o.Deciding.Never():
		return "and its transaction was never decided"
	case !o.Commit:
		return "and its transaction was to abort"
	default:
		return "and its transaction's commit was refused"
	}
}

// early tells whether read_committed showed a record before the end of its transaction was asked for.
func (x *index) early(s *send, r *read) bool {
	if !r.committed || !s.transactional || s.fate == history.Failed {
		return false
	}
	return x.readEnd(r) < x.ops[s.op].Deciding.Seq
}
