package reader

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// passed moves the front past what a Fetch loads by itself.
func (t *track) passed(x *plannedRun) {
	if t.replaced(&x.Run) {
		t.front, t.ahead = cursor{}, 0
	}
	if sparse(&x.Run) {
		t.taking += int64(x.to - x.from)
	} else {
		t.taking0 += int64(x.to - x.from)
	}
	u := upcoming{run: x.Run, from: x.from, to: x.to + x.more}
	if t.behind(&u) {
		return
	}
	if x.Base == t.front.run {
		u.from = max(u.from, t.front.position)
	}
	t.asked(&u)
}

// replaced tells whether a run has the place of the one at the front: what was asked for of that, and of those behind it, is
// not what will be read.
func (t *track) replaced(run *metastore.Run) bool {
	if t.front == (cursor{}) || t.front.run < run.Base || t.front.run >= run.End() {
		return false
	}
	return run.Base != t.front.run || run.Segment != t.front.segment
}

// behind tells whether a part lies before the front. It may not have been asked for, when there was no room. It is loaded
// when it is needed, then.
func (t *track) behind(u *upcoming) bool {
	return u.run.Base < t.front.run || u.run.Base == t.front.run && u.to <= t.front.position
}

func (t *track) asked(u *upcoming) {
	t.front = cursor{offset: u.run.Base, run: u.run.Base, segment: u.run.Segment, position: u.to}
	t.ahead += int64(u.to - u.from)
}

// unread is what is asked for and will be left after the Fetch under way, but for what that takes of tier 0.
func (t *track) unread() int64 { return max(t.ahead-t.taking, 0) }

// upcoming is a part of a run that is to be loaded ahead.
type upcoming struct {
	track    *track
	run      metastore.Run
	from, to uint32 // bytes of the run

	turn  metastore.SegmentID // greatest of the track's segments up to this one
	index int                 // in the track
}

