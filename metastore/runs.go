package metastore

import (
	"iter"
	"math"
	"math/bits"
	"sort"
)

const (
	// firstRuns is for how many runs a list has room at first. Then it grows to about twice as many with each chunk, until
	// chunks have room for chunkRuns.
	firstRuns = 4
	chunkRuns = 256
	// joinedRuns is how many runs two neighbouring chunks have between them at the most that are made one when runs beside them
	// are replaced. More would copy more, less would leave more chunks.
	joinedRuns = chunkRuns / 4
)

// runList holds the runs of a partition in order. It grows without moving what it holds: there are partitions with
// millions of runs, and a commit adds to hundreds of them. Runs at any place can be replaced at the cost of the new ones
// and of 40 bytes for every chunk. A copy of the list is a view, which does not change whatever becomes of the list, so
// it can be read without a lock; since and latest are not for views.
type runList struct {
	chunks []runChunk // none is empty; of what is in a view, only the top of the last one changes
	n      uint32
}

// runChunk has a top, so that looking for a time passes over chunks in which it cannot be.
type runChunk struct {
	runs  []run  // in the last chunk, those after the list's end are room
	top   int64  // the greatest maxTimestamp of its runs
	start uint32 // index of its first run
	made  uint32 // for how many runs its memory is: more than there are, once some at its ends were replaced
}

func (l *runList) len() int { return int(l.n) }

// at returns the run of an index. Its maxTimestamp is raised by raiseLast alone, and it is not to be changed at all once
// the list was copied.
func (l *runList) at(i int) *run {
	k, j := l.place(i)
	return &l.chunks[k].runs[j]
}

// place returns which chunk has the run of an index, and where. That of the list's length is behind the last chunk.
func (l *runList) place(i int) (chunk, in int) {
	if i >= l.len() {
		return len(l.chunks), 0
	}
	low, high := 0, len(l.chunks)-1
	if at := int(l.chunks[high].start); i >= at { // most look there
		return high, i - at
	}
	for low+1 < high { // it begins at low or after it, and before high
		if middle := (low + high) / 2; int(l.chunks[middle].start) <= i {
			low = middle
		} else {
			high = middle
		}
	}
	return low, i - int(l.chunks[low].start)
}

// in returns the runs of a chunk.
func (l *runList) in(chunk int) []run {
	c := &l.chunks[chunk]
	if chunk+1 < len(l.chunks) {
		return c.runs[:l.chunks[chunk+1].start-c.start]
	}
	return c.runs[:l.n-c.start]
}

// add appends a run and returns its place.
func (l *runList) add(r run) *run {
	k := len(l.chunks) - 1
	if k < 0 || int(l.n-l.chunks[k].start) == len(l.chunks[k].runs) {
		room := roomAfter(l.len())
		l.chunks = append(l.chunks, runChunk{runs: make([]run, room), top: math.MinInt64, start: l.n, made: uint32(room)})
		k++
	}
	c := &l.chunks[k]
	at := &c.runs[l.n-c.start]
	*at = r
	c.top = max(c.top, r.maxTimestamp)
	l.n++
	return at
}

// roomAfter is for how many runs the chunk after so many runs is: 4, 8, 16 and so on.
func roomAfter(runs int) int {
	return min(1<<(bits.Len(uint(runs+firstRuns))-1), chunkRuns)
}

