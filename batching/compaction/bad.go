package compaction

import (
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// mostBad bounds what is remembered of runs that cannot be read.
const mostBad = 10_000

// badRuns are runs, and segments, that could not be read of late: jobs go around them, so that they hold up nothing else.
type badRuns struct {
	runs     map[runPlace]badRun
	segments map[metastore.SegmentID]*badSegment
}

// runPlace is where a run lies.
type runPlace struct {
	segment  metastore.SegmentID
	position uint32
}

type badRun struct {
	until  time.Time
	length uint32
}

type badSegment struct {
	until time.Time // all of it is bad; zero: it is not
	bytes int64     // of bad runs
}

func newBadRuns() *badRuns {
	return &badRuns{runs: map[runPlace]badRun{}, segments: map[metastore.SegmentID]*badSegment{}}
}

func (b *badRuns) has(run *metastore.Run) bool {
	if len(b.segments) == 0 {
		return false
	}
	s := b.segments[run.Segment]
	if s == nil {
		return false
	}
	_, bad := b.runs[runPlace{run.Segment, run.Position}]
	return bad || !s.until.IsZero()
}

// bytes is how many of a segment's bytes are of bad runs; more than it has if all are.
func (b *badRuns) bytes(id metastore.SegmentID) int64 {
	s := b.segments[id]
	switch {
	case s == nil:
		return 0
	case !s.until.IsZero():
		return 1 << 40
	}
	return s.bytes
}

func (b *badRuns) segment(id metastore.SegmentID) *badSegment {
	s := b.segments[id]
	if s == nil {
		s = &badSegment{}
		b.segments[id] = s
	}
	return s
}

// add tells whether the run was not known, and is remembered now.
func (b *badRuns) add(run *metastore.Run, until time.Time) bool {
	at := runPlace{run.Segment, run.Position}
	if _, known := b.runs[at]; known || len(b.runs) >= mostBad {
		return false
	}
	b.runs[at] = badRun{until: until, length: run.Length}
	b.segment(run.Segment).bytes += int64(run.Length)
	return true
}

func (b *badRuns) addSegment(id metastore.SegmentID, until time.Time) {
	if len(b.segments) < 2*mostBad {
		b.segment(id).until = until
	}
}

// forgive forgets what is past its time.
func (b *badRuns) forgive(now time.Time) {
	for at, run := range b.runs {
		if now.After(run.until) {
			delete(b.runs, at)
			b.segments[at.segment].bytes -= int64(run.length)
		}
	}
	for id, s := range b.segments {
		if now.After(s.until) {
			s.until = time.Time{}
		}
		if s.until.IsZero() && s.bytes == 0 {
			delete(b.segments, id)
		}
	}
}