// inTurn orders parts by segments, the oldest first, but those of each track as they lie in the log: a segment of tier 1
// may be younger than one that comes after it.
func inTurn(a, b upcoming) int {
	if by := bytes.Compare(a.turn[:], b.turn[:]); by != 0 {
		return by
	}
	if mine := a.run.Segment == a.turn; mine != (b.run.Segment == b.turn) {
		if mine {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.index, b.index)
}

// scans counts those that read ahead, so that they share the pool. A connection says nothing when it stops to read, so it
// counts for a second or two.
type scans struct {
	mu          sync.Mutex
	second      int64
	now, before int // in this second and in the one before it
}

// count returns how many there are, with s.
func (c *scans) count(s *Scan, now time.Time) int {
	second := now.Unix()
	c.mu.Lock()
	defer c.mu.Unlock()
	if second != c.second {
		if second != c.second+1 {
			c.now = 0
		}
		c.second, c.now, c.before = second, 0, c.now
	}
	if s.second != second {
		s.second = second
		c.now++
	}
	return max(c.now, c.before)
}

// mostAhead bounds the window of a scan. Of tier 1 a window has half as much again in memory, the read parts of its chunks;
// a quarter of the pool is for what is needed at once.
func (r *Reader) mostAhead(s *Scan) int64 {
	share := r.ahead.Bound() / 2 / int64(r.scans.count(s, r.opts.Now()))
	return max(min(r.opts.MaxAhead, share), r.opts.MinAhead)
}

// mostBytes bounds one GET of a run of tier 1 that a Fetch has to wait for.
func (r *Reader) mostBytes(s *Scan) int64 {
	if s == nil {
		return 0
	}
	return max(s.most, 4*r.ahead.GetBytes())
}

// filling is how much of the window is for each of the tracks.
type filling struct {
	low   bool  // there is room in the window for GETs of tier 0 that are worth it
	share int64 // of the window
	piece int64 // bytes that a track asks for at a time of runs of tier 1, about
	most  int64 // bytes of one GET of them
}

// filling divides the window. A track of tier 1 has two pieces in memory, one that is read and the next one, which is asked
// for when half of the first is left, or earlier if the window has room for more. One alone has pieces of 5/8 of the window, so
// that a run of 64 MiB is three of the largest, which have 3/4 at most; with large Fetches, which may need two at a time beside
// the next one, half of it. While the window grows they may be larger: there is room.
func (s *Scan) filling(r *Reader, active int, ahead int64) filling {
	f := filling{low: ahead <= s.window-min(s.window/2, refillGets*r.ahead.GetBytes()), share: s.window / int64(active), most: max(s.most, 1)}
	alone := s.window / 8 * 5
	if s.taken > s.window/4 {
		alone = s.window / 2
	}
	f.piece = max(min(f.share/4*3, alone), 1)
	return f
}

// wanting tells whether a track is to be read ahead of.
func (f *filling) wanting(t *track) bool {
	if t.front.segment.Tier() == 1 {
		return t.unread() <= max(f.share-f.piece, f.piece/2)
	}
	return f.low
}

// part tells how many of the bytes that are left of a run of tier 1 are asked for at a time: about a piece, so that all
// are about equal and none is short. Up to whole bytes are not divided.
func (f *filling) part(rest, whole int64) int64 {
	if rest <= max(min(f.piece/2*3, f.most), whole) {
		return rest
	}
	n := max((rest+f.piece/2)/f.piece, (rest+f.most-1)/f.most)
	return (rest + n - 1) / n
}

// join makes what a Fetch has to load itself of a run and what comes next of it one GET, if there is room and unless that would be
// long to wait for. It returns how much comes next.
func (f *filling) join(r *Reader, t *track, x *plannedRun, room int64) int64 {
	if !sparse(&x.Run) || x.seek || x.parts != nil || x.to == x.Length || !t.replaced(&x.Run) && x.Base == t.front.run && x.to < t.front.position {
		return 0
	}
	missing := r.ahead.Missing(segment.Key(x.Segment), x.bytes())
	next := f.part(int64(x.Length-x.to), r.ahead.GetBytes())
	if missing == 0 || next > room || missing+next > max(2*r.ahead.GetBytes(), 2*int64(x.to-x.from)) {
		return 0
	}
	x.more = uint32(next)
	return next
}

// load asks for what the window has room for, once that is a few GETs or half of it: the less is asked for at a time, the more is
// always under way, and the fewer partitions have a part in one GET.
func (s *Scan) load(r *Reader) {
	var ahead, taking int64
	var active []metastore.TopicPartition
	for tp, t := range s.tracks {
		if t.front != (cursor{}) && s.clock-t.clock <= idleFetches {
			ahead += t.ahead
			taking += min(t.taking0, t.ahead)
			active = append(active, tp)
		}
	}
	ahead -= min(taking, s.window/4)
	if len(active) == 0 {
		return
	}
	f := s.filling(r, len(active), ahead)
	var next []upcoming
	for _, tp := range active {
		if t := s.tracks[tp]; f.wanting(t) {
			next = t.next(r, tp, &f, next)
		}
	}
	// The oldest segments first, whole ones of tier 0: what is read of them lies side by side, whatever partitions it is of.
	slices.SortStableFunc(next, inTurn)
	for room := s.window - ahead; len(next) > 0; {
		n := 1
		for n < len(next) && next[n].run.Segment == next[0].run.Segment {
			n++
		}
		parts, most := next[:n], int64(0)
		if next = next[n:]; sparse(&parts[0].run) {
			parts, most = within(parts, room+s.window/2), f.most
		} else if room <= 0 {
			parts = nil
		}
		asked, ok := r.loadAhead(parts, most)
		if !ok { // there is no room
			s.window = max(s.window/2, r.opts.MinAhead)
			return
		}
		room -= asked
	}
}

// within returns the first parts of an object of tier 1 that fill some room: all of it may be much more.
func within(parts []upcoming, room int64) []upcoming {
	slices.SortFunc(parts, func(a, b upcoming) int { return cmp.Compare(a.run.Position, b.run.Position) })
	n := 0
	for n < len(parts) && room > 0 {
		room -= int64(parts[n].to - parts[n].from)
		n++
	}
	return parts[:n]
}

// loadAhead asks for parts of one segment, and tells how much they are.
func (r *Reader) loadAhead(parts []upcoming, most int64) (asked int64, ok bool) {
	if len(parts) == 0 {
		return 0, true
	}
	ranges := make([]objstore.Range, 0, len(parts))
	for i := range parts {
		if u := &parts[i]; !u.track.behind(u) {
			ranges = append(ranges, objstore.Range{Offset: int64(u.run.Position) + int64(u.from), Length: int64(u.to - u.from)})
		}
	}
	if !r.ahead.Ahead(segment.Key(parts[0].run.Segment), ranges, most) {
		return 0, false
	}
	for i := range parts {
		if u := &parts[i]; !u.track.behind(u) {
			u.track.asked(u)
			asked += int64(u.to - u.from)
		}
	}
	return asked, true
}

// next appends the parts of runs behind the front that are to be loaded. They are of one tier: that of the first.
func (t *track) next(r *Reader, tp metastore.TopicPartition, f *filling, parts []upcoming) []upcoming {
	budget := max(2*f.share-t.unread(), f.piece) // at least; runs are whole
	_, runs, err := r.log.Runs(tp, t.front.run, int(budget+int64(t.front.position)))
	if err != nil { // deleted or trimmed meanwhile
		return parts
	}
	if len(runs) > 0 && t.replaced(&runs[0]) {
		t.front, t.ahead = cursor{}, 0 // the next Fetch tells where the reader is in what is there now
		return parts
	}
	first, taken := len(parts), int64(0)
	for i := range runs {
		run := &runs[i]
		if run.Marker != nil {
			continue
		}
		u := upcoming{track: t, run: *run, turn: run.Segment, index: len(parts) - first}
		if run.Base == t.front.run {
			u.from = t.front.position
		}
		if u.from == run.Length {
			continue
		}
		if n := len(parts); n > first {
			last := &parts[n-1]
			if sparse(&last.run) != sparse(run) {
				break
			}
			if bytes.Compare(last.turn[:], u.turn[:]) > 0 {
				u.turn = last.turn
			}
		}
		size := f.take(r, t, &u, taken)
		if size == 0 {
			break
		}
		u.to = u.from + uint32(size)
		taken += size
		parts = append(parts, u)
	}
	return parts
}

// take tells how many bytes of a run from u.from on are to be loaded for a track that takes some of those before it.
func (f *filling) take(r *Reader, t *track, u *upcoming, taken int64) int64 {
	rest := int64(u.run.Length - u.from)
	if sparse(&u.run) {
		size := f.part(rest, r.ahead.GetBytes())
		if taken >= f.piece/2 || taken > 0 && taken+size > f.most {
			return 0
		}
		return size
	}
	left := 2*f.share - t.unread() - taken
	if _, ok := r.inMemory(u.run); ok || left <= 0 {
		return 0 // and so are those after it, most likely
	}
	if rest > 2*left { // runs are not cut for little
		if left < f.share {
			return 0
		}
		return left
	}
	return rest
}