// raiseLast raises the maxTimestamp of the last run, which add has just appended.
func (l *runList) raiseLast(timestamp int64) {
	c := &l.chunks[len(l.chunks)-1]
	r := &c.runs[l.n-1-c.start]
	r.maxTimestamp = max(r.maxTimestamp, timestamp)
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

// find returns the index of the first run that ends after the offset.
func (l *runList) find(offset Offset) int {
	k := len(l.chunks) - 1
	if k < 0 {
		return 0
	}
	if l.chunks[k].runs[0].base > offset { // most look into the last chunk
		k = max(sort.Search(k, func(k int) bool { return l.chunks[k].runs[0].base > offset })-1, 0)
	}
	runs := l.in(k)
	return int(l.chunks[k].start) + sort.Search(len(runs), func(i int) bool { return runs[i].end() > offset })
}

// since returns the index of the first run from an index on whose maxTimestamp is not below the one given; len if there
// is none.
func (l *runList) since(from int, timestamp int64) int {
	for k, j := l.place(from); k < len(l.chunks); k, j = k+1, 0 {
		if l.chunks[k].top < timestamp {
			continue
		}
		for runs := l.in(k); j < len(runs); j++ {
			if runs[j].maxTimestamp >= timestamp {
				return int(l.chunks[k].start) + j
			}
		}
	}
	return l.len()
}

// latest returns the index of the first of the runs that have the greatest maxTimestamp; -1 if there is no run.
func (l *runList) latest() int {
	if l.n == 0 {
		return -1
	}
	top := l.chunks[0].top
	for k := range l.chunks {
		top = max(top, l.chunks[k].top)
	}
	return l.since(0, top)
}

// between yields the runs from one index up to another, those of a chunk at a time, and the index of the first of them.
func (l *runList) between(from, to int) iter.Seq2[int, []run] {
	return func(yield func(int, []run) bool) {
		for k, j := l.place(from); from < to; k, j = k+1, 0 {
			runs := l.in(k)[j:]
			runs = runs[:min(len(runs), to-from)]
			if !yield(from, runs) {
				return
			}
			from += len(runs)
		}
	}
}

// all yields the runs from an index on, with their indexes.
func (l *runList) all(from int) iter.Seq2[int, *run] {
	return func(yield func(int, *run) bool) {
		for i, runs := range l.between(from, l.len()) {
			for j := range runs {
				if !yield(i+j, &runs[j]) {
					return
				}
			}
		}
	}
}

// replace puts runs in place of those from one index up to another. Chunks of which nothing is replaced stay as they are,
// and so do the ends of others, unless little is left of their memory or they are so small that they join what is new.
func (l *runList) replace(from, to int, with []run) {
	if from == to && len(with) == 0 {
		return
	}
	first, last := l.joined(from, to, len(with))
	size := from - first + len(with) + last - to
	room := size
	if last == l.len() {
		room = max(size, min(max(1<<bits.Len(uint(size)), firstRuns), chunkRuns))
	}
	fresh := make([]run, 0, room)
	for _, runs := range l.between(first, from) {
		fresh = append(fresh, runs...)
	}
	fresh = append(fresh, with...)
	for _, runs := range l.between(to, last) {
		fresh = append(fresh, runs...)
	}
	var next runList
	if size > 0 || first > 0 || last < l.len() {
		next.chunks = make([]runChunk, 0, len(l.chunks)+2+len(fresh)/chunkRuns)
	}
	next.keep(l, 0, first, false)
	next.lay(fresh)
	next.keep(l, last, l.len(), true)
	*l = next
}

// joined returns from where to where runs are laid anew when those from one index up to another are replaced by so many.
func (l *runList) joined(from, to, size int) (first, last int) {
	joins := func(runs, memory int, made uint32) bool { return size+runs <= joinedRuns || 2*memory < int(made) }
	for first = from; first > 0; {
		k, j := l.place(first - 1)
		if !joins(j+1, j+1, l.chunks[k].made) {
			break
		}
		first -= j + 1
		size += j + 1
	}
	for last = to; last < l.len(); {
		k, j := l.place(last)
		n := len(l.in(k)) - j
		if !joins(n, len(l.chunks[k].runs)-j, l.chunks[k].made) {
			break
		}
		last += n
		size += n
	}
	return first, last
}

// keep appends what another list has from one index up to another, in the same memory; if it is the end of the list, with
// the room behind it.
func (l *runList) keep(of *runList, from, to int, end bool) {
	for i, runs := range of.between(from, to) {
		k, j := of.place(i)
		c := of.chunks[k]
		if len(runs) < len(of.in(k)) {
			c.top = greatest(runs)
		}
		if c.runs = c.runs[j:]; !end || i+len(runs) < to {
			c.runs = runs
		}
		c.start = l.n
		l.chunks = append(l.chunks, c)
		l.n += uint32(len(runs))
	}
}

// lay appends runs in new chunks. If it is one, the room behind the runs becomes its own.
func (l *runList) lay(runs []run) {
	several := len(runs) > chunkRuns
	for chunks := (len(runs) + chunkRuns - 1) / chunkRuns; chunks > 0; chunks-- {
		n := (len(runs) + chunks - 1) / chunks
		own := runs[:cap(runs)]
		if several { // so that none keeps the memory of all
			own = make([]run, n)
			copy(own, runs)
		}
		l.chunks = append(l.chunks, runChunk{runs: own, top: greatest(own[:n]), start: l.n, made: uint32(len(own))})
		l.n += uint32(n)
		runs = runs[n:]
	}
}
