package checker

import "github.com/runnel-io/runnel/integration/history"

// checkPlaces finds records at two offsets, offsets with two records, and records that are not where they were said to be.
//
// A producer that is not idempotent may write a record twice by trying again: workloads use idempotent ones only.
func checkPlaces(x *index, f *findings) {
	for i := range x.sends {
		s := &x.sends[i]
		switch {
		case s.elsewhere >= 0:
			one, two := &x.reads[s.first], &x.reads[s.elsewhere]
			f.add(Duplicate, one.record.Partition, []place{x.sendPlace(s), x.readPlace(one), x.readPlace(two)},
				"the value %d is at %s@%d and at %s@%d", s.record.Value, one.record.Partition, one.record.Offset, two.record.Partition, two.record.Offset)
		case s.acked() && s.record.Offset >= 0 && s.first >= 0 && !s.foundWhereAck:
			r := &x.reads[s.first]
			f.add(InconsistentOffsets, s.record.Partition, []place{x.sendPlace(s), x.readPlace(r)},
				"the value %d was acknowledged at %s@%d and is at %s@%d", s.record.Value, s.record.Partition, s.record.Offset, r.record.Partition, r.record.Offset)
		}
	}
	claims := newClaims(x)
	for i := range x.sends {
		if s := &x.sends[i]; s.acked() && s.record.Offset >= 0 {
			claims.add(f, s.partition, claim{s.op, s.step, s.record})
		}
	}
	for i := range x.reads {
		if r := &x.reads[i]; r.record.Offset >= 0 {
			claims.add(f, r.partition, claim{r.op, r.step, r.record})
		}
	}
}

// claim is somebody's having been told which record is at an offset.
type claim struct {
	op, step int32
	record   *history.Record
}

// claims are the first ones of all offsets.
type claims struct {
	x        *index
	first    []claim
	byOffset []table           // by partition
	disputed map[disputed]bool // offsets that are told of
}

type disputed struct {
	partition int32
	offset    int64
}

func newClaims(x *index) *claims {
	c := &claims{x: x, byOffset: make([]table, len(x.partitions)), disputed: map[disputed]bool{}}
	for i := range c.byOffset {
		c.byOffset[i] = newTable(2 * len(x.sends) / len(x.partitions))
	}
	return c
}

func (c *claims) add(f *findings, partition int32, two claim) {
	offset := two.record.Offset
	id, known := c.byOffset[partition].get(offset)
	if !known {
		c.byOffset[partition].put(offset, int32(len(c.first)))
		c.first = append(c.first, two)
		return
	}
	one := c.first[id]
	if one.record.Value == two.record.Value || c.disputed[disputed{partition, offset}] {
		return
	}
	c.disputed[disputed{partition, offset}] = true
	f.add(InconsistentOffsets, two.record.Partition, []place{c.x.place(one.op, one.step), c.x.place(two.op, two.step)},
		"offset %d has the value %d and the value %d", offset, one.record.Value, two.record.Value)
}
