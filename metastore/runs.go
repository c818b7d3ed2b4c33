package metastore

import (
	"math"
	"math/bits"
	"sort"
)

// Chunks of a runList hold 4, 8, 16 ... runs, until chunkRuns; all further ones hold as many.
const (
	firstRuns  = 4
	chunkRuns  = 256
	smallSizes = 6                               // chunks below chunkRuns
	smallRuns  = firstRuns * (1<<smallSizes - 1) // runs in them
)

// runList holds the runs of a partition in order. It grows without moving what it holds: there are partitions with
// millions of runs, and a commit adds to hundreds of them. A copy of the list is a view, which does not change as
// the list grows; since and latest are not for views.
type runList struct {
	chunks []runChunk // all of them whole
	n      uint32
	topped uint32 // chunks whose top is known: all that have runs, unless runs were removed
}

// runChunk has a top, so that looking for a time passes over chunks in which it cannot be.
type runChunk struct {
	runs []run
	top  int64 // the greatest maxTimestamp of its runs
}

func (l *runList) len() int { return int(l.n) }

// at returns the run of an index. Its maxTimestamp is raised by raiseLast alone, and it is not to be changed at all once
// the list was copied.
func (l *runList) at(i int) *run {
	k, j := place(i)
	return &l.chunks[k].runs[j]
}

// place returns which chunk has the run of an index, and where.
func place(i int) (chunk, in int) {
	if i >= smallRuns {
		i -= smallRuns
		return smallSizes + i/chunkRuns, i % chunkRuns
	}
	k := bits.Len(uint(i/firstRuns+1)) - 1
	return k, i - firstRuns*(1<<k-1)
}

// add appends a run and returns its place.
func (l *runList) add(r run) *run {
	if l.len() == capacity(len(l.chunks)) {
		l.chunks = append(l.chunks, runChunk{runs: make([]run, min(firstRuns<<min(len(l.chunks), smallSizes), chunkRuns))})
	}
	k, j := place(l.len())
	c := &l.chunks[k]
	c.runs[j] = r
	l.n++
	switch {
	case j == 0:
		c.top, l.topped = r.maxTimestamp, uint32(k)+1
	case k < int(l.topped):
		c.top = max(c.top, r.maxTimestamp)
	default: // it had runs that were removed
		c.top, l.topped = greatest(c.runs[:j+1]), uint32(k)+1
	}
	return &c.runs[j]
}

// raiseLast raises the maxTimestamp of the last run, which add has just appended.
func (l *runList) raiseLast(timestamp int64) {
	k, j := place(l.len() - 1)
	c := &l.chunks[k]
	c.runs[j].maxTimestamp = max(c.runs[j].maxTimestamp, timestamp)
	c.top = max(c.top, timestamp)
}

// greatest is the greatest maxTimestamp of runs, of which there is one at least.
func greatest(runs []run) int64 {
	top := runs[0].maxTimestamp
	for i := range runs {
		top = max(top, runs[i].maxTimestamp)
	}
	return top
}

// capacity is how many runs so many chunks hold.
func capacity(chunks int) int {
	if chunks > smallSizes {
		return smallRuns + (chunks-smallSizes)*chunkRuns
	}
	return firstRuns * (1<<chunks - 1)
}

func (l *runList) removeLast() {
	l.n--
	k, _ := place(l.len())
	l.topped = min(l.topped, uint32(k))
}

// find returns the index of the first run that ends after the offset.
func (l *runList) find(offset Offset) int {
	return sort.Search(l.len(), func(i int) bool { r := l.at(i); return r.base+Offset(r.records) > offset })
}

// since returns the index of the first run from an index on whose maxTimestamp is not below the one given; len if there
// is none.
func (l *runList) since(from int, timestamp int64) int {
	for i := from; i < l.len(); {
		k, runs := l.restOf(i)
		if k >= int(l.topped) || l.chunks[k].top >= timestamp {
			for j := range runs {
				if runs[j].maxTimestamp >= timestamp {
					return i + j
				}
			}
		}
		i += len(runs)
	}
	return l.len()
}

// latest returns the index of the first of the runs from an index on that have the greatest maxTimestamp; -1 if there is
// no run.
func (l *runList) latest(from int) int {
	if from >= l.len() {
		return -1
	}
	top := int64(math.MinInt64)
	for i := from; i < l.len(); {
		k, runs := l.restOf(i)
		if _, j := place(i); j == 0 && k < int(l.topped) {
			top = max(top, l.chunks[k].top)
		} else {
			top = max(top, greatest(runs))
		}
		i += len(runs)
	}
	return l.since(from, top)
}

// restOf returns the chunk of an index, and the runs in it from there on.
func (l *runList) restOf(i int) (chunk int, runs []run) {
	k, j := place(i)
	runs = l.chunks[k].runs[j:]
	return k, runs[:min(len(runs), l.len()-i)]
}
