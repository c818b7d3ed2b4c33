package checker

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// index is a history as the checks look at it: sends by value, reads in order, and who read what finally.
type index struct {
	ops        []history.Operation // by Begun.Seq
	pipelines  []history.Pipeline
	partitions []partition
	ids        map[history.Partition]int32 // of partitions
	asked      int32                       // the partition that was looked up last: mostly it is the next one, too
	sends      []send                      // in order of operations and steps
	byValue    table                       // sends
	again      []int32                     // sends of a value that was sent before
	reads      []read                      // in order of operations, steps and records
	readers    []reader
	start      int64                   // history's Start
	ahead      time.Duration           // and Ahead
	gains      time.Duration           // and the more of it and Gains
	topics     map[string][]regime     // that lose records by their settings
	removals   map[string]removal      // of topics
	lineages   map[lineageKey]*lineage // of compacted topics
	// transactional: the history has transactions, so that read_committed differs from read_uncommitted.
	transactional bool
}

type partition struct {
	history.Partition
	losses
	acked int32 // a send that was acknowledged; -1: none
}

// send is a record that somebody sent.
type send struct {
	op, step  int32
	partition int32
	record    *history.Record
	outcome   history.Outcome
	// fate is that of its transaction: OK outside of transactions.
	fate          history.Outcome
	transactional bool

	finally       uint64 // the final readers that read it, a bit each
	first         int32  // the first read of it; -1: nobody read it
	committed     int32  // the first read_committed one; -1: none
	elsewhere     int32  // the first one at another place than first's; -1: none
	foundWhereAck bool   // it was read where the acknowledgement said
}

// acked tells whether the record was acknowledged.
func (s *send) acked() bool { return s.outcome == history.OK }

// read is a record that a poll returned.
type read struct {
	op, step  int32
	partition int32
	send      int32 // -1: nobody sent it
	record    *history.Record
	committed bool // read_committed
	reader    int8 // that of a final read; -1: it is none
}

func newIndex(h *history.History) *index {
	ops := h.Operations
	earlier := func(a, b history.Operation) int { return cmp.Compare(a.Begun.Seq, b.Begun.Seq) }
	if !slices.IsSortedFunc(ops, earlier) {
		ops = slices.Clone(ops)
		slices.SortStableFunc(ops, earlier)
	}
	x := &index{ops: ops, pipelines: h.Pipelines, start: h.Start, ahead: h.Ahead, gains: max(h.Ahead, h.Gains), ids: map[history.Partition]int32{}}
	x.indexTopics(h.Topics, h.Trailing)
	x.indexSends()
	readerOf := x.indexReaders()
	x.indexReads(readerOf)
	x.indexBorders()
	x.indexKeys()
	return x
}

// partition gives the number of a partition.
func (x *index) partition(p history.Partition) int32 {
	if int(x.asked) < len(x.partitions) && x.partitions[x.asked].Partition == p {
		return x.asked
	}
	id, known := x.ids[p]
	if !known {
		id = int32(len(x.partitions))
		x.ids[p] = id
		x.partitions = append(x.partitions, partition{Partition: p, losses: x.lossesOf(p.Topic), acked: -1})
	}
	x.asked = id
	return id
}

func (x *index) indexSends() {
	sends, reads := 0, 0
	for i := range x.ops {
		for j := range x.ops[i].Steps {
			reads += len(x.ops[i].Steps[j].Read)
			if x.ops[i].Steps[j].Send != nil {
				sends++
			}
		}
	}
	x.sends, x.reads, x.byValue = make([]send, 0, sends), make([]read, 0, reads), newTable(sends)
	for i := range x.ops {
		o := &x.ops[i]
		if o.Kind == history.DeleteRecords && o.Outcome != history.Failed {
			for _, at := range o.Offsets {
				x.partitions[x.partition(at.Partition)].ask(o.Begun.Seq, at.Offset)
			}
		}
		x.transactional = x.transactional || o.Kind == history.Transaction
		for j := range o.Steps {
			if o.Steps[j].Send != nil {
				x.indexSend(int32(i), int32(j))
			}
		}
	}
}

