package metastore

import (
	"iter"
	"time"
)

// Garbage is a segment that no run names any more, whose object may still be there.
type Garbage struct {
	Number int64 // from 0 on, in the order in which segments became garbage
	ID     SegmentID
	Size   int64     // bytes of the whole object
	Since  time.Time // the log's, of the entry that made it garbage
}

// garbageChunk is how many items lie together.
const garbageChunk = 256

// garbageList is a queue: items are added at its end and taken off its front. It grows without moving what it holds, and a
// copy is a view, which does not change as the list does.
type garbageList struct {
	chunks []*[garbageChunk]garbageItem // the first holds the item first
	first  int64                        // number of the oldest item
	next   int64                        // number that the next one gets
	bytes  int64                        // sum of the sizes of objects
}

type garbageItem struct {
	since   int64  // ms
	segment uint32 // its number in the table
}

func (l *garbageList) len() int { return int(l.next - l.first) }

// at returns the item of a number.
func (l *garbageList) at(number int64) *garbageItem {
	i := number - l.first/garbageChunk*garbageChunk
	return &l.chunks[i/garbageChunk][i%garbageChunk]
}

func (l *garbageList) add(item garbageItem) {
	if i := l.next - l.first/garbageChunk*garbageChunk; i/garbageChunk == int64(len(l.chunks)) {
		l.chunks = append(l.chunks, new([garbageChunk]garbageItem))
	}
	l.next++
	*l.at(l.next - 1) = item
}

// removeFirst takes off the oldest item.
func (l *garbageList) removeFirst() {
	l.first++
	if l.first%garbageChunk == 0 {
		l.chunks = l.chunks[1:]
	}
}

// all yields the items by number, from one on.
func (l *garbageList) all(from int64) iter.Seq2[int64, *garbageItem] {
	return func(yield func(int64, *garbageItem) bool) {
		for n := max(from, l.first); n < l.next; n++ {
			if !yield(n, l.at(n)) {
				return
			}
		}
	}
}

// becomesGarbage is for a segment that no run names any more.
func (s *State) becomesGarbage(i uint32) {
	if s.table.uses[i].known&knownGarbage != 0 {
		return // no broker decides so
	}
	s.table.mark(i, knownGarbage)
	s.garbage.add(garbageItem{since: s.time, segment: i})
	s.garbage.bytes += s.table.at(i).size
}

// collected forgets the garbage up to a number.
func (s *State) collected(through int64) {
	for s.garbage.len() > 0 && s.garbage.first <= through {
		i := s.garbage.at(s.garbage.first).segment
		s.garbage.removeFirst()
		s.garbage.bytes -= s.table.at(i).size
		s.table.unmark(i, knownGarbage)
	}
}

// putOff forgets the garbage up to a number, but for some numbers, ascending, which it moves to the end.
func (s *State) putOff(through int64, kept []int64) {
	for through = min(through, s.garbage.next-1); s.garbage.first <= through; {
		n, i := s.garbage.first, s.garbage.at(s.garbage.first).segment
		for len(kept) > 0 && kept[0] < n {
			kept = kept[1:]
		}
		if len(kept) == 0 || kept[0] != n {
			s.collected(n)
			continue
		}
		s.garbage.removeFirst()
		s.garbage.add(garbageItem{since: s.time, segment: i})
	}
}

func (s *State) exportGarbage(number int64, item *garbageItem) Garbage {
	g := s.table.at(item.segment)
	return Garbage{Number: number, ID: g.id, Size: g.size, Since: time.UnixMilli(item.since)}
}
