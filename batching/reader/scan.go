package reader

import (
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Scan remembers where the reads of one connection have got to, so that what comes next is on its way before it is asked
// for. It is for one Fetch at a time. The zero value is ready; a nil Scan remembers nothing.
//
// While reads go on where the ones before ended, the window grows from Options.MinAhead to Options.MaxAhead: what is
// loaded ahead of all its partitions together. They are read ahead together, since their runs lie side by side in the
// same objects: one GET then serves many of them. Runs of tier 1 that are long are read ahead each for itself, in pieces that
// grow with the window, and the window with what was read of them: a reader that stops early has not made much be loaded.
type Scan struct {
	window int64
	most   int64  // bytes of one GET ahead of tier 1
	read   int64  // bytes of old records since reads began to go on
	taken  int64  // bytes of them that the Fetch under way takes
	clock  uint64 // Fetches
	second int64  // of the last one that went on, see scans
	tracks map[metastore.TopicPartition]*track
}

// track is a partition that is read in order.
type track struct {
	at      cursor
	front   cursor           // what lies before it is loaded, or on its way; its offset is that of its run
	ahead   int64            // bytes asked for and not read yet
	taking  int64            // of them, those of tier 1 that the Fetch under way takes
	taking0 int64            // and those of tier 0
	coldTo  metastore.Offset // below this, records are far behind the end of the partition
	clock   uint64           // of the last Fetch
	late    time.Time        // since when its reads are put off; zero: they are not
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
	// aheadOfRead is how many times what was read of tier 1 may be loaded ahead. After a Fetch of 1 MiB, the default of clients,
	// there are three GETs before the window is the largest.
	aheadOfRead = 8
	// growthOfRead is how many times what was read of tier 0 may be loaded ahead, if that is more than the doubled window. Where a
	// GET takes long, so does each Fetch until the window is the largest: after one of 8 MiB it is.
	growthOfRead = 4
	// refillGets is for how many GETs of tier 0 there must be room in the window to ask for more.
	refillGets = 2
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
	a.track.late, a.track.taking, a.track.taking0 = time.Time{}, 0, 0
	if !a.cold() {
		delete(s.tracks, a.TopicPartition)
		return
	}
	if a.at.offset > 0 {
		a.track.at = a.at
	}
	a.track.ahead = max(a.track.ahead-a.passed, 0)
	s.read += a.passed
}

// grow sets the window for a Fetch, and tells whether to load ahead of it. Of tier 1 nothing is, before a second Fetch goes on:
// what that has to load itself and what comes next are one GET then.
func (s *Scan) grow(r *Reader, plans []plan) bool {
	if s == nil {
		return false
	}
	active, goesOn, long := 0, false, true
	s.taken = 0
	for i := range plans {
		if p := &plans[i]; p.cold() {
			active++
			s.taken += p.coldBytes()
			goesOn = goesOn || p.track != nil
			long = long && p.long()
		}
	}
	if active == 0 {
		return false
	}
	if !goesOn {
		s.window, s.most, s.read = r.opts.MinAhead, r.opts.MinAhead, 0
		return !long
	}
	most := r.mostAhead(s)
	if long {
		s.window = min(max(s.window, aheadOfRead*s.read), most)
	} else {
		s.window = min(max(2*s.window, growthOfRead*s.read), most)
	}
	s.most = min(s.window, most/4*3)
	f, room := s.filling(r, active, 0), s.window-s.taken
	for i := range plans {
		if p := &plans[i]; p.track != nil && len(p.runs) > 0 {
			room -= f.join(r, p.track, &p.runs[len(p.runs)-1], room)
		}
	}
	return true
}

// extend notes what the plans take, and loads ahead of it.
func (s *Scan) extend(r *Reader, plans []plan, ahead bool) {
	if s == nil {
		return
	}
	s.clock++
	for i := range plans {
		p := &plans[i]
		if !p.cold() {
			continue
		}
		if p.track == nil {
			if p.track = s.begin(p.Want); p.track == nil {
				continue
			}
		}
		p.track.taking, p.track.taking0 = 0, 0
		for j := range p.runs {
			if p.runs[j].cold && !p.runs[j].seek {
				p.track.passed(&p.runs[j])
			}
		}
	}
	s.forget()
	if ahead {
		s.load(r)
	}
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
