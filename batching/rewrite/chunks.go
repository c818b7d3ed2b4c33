package rewrite

import (
	"github.com/runnel-io/runnel/metastore"
)

// need is the bytes of a run that has an object.
type need struct {
	object   int32 // index of plan.objects
	chunk    int32 // the chunk that has its first byte; those that have more follow by next
	position uint32
	length   uint32
}

// chunk is a part of an object that is read with one GET.
type chunk struct {
	object   int32
	next     int32 // the chunk of the same object after it, -1 if there is none
	pieces   int32 // how many needs have bytes in it
	from, to int64 // bytes of the object
}

func (c *chunk) size() int64 { return c.to - c.from }

// plan is what is to be read, known before the first read. The chunks stand in the order in which they are needed first.
// Needs of an object that lie one after the other in it, as they do if partitions come in the order of the segments, never
// need a chunk again once they needed the next: while they are consumed in order, one chunk of each object is enough.
type plan struct {
	objects []metastore.SegmentID
	needs   []need
	chunks  []chunk
	size    int64 // of the largest chunk that may be
}

const (
	// joinedGap is how many bytes that nobody needs are read to save a GET. S3 sends them in less than a millisecond.
	joinedGap = 64 << 10
	// largestChunk is where larger GETs are no better.
	largestChunk = 16 << 20
	// smallestChunk is what is read of an object at once however many there are.
	smallestChunk = 4 << 10
)

// makePlan decides how to read the runs of parts with memory for `memory` bytes and so many GETs at a time.
func makePlan(parts []Part, memory int64, reads int) *plan {
	p := &plan{}
	p.list(parts)
	// One chunk of each object that is in use at the same time, and some that are on their way.
	p.size = min(max(memory/int64(p.overlap()+2*reads), smallestChunk), largestChunk)
	p.cut()
	return p
}

// list fills in needs and objects.
func (p *plan) list(parts []Part) {
	known := map[metastore.SegmentID]int32{}
	for i := range parts {
		for j := range parts[i].Runs {
			run := &parts[i].Runs[j]
			if run.Marker != nil {
				continue
			}
			object, ok := known[run.Segment]
			if !ok {
				object = int32(len(p.objects))
				known[run.Segment] = object
				p.objects = append(p.objects, run.Segment)
			}
			p.needs = append(p.needs, need{object: object, position: run.Position, length: run.Length})
		}
	}
}

// overlap returns how many objects are in use at the same time, at most: from their first need to their last.
func (p *plan) overlap() int {
	last := make([]int, len(p.objects))
	for i := range p.needs {
		last[p.needs[i].object] = i
	}
	most, begun, ended := 0, int32(0), 0
	for i := range p.needs {
		o := p.needs[i].object
		begun = max(begun, o+1) // objects are numbered in the order of their first need
		most = max(most, int(begun)-ended)
		if last[o] == i {
			ended++
		}
	}
	return most
}

// cut fills in the chunks. A need may go over several.
func (p *plan) cut() {
	latest := make([]int32, len(p.objects)) // by object: its newest chunk and 1
	for i := range p.needs {
		n := &p.needs[i]
		at, end, first := int64(n.position), int64(n.position)+int64(n.length), true
		for at < end {
			c := latest[n.object] - 1
			if c < 0 || !p.fits(&p.chunks[c], at, end) {
				fresh := int32(len(p.chunks))
				p.chunks = append(p.chunks, chunk{object: n.object, next: -1, from: at, to: at})
				if c >= 0 {
					p.chunks[c].next = fresh
				}
				c, latest[n.object] = fresh, fresh+1
			}
			if first {
				n.chunk, first = c, false
			}
			into := &p.chunks[c]
			into.to = min(end, into.from+p.size)
			into.pieces++
			at = into.to
		}
	}
}

// fits tells whether bytes [at, end) of an object go on in a chunk: all of them, or enough to be worth the cut.
func (p *plan) fits(c *chunk, at, end int64) bool {
	room := c.from + p.size - at
	return at >= c.to && at-c.to <= joinedGap && room > 0 && (room >= end-at || room >= p.size/8)
}
