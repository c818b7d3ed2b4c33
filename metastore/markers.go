package metastore

import "math"

// markerSegment is what a marker run has in place of the number of a segment.
const markerSegment = math.MaxUint32

// markerTable holds what marker runs say. Each run has a number of its own.
type markerTable struct {
	slab[Marker]
	count int
}

func (t *markerTable) add(m Marker) uint32 {
	i := t.take()
	*t.change(i) = m
	t.count++
	return i
}

func (t *markerTable) drop(i uint32) {
	t.release(i)
	t.count--
}

func (t *markerTable) view() markerTable { return markerTable{slab: t.slab.view(), count: t.count} }
