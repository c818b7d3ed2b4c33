package readahead

// gap decides how far two ranges may lie apart to be read by one GET. A few kilobytes are always cheaper to read than
// another request. More pays if others read what lies between: several consumers mostly share the partitions of a topic,
// whose runs alternate in the objects. Nobody says so, but it shows in how much of what was loaded is read before it is
// evicted. So the gap doubles after a number of chunks that were read to the end, and if chunks with gaps were not, it
// halves, and the next try takes twice as many.
type gap struct {
	least, most int64 // bytes
	now         int64
	full        int // chunks in a row that were read to the end
	patience    int // how many it takes
}

const (
	gapPatience     = 8
	gapPatienceMost = 1024
)

func newGap(least, most int64) gap {
	return gap{least: least, most: max(least, most), now: least, patience: gapPatience}
}

// evicted learns from a chunk of which so many bytes were read. joined tells whether it has a gap.
func (g *gap) evicted(size, read int64, joined bool) {
	switch {
	case read >= size:
		if g.full++; g.full >= g.patience && g.now < g.most {
			g.full, g.now = 0, min(2*g.now, g.most)
		}
	case joined && read < size*3/4:
		g.full, g.now, g.patience = 0, max(g.now/2, g.least), min(2*g.patience, gapPatienceMost)
	}
}
