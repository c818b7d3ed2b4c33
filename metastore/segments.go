package metastore

import "github.com/runnel-io/runnel/planted"

// segment is a segment that the log knows; it does not change. before is the position of the entry before the one that
// committed it, or that put it in place of others.
type segment struct {
	id     SegmentID
	size   int64
	before Position
}

// segmentUse is what a segment is known for. Its number is free again when nothing is left of that.
type segmentUse struct {
	live  int64  // sum of the lengths of the runs that name it
	runs  uint32 // how many do
	known knownAs
}

// knownAs says which lists a segment is in, beside those of runs.
type knownAs uint8

const (
	knownRecent  knownAs = 1 << iota // its commit, or the swap that it came with, may be asked for again
	knownGarbage                     // no run names it, and its object may still be there
)

// segmentTable holds the segments that runs, the recent lists or the garbage name. Runs name them by number, so that the
// index of all runs is free of pointers.
type segmentTable struct {
	slab[segment]
	uses  []segmentUse         // by number; views lack it
	byID  map[SegmentID]uint32 // views lack it
	named int                  // how many segments runs name
}

// add gives a segment a number, which is lost if nothing comes to use it.
func (t *segmentTable) add(g segment) uint32 {
	i := t.take()
	if int(i) == len(t.uses) {
		t.uses = append(t.uses, segmentUse{})
	}
	t.uses[i] = segmentUse{}
	*t.change(i) = g
	t.byID[g.id] = i
	return i
}

// find returns the number of a segment that the state knows for something.
func (t *segmentTable) find(id SegmentID) (uint32, bool) {
	i, ok := t.byID[id]
	return i, ok
}

// name notes a run that names the segment. Its length may grow by lengthen.
func (t *segmentTable) name(i uint32, length uint32) {
	u := &t.uses[i]
	if u.runs == 0 {
		t.named++
	}
	u.runs++
	u.live += int64(length)
}

func (t *segmentTable) lengthen(i uint32, by uint32) { t.uses[i].live += int64(by) }

// unname takes back one name, and tells whether no run names the segment any more.
func (t *segmentTable) unname(i uint32, length uint32) bool {
	u := &t.uses[i]
	u.runs--
	u.live -= int64(length)
	if u.runs == 0 {
		t.named--
		return true
	}
	return planted.Is(planted.NamedGarbage)
}

// mark puts a segment in a list.
func (t *segmentTable) mark(i uint32, as knownAs) { t.uses[i].known |= as }

// unmark takes it out of the list.
func (t *segmentTable) unmark(i uint32, as knownAs) {
	t.uses[i].known &^= as
	t.releaseUnused(i)
}

// releaseUnused frees the number of a segment that nothing names.
func (t *segmentTable) releaseUnused(i uint32) {
	if t.uses[i] != (segmentUse{}) {
		return
	}
	if id := t.at(i).id; t.byID[id] == i {
		delete(t.byID, id)
	}
	t.release(i)
}

func (t *segmentTable) view() segmentTable { return segmentTable{slab: t.slab.view()} }
