package checker

import (
	"cmp"
	"slices"
	"sort"

	"github.com/runnel-io/runnel/integration/history"
)

// stamped is a record's time at its offset, and the greatest of those before it and its own.
type stamped struct {
	offset, timestamp, top int64
	send                   int32 // -1: nobody sent it
}

// checkTimes finds answers to FindOffset that are not the first record of the time. Markers have times that nobody here
// knows, so an offset without a record may be the answer unless a record before it would have done.
func checkTimes(x *index, f *findings) {
	var of [][]stamped
	for i := range x.ops {
		o := &x.ops[i]
		if o.Kind != history.FindOffset || o.Outcome != history.OK || len(o.Offsets) != 1 {
			continue
		}
		if of == nil {
			of = x.stamps()
		}
		if id, known := x.ids[o.Offsets[0].Partition]; known {
			x.checkTime(f, o, of[id], x.partitions[id].loses())
		}
	}
}

// stamps are the records of all partitions that anybody read, by offset.
func (x *index) stamps() [][]stamped {
	of := make([][]stamped, len(x.partitions))
	for i := range x.reads {
		r := &x.reads[i]
		if r.record.Timestamp != 0 {
			of[r.partition] = append(of[r.partition], stamped{offset: r.record.Offset, timestamp: r.record.Timestamp, send: r.send})
		}
	}
	for i := range of {
		slices.SortStableFunc(of[i], func(a, b stamped) int { return cmp.Compare(a.offset, b.offset) })
		of[i] = slices.CompactFunc(of[i], func(a, b stamped) bool { return a.offset == b.offset })
		top := int64(0)
		for j := range of[i] {
			top = max(top, of[i][j].timestamp)
			of[i][j].top = top
		}
	}
	return of
}

func (x *index) checkTime(f *findings, o *history.Operation, records []stamped, losing bool) {
	told, partition, at := o.Offsets[0].Offset, o.Offsets[0].Partition, []place{{op: o}}
	if i, here := slices.BinarySearchFunc(records, told, func(s stamped, offset int64) int { return cmp.Compare(s.offset, offset) }); here {
		if s := records[i]; s.timestamp < o.Asked || s.timestamp != o.Told {
			f.add(WrongTime, partition, at, "asked for a record of the time %d, broker %q told of offset %d and the time %d, whose record has the time %d",
				o.Asked, o.Broker, told, o.Told, s.timestamp)
		}
	}
	i := sort.Search(len(records), func(i int) bool { return records[i].top >= o.Asked })
	for losing && i < len(records) && (records[i].timestamp < o.Asked || x.maybeGone(&records[i], instantOf(o.Ended))) {
		i++
	}
	if i == len(records) {
		return
	}
	if first := records[i]; told > first.offset || told < 0 && o.Final {
		f.add(WrongTime, partition, at, "asked for the first record of the time %d, broker %q told of offset %d, and the one at offset %d has the time %d",
			o.Asked, o.Broker, told, first.offset, first.timestamp)
	}
}

// maybeGone tells whether a record may have been gone by then.
func (x *index) maybeGone(s *stamped, then instant) bool {
	return s.send < 0 || x.mayHaveGone(&x.sends[s.send], s.offset, then)
}

// checkFresh finds borders from brokers that promised to know all that anybody was told before, and did not.
func checkFresh(x *index, f *findings) {
	var told []knowledge
	for i := range x.ops {
		o := &x.ops[i]
		if o.Kind != history.Observe || !o.Fresh || o.Outcome != history.OK || o.Marks == nil || o.Marks.High < 0 {
			continue
		}
		if told == nil {
			told = x.told()
		}
		id, known := x.ids[o.Marks.Partition]
		if !known {
			continue
		}
		if offset := told[id].before(o.Begun.Seq); offset >= o.Marks.High {
			f.add(StaleOffset, o.Marks.Partition, []place{{op: o}}, "broker %q said that the end is %d, after somebody had been told of offset %d",
				o.Broker, o.Marks.High, offset)
		}
	}
}

// knowledge is the greatest offset of a partition that anybody had been told of, by the Seq since which.
type knowledge []struct{ since, offset int64 }

func (k knowledge) before(seq int64) int64 {
	i := sort.Search(len(k), func(i int) bool { return k[i].since >= seq })
	if i == 0 {
		return -1
	}
	return k[i-1].offset
}

func (x *index) told() []knowledge {
	all := make([]knowledge, len(x.partitions))
	add := func(partition int32, since, offset int64) {
		all[partition] = append(all[partition], struct{ since, offset int64 }{since, offset})
	}
	for i := range x.sends {
		if s := &x.sends[i]; s.acked() && !x.ops[s.op].Steps[s.step].Ended.Never() {
			add(s.partition, x.ops[s.op].Steps[s.step].Ended.Seq, s.record.Offset)
		}
	}
	for i := range x.reads {
		r := &x.reads[i]
		add(r.partition, x.readEnd(r), r.record.Offset)
	}
	for _, k := range all {
		slices.SortFunc(k, func(a, b struct{ since, offset int64 }) int {
			return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.offset, b.offset))
		})
		for i := 1; i < len(k); i++ {
			k[i].offset = max(k[i].offset, k[i-1].offset)
		}
	}
	return all
}
