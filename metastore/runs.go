package metastore

import (
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
// the list grows.
type runList struct {
	chunks [][]run // all of them whole
	n      int
}

func (l *runList) len() int { return l.n }

// at returns the run of an index. It is not to be changed once the list was copied.
func (l *runList) at(i int) *run {
	if i >= smallRuns {
		i -= smallRuns
		return &l.chunks[smallSizes+i/chunkRuns][i%chunkRuns]
	}
	k := bits.Len(uint(i/firstRuns+1)) - 1
	return &l.chunks[k][i-firstRuns*(1<<k-1)]
}

// add appends a run and returns its place.
func (l *runList) add(r run) *run {
	if l.n == capacity(len(l.chunks)) {
		l.chunks = append(l.chunks, make([]run, min(firstRuns<<min(len(l.chunks), smallSizes), chunkRuns)))
	}
	l.n++
	last := l.at(l.n - 1)
	*last = r
	return last
}

// capacity is how many runs so many chunks hold.
func capacity(chunks int) int {
	if chunks > smallSizes {
		return smallRuns + (chunks-smallSizes)*chunkRuns
	}
	return firstRuns * (1<<chunks - 1)
}

func (l *runList) removeLast() { l.n-- }

// find returns the index of the first run that ends after the offset.
func (l *runList) find(offset Offset) int {
	return sort.Search(l.n, func(i int) bool { r := l.at(i); return r.base+Offset(r.records) > offset })
}
