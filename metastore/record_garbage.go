package metastore

import (
	"encoding/binary"
	"math"
)

// collectGarbage forgets the garbage up to a number: its objects are deleted.
type collectGarbage struct{ through int64 }

func (c collectGarbage) kind() kind { return kindCollected }

func (c collectGarbage) append(b []byte) []byte { return binary.AppendUvarint(b, uint64(c.through)) }

func (c collectGarbage) apply(s *State, _ int64, _ func(TopicPartition)) { s.collected(c.through) }

// putOffGarbage forgets the garbage up to a number, but for that whose objects cannot be deleted: it comes again at the end, with new
// numbers and the time of the entry, so that nothing waits behind it.
type putOffGarbage struct {
	through int64
	kept    []int64 // numbers, ascending
}

func (c putOffGarbage) kind() kind { return kindPutOff }

func (c putOffGarbage) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.through))
	b = binary.AppendUvarint(b, uint64(len(c.kept)))
	last := int64(-1)
	for _, n := range c.kept {
		b = binary.AppendUvarint(b, uint64(n-last-1))
		last = n
	}
	return b
}

func decodePutOff(d *decoder) putOffGarbage {
	c := putOffGarbage{through: int64(d.uvarintMax(math.MaxInt64, "number of garbage"))}
	last := int64(-1)
	for range d.count(1, "garbage put off") {
		last += int64(d.uvarintMax(uint64(math.MaxInt64-1-max(last, 0)), "number of garbage")) + 1
		c.kept = append(c.kept, last)
	}
	return c
}

func (c putOffGarbage) apply(s *State, _ int64, _ func(TopicPartition)) { s.putOff(c.through, c.kept) }

// touch does nothing. Its entry has a time, as all have.
type touch struct{}

func (c touch) kind() kind                                      { return kindTouch }
func (c touch) append(b []byte) []byte                          { return b }
func (c touch) apply(_ *State, _ int64, _ func(TopicPartition)) {}
