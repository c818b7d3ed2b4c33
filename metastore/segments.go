package metastore

// segment is a committed segment; it does not change. before is the position of the entry before the one that committed
// it.
type segment struct {
	id     SegmentID
	size   int64
	before Position
}

// segmentTable holds the segments that runs or the recent list name. Runs name them by number, so that the index of all
// runs is free of pointers.
type segmentTable struct {
	slab[segment]
	refs []uint32 // by number: how many runs and recent lists name it
}

func (t *segmentTable) add(g segment) uint32 {
	i := t.take()
	if int(i) == len(t.refs) {
		t.refs = append(t.refs, 0)
	}
	*t.change(i) = g
	return i
}

func (t *segmentTable) refer(i uint32) { t.refs[i]++ }

// drop takes back one refer.
func (t *segmentTable) drop(i uint32) {
	if t.refs[i]--; t.refs[i] == 0 {
		t.release(i)
	}
}

func (t *segmentTable) view() segmentTable { return segmentTable{slab: t.slab.view()} }
