package reader

import (
	"bytes"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// Scan remembers where the reads of one connection have got to, so that what comes next is on its way before it is asked
// for. It is for one Fetch at a time. The zero value is ready; a nil Scan remembers nothing.
//
// While reads go on where the ones before ended, the window grows from Options.MinAhead to Options.MaxAhead: what is
// loaded ahead of all its partitions together. They are read ahead together, since their runs lie side by side in the
// same objects: one GET then serves many of them.
type Scan struct {
	window int64
	clock  uint64 // Fetches
	tracks map[metastore.TopicPartition]*track
}

// track is a partition that is read in order.
type track struct {
	at     cursor
	front  cursor           // what lies before it is loaded, or on its way; its offset is that of its run
	ahead  int64            // bytes asked for and not read yet
	coldTo metastore.Offset // below this, records are far behind the end of the partition
	clock  uint64           // of the last Fetch
	late   time.Time        // since when its reads are put off; zero: they are not
}

// cursor is a place between two batches.
type cursor struct {
	offset   metastore.Offset    // of the batch after it, or less where there are gaps
	run      metastore.Offset    // base offset of the run that it lies in
	segment  metastore.SegmentID // and where that lies: runs are replaced by others
	position uint32              // bytes from the start of the run
}

const (
	// mostTracks bounds a Scan's memory.
	mostTracks = 10_000
	// idleFetches is after how many Fetches without it a partition is not read ahead any more.
	idleFetches = 16
	// longestLate is for how long others go before a partition whose records are not there.
	longestLate = 5 * time.Second
)

// cursor is where the next read is expected to begin.
func (t *track) cursor() cursor {
	if t == nil {
		return cursor{run: metastore.NoOffset}
	}
	return t.at
}

// putOff tells whether others may go first once more. Where nobody counts, they may not.
func (t *track) putOff(now time.Time) bool {
	if t == nil {
		return false
	}
	if t.late.IsZero() {
		t.late = now
	}
	return now.Sub(t.late) < longestLate
}

// resume finds the track that a read goes on with, nil if there is none.
func (s *Scan) resume(want Want) *track {
	if s == nil {
		return nil
	}
	t := s.tracks[want.TopicPartition]
	if t == nil {
		return nil
	}
	if t.at.offset != want.From {
		delete(s.tracks, want.TopicPartition)
		return nil
	}
	t.clock = s.clock
	return t
}

// begin makes a track for a read of old records.
func (s *Scan) begin(want Want) *track {
	if len(s.tracks) >= mostTracks {
		return nil
	}
	if s.tracks == nil {
		s.tracks = make(map[metastore.TopicPartition]*track)
	}
	t := &track{at: cursor{offset: want.From, run: metastore.NoOffset}, clock: s.clock}
	s.tracks[want.TopicPartition] = t
	return t
}

// moved notes how far a partition was read. At the tail there is nothing to be remembered.
func (s *Scan) moved(a *answer) {
	if s == nil || a.track == nil {
		return
	}
	a.track.late = time.Time{}
	if !a.cold() {
		delete(s.tracks, a.TopicPartition)
		return
	}
	if a.at.offset > 0 {
		a.track.at = a.at
	}
	a.track.ahead = max(a.track.ahead-a.passed, 0)
}

// extend loads ahead of the reads that the plans are of.
func (s *Scan) extend(r *Reader, plans []plan) {
	if s == nil {
		return
	}
	s.clock++
	cold, goesOn := false, false
	for i := range plans {
		p := &plans[i]
		if !p.cold() {
			continue
		}
		cold = true
		if p.track != nil {
			goesOn = true
		} else if p.track = s.begin(p.Want); p.track == nil {
			continue
		}
		for j := range p.runs {
			if p.runs[j].cold && !p.runs[j].seek {
				p.track.passed(&p.runs[j])
			}
		}
	}
	s.forget()
	if !cold {
		return
	}
	if goesOn {
		s.window = min(2*s.window, r.opts.MaxAhead)
	} else {
		s.window = r.opts.MinAhead
	}
	s.load(r)
}

// forget drops, now and then, what was not read for a while.
func (s *Scan) forget() {
	if s.clock%idleFetches != 0 {
		return
	}
	for tp, t := range s.tracks {
		if s.clock-t.clock > 4*idleFetches {
			delete(s.tracks, tp)
		}
	}
}

// passed moves the front past what a Fetch loads by itself.
func (t *track) passed(x *plannedRun) {
	u := upcoming{run: x.Run, from: x.from, to: x.to}
	if t.behind(u) {
		return
	}
	if x.Base == t.front.run {
		u.from = max(u.from, t.front.position)
	}
	t.asked(u)
}

// behind tells whether a part lies before the front. It may not have been asked for: segments are not always committed
// in the order of their ids. It is loaded when it is needed, then.
func (t *track) behind(u upcoming) bool {
	return u.run.Base < t.front.run || u.run.Base == t.front.run && u.to <= t.front.position
}

func (t *track) asked(u upcoming) {
	t.front = cursor{offset: u.run.Base, run: u.run.Base, position: u.to}
	t.ahead += int64(u.to - u.from)
}

// upcoming is a part of a run that is to be loaded ahead.
type upcoming struct {
	track    *track
	run      metastore.Run
	from, to uint32 // bytes of the run
}

// load asks for what the window has room for, once half of it is read.
func (s *Scan) load(r *Reader) {
	var ahead int64
	var active []metastore.TopicPartition
	for tp, t := range s.tracks {
		if t.front != (cursor{}) && s.clock-t.clock <= idleFetches {
			ahead += t.ahead
			active = append(active, tp)
		}
	}
	if len(active) == 0 || ahead > s.window/2 {
		return
	}
	share := s.window / int64(len(active))
	var next []upcoming
	for _, tp := range active {
		next = s.tracks[tp].next(r, tp, 2*share, next)
	}
	// The oldest segments first, whole ones: what is read of them lies side by side, whatever partitions it is of.
	slices.SortStableFunc(next, func(a, b upcoming) int { return bytes.Compare(a.run.Segment[:], b.run.Segment[:]) })
	room := s.window - ahead
	for i := 0; i < len(next) && room > 0; {
		n := 1
		for i+n < len(next) && next[i+n].run.Segment == next[i].run.Segment {
			n++
		}
		asked, ok := r.loadAhead(next[i : i+n])
		if !ok { // there is no room
			s.window = max(s.window/2, r.opts.MinAhead)
			return
		}
		room -= asked
		i += n
	}
}

// loadAhead asks for parts of one segment, and tells how much they are.
func (r *Reader) loadAhead(parts []upcoming) (asked int64, ok bool) {
	ranges := make([]objstore.Range, 0, len(parts))
	for _, u := range parts {
		if !u.track.behind(u) {
			ranges = append(ranges, objstore.Range{Offset: int64(u.run.Position) + int64(u.from), Length: int64(u.to - u.from)})
		}
	}
	if !r.ahead.Ahead(segment.Key(parts[0].run.Segment), ranges) {
		return 0, false
	}
	for _, u := range parts {
		if !u.track.behind(u) {
			u.track.asked(u)
			asked += int64(u.to - u.from)
		}
	}
	return asked, true
}

// next appends the parts of runs behind the front that make what is loaded ahead up to share bytes, about.
func (t *track) next(r *Reader, tp metastore.TopicPartition, share int64, parts []upcoming) []upcoming {
	left := share - t.ahead
	if left <= 0 {
		return parts
	}
	_, runs, err := r.log.Runs(tp, t.front.run, int(left+int64(t.front.position)))
	if err != nil { // deleted or trimmed meanwhile
		return parts
	}
	for _, run := range runs {
		if run.Marker != nil {
			continue
		}
		u := upcoming{track: t, run: run, to: run.Length}
		if run.Base == t.front.run {
			u.from = t.front.position
		}
		if u.from == run.Length {
			continue
		}
		if _, ok := r.inMemory(run); ok || left <= 0 {
			break // and so are those after it, most likely
		}
		if int64(run.Length-u.from) > 2*left { // runs are not cut for little
			if left < share/2 {
				break
			}
			u.to = u.from + uint32(left)
		}
		left -= int64(u.to - u.from)
		parts = append(parts, u)
	}
	return parts
}
