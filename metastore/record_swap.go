package metastore

import (
	"encoding/binary"
	"math"
	"slices"
)

// swapRuns puts runs in new segments in place of others.
type swapRuns struct {
	segments []RewrittenSegment
	swapped  []swappedRuns // in order; those that were refused are not there
}

// swappedRuns is one accepted rewrite.
type swappedRuns struct {
	TopicPartition
	request   int    // its place in what was asked for
	from, end Offset // of the runs that go
	count     int    // of the runs that go; 0: they were gone
	cleanedTo Offset
	runs      []run // in their place; their segments are places in the list of the swap
}

func (c swapRuns) kind() kind { return kindSwap }

// sizeHint is about how long the encoding will be, rather more than less.
func (c swapRuns) sizeHint() int {
	size := 64 + 24*len(c.segments) + 24*len(c.swapped)
	for i := range c.swapped {
		size += 28 * len(c.swapped[i].runs)
	}
	return size
}

func (c swapRuns) append(b []byte) []byte {
	topics := topicTable{index: make(map[TopicID]int)}
	for i := range c.swapped {
		topics.of(c.swapped[i].Topic)
	}
	b = topics.append(b)
	b = binary.AppendUvarint(b, uint64(len(c.segments)))
	for _, g := range c.segments {
		b = append(b, g.ID[:]...)
		b = binary.AppendUvarint(b, uint64(g.Size))
	}
	b = binary.AppendUvarint(b, uint64(len(c.swapped)))
	next := 0
	for i := range c.swapped {
		w := &c.swapped[i]
		b = binary.AppendUvarint(b, uint64(w.request-next))
		next = w.request + 1
		b = topics.appendPartition(b, w.TopicPartition)
		b = binary.AppendUvarint(b, uint64(w.from))
		b = binary.AppendUvarint(b, uint64(w.end-w.from))
		b = binary.AppendUvarint(b, uint64(w.count))
		b = binary.AppendUvarint(b, uint64(w.cleanedTo))
		b = appendRuns(b, w.runs)
	}
	return b
}

func appendRuns(b []byte, runs []run) []byte {
	b = binary.AppendUvarint(b, uint64(len(runs)))
	next, timestamp := Offset(0), int64(0)
	for i := range runs {
		r := &runs[i]
		b = binary.AppendUvarint(b, uint64(r.base-next))
		b = binary.AppendUvarint(b, uint64(r.records))
		b = binary.AppendUvarint(b, uint64(r.segment))
		b = binary.AppendUvarint(b, uint64(r.position))
		b = binary.AppendUvarint(b, uint64(r.length))
		b = binary.AppendVarint(b, r.maxTimestamp-timestamp)
		next, timestamp = r.end(), r.maxTimestamp
	}
	return b
}

func decodeSwap(d *decoder) swapRuns {
	topics := d.topics()
	var c swapRuns
	for range d.count(17, "segments") {
		c.segments = append(c.segments, RewrittenSegment{ID: d.uuid(), Size: int64(d.uvarintMax(math.MaxInt64, "segment size"))})
	}
	next := 0
	for range d.count(8, "rewrites") {
		var w swappedRuns
		w.request = next + int(d.uvarintMax(math.MaxInt32, "place of a rewrite"))
		next = w.request + 1
		w.TopicPartition = d.partitionOf(topics)
		w.from = Offset(d.uvarintMax(math.MaxInt64, "offset"))
		w.end = w.from + Offset(d.uvarintMax(uint64(math.MaxInt64-w.from), "offset"))
		w.count = int(d.uvarintMax(math.MaxInt32, "count of runs"))
		w.cleanedTo = Offset(d.uvarintMax(math.MaxInt64, "offset"))
		w.runs = decodeRuns(d, len(c.segments))
		c.swapped = append(c.swapped, w)
	}
	return c
}

func decodeRuns(d *decoder, segments int) []run {
	n := d.count(6, "runs")
	if n == 0 {
		return nil
	}
	runs := make([]run, n)
	next, timestamp := Offset(0), int64(0)
	for i := range runs {
		r := &runs[i]
		r.base = next + Offset(d.uvarintMax(uint64(math.MaxInt64-next), "offset"))
		r.records = int32(d.uvarintMax(math.MaxInt32, "record count"))
		segment := d.uvarint()
		if r.records == 0 || r.base > math.MaxInt64-Offset(r.records) || segment >= uint64(segments) {
			d.fail("run")
			return nil
		}
		r.segment = uint32(segment)
		r.position = uint32(d.uvarintMax(math.MaxUint32, "position"))
		r.length = uint32(d.uvarintMax(math.MaxUint32, "length"))
		r.maxTimestamp = timestamp + d.varint()
		next, timestamp = r.end(), r.maxTimestamp
	}
	return runs
}

func (c swapRuns) apply(s *State, _ int64, _ func(TopicPartition)) {
	numbers := make([]uint32, len(c.segments))
	for i, g := range c.segments {
		numbers[i] = s.addSegment(segment{id: g.ID, size: g.Size, before: s.at}, &s.rewritten)
	}
	var runs []run
	for i := range c.swapped {
		w := &c.swapped[i]
		p := s.partition(w.TopicPartition)
		if p == nil {
			continue // no broker decides so
		}
		if at, ok := w.place(p); ok {
			runs = append(runs[:0], w.runs...)
			for j := range runs {
				runs[j].segment = numbers[runs[j].segment]
			}
			s.replaceRuns(p, at, at+w.count, runs, s.becomesGarbage)
			p.cleanedTo = max(p.cleanedTo, w.cleanedTo)
		}
	}
	for _, n := range numbers {
		if s.table.uses[n].runs == 0 {
			s.becomesGarbage(n)
		}
	}
}

// changes tells whether the state would be another one.
func (c swapRuns) changes(s *State) bool {
	return len(c.segments) > 0 || slices.ContainsFunc(c.swapped, func(w swappedRuns) bool {
		return w.count > 0 || w.cleanedTo > s.partition(w.TopicPartition).cleanedTo
	})
}

// place returns the index of the first run that goes; false if the runs are not there, or others would not fit in their
// place, which no broker decides.
func (w *swappedRuns) place(p *partition) (int, bool) {
	if w.count == 0 {
		return 0, len(w.runs) == 0 && w.cleanedTo <= p.high
	}
	at := p.runs.find(w.from)
	if w.count > p.runs.len()-at || p.runs.at(at).base != w.from || p.runs.at(at+w.count-1).end() != w.end || w.cleanedTo > p.high {
		return 0, false
	}
	if len(w.runs) == 0 {
		return at, true
	}
	first, last := &w.runs[0], &w.runs[len(w.runs)-1]
	if at > 0 && first.base < p.runs.at(at-1).end() || first.end() <= p.logStart {
		return 0, false
	}
	return at, last.end() <= w.end
}
