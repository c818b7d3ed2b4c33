package metastore

import (
	"encoding/binary"
	"math"
	"slices"
)

// noteCleaned says how far log compaction has got in a partition, and of which aborted transactions nothing is left.
type noteCleaned struct {
	TopicPartition
	to        Offset
	forgotten []Offset // of their markers, in order
}

func (c noteCleaned) kind() kind { return kindCleaned }

func (c noteCleaned) append(b []byte) []byte {
	b = append(b, c.Topic[:]...)
	b = binary.AppendUvarint(b, uint64(c.Partition))
	b = binary.AppendUvarint(b, uint64(c.to))
	b = binary.AppendUvarint(b, uint64(len(c.forgotten)))
	before := Offset(0)
	for _, marker := range c.forgotten {
		b = binary.AppendUvarint(b, uint64(marker-before))
		before = marker
	}
	return b
}

func decodeNoteCleaned(d *decoder) noteCleaned {
	c := noteCleaned{TopicPartition: TopicPartition{d.uuid(), int32(d.uvarintMax(MaxPartitions, "partition"))}}
	c.to = Offset(d.uvarintMax(math.MaxInt64, "offset"))
	before := Offset(0)
	for range d.count(1, "transactions") {
		before += Offset(d.uvarintMax(uint64(math.MaxInt64-before), "offset"))
		c.forgotten = append(c.forgotten, before)
	}
	return c
}

func (c noteCleaned) apply(s *State, _ int64, _ func(TopicPartition)) {
	p := s.partition(c.TopicPartition)
	if p == nil || c.to > p.high {
		return // deleted, or not what was decided
	}
	p.cleanedTo = max(p.cleanedTo, c.to)
	if !p.txns.ends(c.forgotten) {
		return
	}
	t := s.ownTxns(p)
	t.aborted = slices.DeleteFunc(slices.Clone(t.aborted), func(a abortedTxn) bool { // views have the list as it was
		_, gone := slices.BinarySearch(c.forgotten, a.Last)
		return gone
	})
	s.forgetAborted(p)
}

// ends tells whether an aborted transaction has its marker at one of the offsets.
func (t *partitionTxns) ends(markers []Offset) bool {
	return t != nil && len(markers) > 0 && slices.ContainsFunc(t.aborted, func(a abortedTxn) bool {
		_, found := slices.BinarySearch(markers, a.Last)
		return found
	})
}