func (x *index) indexSend(i, j int32) {
	o := &x.ops[i]
	step := &o.Steps[j]
	s := send{
		op: i, step: j, partition: x.partition(step.Send.Partition), record: step.Send, outcome: step.Outcome,
		fate: history.OK, first: -1, committed: -1, elsewhere: -1,
	}
	if o.Kind == history.Transaction {
		s.transactional, s.fate = true, o.Fate()
	}
	id := int32(len(x.sends))
	if _, known := x.byValue.get(s.record.Value); known {
		x.again = append(x.again, id)
	} else {
		x.byValue.put(s.record.Value, id)
	}
	x.sends = append(x.sends, s)
	if p := &x.partitions[s.partition]; s.acked() && p.acked < 0 {
		p.acked = id
	}
}

// indexReads notes every record that was read, and with the sends what became of them.
func (x *index) indexReads(readerOf []int8) {
	for i := range x.ops {
		o := &x.ops[i]
		for j := range o.Steps {
			for k := range o.Steps[j].Read {
				record := &o.Steps[j].Read[k]
				r := read{
					op: int32(i), step: int32(j), partition: x.partition(record.Partition), send: -1, record: record,
					committed: o.Isolation == history.ReadCommitted, reader: readerOf[i],
				}
				if id, known := x.byValue.get(record.Value); known {
					r.send = id
					x.noteRead(&x.sends[id], &r, int32(len(x.reads)))
				}
				x.reads = append(x.reads, r)
				if r.reader >= 0 {
					x.readers[r.reader].note(r.partition, record.Offset)
				}
			}
		}
	}
}

func (x *index) noteRead(s *send, r *read, id int32) {
	if s.first < 0 {
		s.first = id
	} else if first := &x.reads[s.first]; s.elsewhere < 0 && (first.record.Offset != r.record.Offset || first.partition != r.partition) {
		s.elsewhere = id
	}
	if r.committed && s.committed < 0 {
		s.committed = id
	}
	if r.reader >= 0 {
		s.finally |= 1 << r.reader
	}
	if s.partition == r.partition && s.record.Offset == r.record.Offset {
		s.foundWhereAck = true
	}
}

// sendPlace and readPlace say where in the history a send or a read is.
func (x *index) sendPlace(s *send) place { return x.place(s.op, s.step) }
func (x *index) readPlace(r *read) place { return x.place(r.op, r.step) }

func (x *index) place(op, step int32) place {
	o := &x.ops[op]
	return place{o, &o.Steps[step]}
}

// readEnd is the Seq at which a read was over.
func (x *index) readEnd(r *read) int64 {
	o := &x.ops[r.op]
	return endOfStep(o, &o.Steps[r.step])
}

// never is after all moments.
const never = math.MaxInt64

// endOf is the Seq at which something ended, never if it did not.
func endOf(m history.Moment) int64 {
	if m.Never() {
		return never
	}
	return m.Seq
}

// endOfStep is the Seq at which a step was over: with its operation, if it does not tell itself.
func endOfStep(o *history.Operation, s *history.Step) int64 {
	return min(endOf(s.Ended), endOf(o.Ended))
}

// beginOfStep is the Seq at which a step began: with its operation, if it does not tell itself.
func beginOfStep(o *history.Operation, s *history.Step) int64 { return max(s.Begun.Seq, o.Begun.Seq) }

// table maps numbers, most of them small and dense, to numbers.
type table struct {
	dense  []int32 // plus one; 0: none
	limit  int64
	sparse map[int64]int32
}

// newTable makes a table for about so many numbers.
func newTable(expected int) table {
	return table{limit: 4*int64(expected) + 1024, sparse: map[int64]int32{}}
}

func (t *table) get(key int64) (int32, bool) {
	if key >= 0 && key < int64(len(t.dense)) {
		return t.dense[key] - 1, t.dense[key] != 0
	}
	value, known := t.sparse[key]
	return value, known
}

func (t *table) put(key int64, value int32) {
	if key < 0 || key >= t.limit {
		t.sparse[key] = value
		return
	}
	if missing := key + 1 - int64(len(t.dense)); missing > 0 {
		t.dense = append(t.dense, make([]int32, missing)...)
	}
	t.dense[key] = value + 1
}
