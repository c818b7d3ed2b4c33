package metastore

import (
	"encoding/binary"
	"math"
)

// encodeGarbage writes the segments of swaps that are remembered, and those that no run names; nil if there never were any.
// index is where each segment stands in the snapshot's list of them.
func (s *State) encodeGarbage(index []uint32) []byte {
	if len(s.rewritten) == 0 && s.garbage.next == 0 {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(len(s.rewritten)))
	for _, n := range s.rewritten {
		b = binary.AppendUvarint(b, uint64(index[n]))
	}
	b = binary.AppendUvarint(b, uint64(s.garbage.next))
	b = binary.AppendUvarint(b, uint64(s.garbage.len()))
	since := int64(0)
	for _, item := range s.garbage.all(0) {
		b = binary.AppendUvarint(b, uint64(index[item.segment]))
		b = binary.AppendVarint(b, item.since-since)
		since = item.since
	}
	return b
}

// garbage reads what encodeGarbage wrote.
func (d *decoder) garbage(s *State) {
	for range d.count(1, "segments of swaps") {
		if i := d.segment(s); d.err == nil {
			s.table.mark(i, knownRecent)
			s.rewritten = append(s.rewritten, i)
		}
	}
	next := int64(d.uvarintMax(math.MaxInt64, "number of garbage"))
	items := d.count(2, "garbage")
	if int64(items) > next {
		d.fail("number of garbage")
		return
	}
	s.garbage.first, s.garbage.next = next-int64(items), next-int64(items)
	since := int64(0)
	for range items {
		i := d.segment(s)
		since += d.varint()
		if d.err == nil && s.table.uses[i].known&knownGarbage != 0 {
			d.fail("garbage: there twice")
		}
		if d.err != nil {
			return
		}
		s.table.mark(i, knownGarbage)
		s.garbage.add(garbageItem{since: since, segment: i})
		s.garbage.bytes += s.table.at(i).size
	}
}

// encodeCleaned writes how far log compaction has got; nil if it never got anywhere.
func encodeCleaned(all []*topicState) []byte {
	topics := topicTable{index: make(map[TopicID]int)}
	var partitions []byte
	count := 0
	for _, t := range all {
		for i := range t.partitions {
			if to := t.partitions[i].cleanedTo; to > 0 {
				partitions = topics.appendPartition(partitions, TopicPartition{t.ID, int32(i)})
				partitions = binary.AppendUvarint(partitions, uint64(to))
				count++
			}
		}
	}
	if count == 0 {
		return nil
	}
	b := topics.append(nil)
	return append(binary.AppendUvarint(b, uint64(count)), partitions...)
}

// cleaned reads what encodeCleaned wrote.
func (d *decoder) cleaned(s *State) {
	topics := d.topics()
	for range d.count(3, "partitions") {
		tp := d.partitionOf(topics)
		to := Offset(d.uvarintMax(math.MaxInt64, "offset"))
		p := s.partition(tp)
		if p == nil || p.cleanedTo != 0 {
			d.fail("cleaned partition")
			return
		}
		p.cleanedTo = to
	}
}
