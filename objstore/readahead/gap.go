package readahead

// gap decides how far two ranges may lie apart to be read by one GET. A few kilobytes are always cheaper to read than
// another request. More pays if others read what lies between: several consumers mostly share the partitions of a topic,
// whose runs alternate in the objects. Nobody says so, but it shows in how much of what was loaded is read before it is
// evicted. So the gap doubles after a number of chunks that were read to the end; when those with gaps are not read well
// on average, it halves, and the next try takes twice as many.
type gap struct {
	least, most int64 // bytes
	now         int64
	full        int     // chunks that were read to the end since the gap changed
	patience    int     // how many it takes
	worth       float64 // how much of chunks with gaps was read, a moving average
}

const (
	gapPatience     = 8
	gapPatienceMost = 256
	gapWorth        = 0.7
	gapMemory       = 16 // chunks that the average goes over
)

func newGap(least, most int64) gap {
	return gap{least: least, most: max(least, most), now: least, patience: gapPatience, worth: 1}
}

// evicted learns from a chunk of which so many bytes were read. joined tells whether it has a gap.
func (g *gap) evicted(size, read int64, joined bool) {
	if joined {
		g.worth += (min(float64(read)/float64(size), 1) - g.worth) / gapMemory
		if g.worth < gapWorth {
			g.now, g.patience = max(g.now/2, g.least), min(2*g.patience, gapPatienceMost)
			g.full, g.worth = 0, 1
			return
		}
		if read >= size && g.patience > gapPatience {
			g.patience--
		}
	}
	if read >= size {
		if g.full++; g.full >= g.patience && g.now < g.most {
			g.full, g.now = 0, min(2*g.now, g.most)
		}
	}
}
