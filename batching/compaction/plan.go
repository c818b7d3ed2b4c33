package compaction

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Kind is what a job is for.
type Kind string

// The kinds.
const (
	Lift   Kind = "lift"   // runs of tier 0 become one of tier 1
	Merge  Kind = "merge"  // small runs of tier 1 become one
	Refill Kind = "refill" // runs leave segments of which little is named
)

// kinds are all of them, in the order in which they take turns.
var kinds = []Kind{Lift, Merge, Refill}

// stretch is consecutive runs of a partition that are to be rewritten together.
type stretch struct {
	metastore.TopicPartition
	from, to metastore.Offset
	runs     int
	bytes    int64
	since    time.Time // for merges: when there were enough runs
}

// runs are those of a partition, in order; a metastore.PartitionView is.
type runs interface {
	Len() int
	Run(i int) metastore.Run
	RunSeq(i int) metastore.Seq
}

// planner decides what is to be rewritten. It is told of all segments, then, after choose, of all partitions; it has no
// clock and does no I/O.
//
// No job makes another of its kind by itself: what is lifted is in tier 1. What is merged has at least as many bytes as
// MergeRuns of its largest runs had at least, so that each rewrite of a byte for a merge takes it to a run of another size,
// of which there are few. And a refilled segment is named in full.
type planner struct {
	opts   Options
	memory int64 // of the engine for reads
	now    time.Time
	bad    *badRuns

	// Tier 0.
	fresh  []metastore.SegmentUse       // all that can be lifted, in the order of the log once chosen
	oldest time.Time                    // of tier 0; zero: there is none
	bytes0 int64                        // of tier 0 that runs name
	recent []metastore.SegmentUse       // those that cannot be yet
	cut    metastore.Seq                // segments committed by entries behind this one are not for this job
	young  map[metastore.SegmentID]bool // of recent, those before the cut: clocks differ
	due    bool                         // a lift is

	sparse map[metastore.SegmentID]bool // segments to be left by their runs
	spares []metastore.SegmentUse       // candidates

	lifts, merges, refills []stretch
	items                  []item // of the block at hand; memory is used again
}

// newPlanner makes a planner. opts have their defaults filled in.
func newPlanner(opts Options, memory int64, now time.Time, bad *badRuns) *planner {
	return &planner{opts: opts, memory: memory, now: now, bad: bad}
}

// segment is told of a segment that runs name.
func (p *planner) segment(u metastore.SegmentUse) {
	age := p.now.Sub(u.ID.Time())
	if u.ID.Tier() == 0 {
		p.bytes0 += u.Live
		if at := u.ID.Time(); p.oldest.IsZero() || at.Before(p.oldest) {
			p.oldest = at
		}
		switch {
		case age < p.opts.Delay:
			p.recent = append(p.recent, u)
		case u.Live > p.bad.bytes(u.ID):
			p.fresh = append(p.fresh, u)
		}
		return
	}
	// What an object of these runs alone would be, about: those of small runs are index for a good part.
	needed := u.Live + emptyObject + runInIndex*int64(u.Runs)
	if age >= p.opts.Wait && 2*needed < u.Size && u.Live > p.bad.bytes(u.ID) {
		p.spares = append(p.spares, u)
	}
}

const (
	emptyObject = 84 // bytes of an object of tier 1 without runs
	runInIndex  = 64 // bytes of its footer for each run, at least
)

// choose decides which segments jobs are for.
func (p *planner) choose() {
	slices.SortFunc(p.fresh, func(a, b metastore.SegmentUse) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), bytes.Compare(a.ID[:], b.ID[:]))
	})
	var waiting, bytes int64
	segments, runs, full := 0, 0, false
	for rest := p.fresh; len(rest) > 0; {
		n, entryRuns, entryBytes := 0, 0, int64(0) // what one entry brought is taken as a whole
		for ; n < len(rest) && rest[n].Seq == rest[0].Seq; n++ {
			entryRuns, entryBytes = entryRuns+rest[n].Runs, entryBytes+rest[n].Live
			p.due = p.due || p.now.Sub(rest[n].ID.Time()) >= p.opts.Wait
		}
		waiting += entryBytes
		if full = full || segments > 0 && p.enough(segments+n, runs+entryRuns, bytes+entryBytes); !full {
			segments, runs, bytes, p.cut = segments+n, runs+entryRuns, bytes+entryBytes, rest[0].Seq
		}
		rest = rest[n:]
	}
	p.due = p.due || waiting >= p.opts.DueBytes
	for i := range p.recent {
		if u := &p.recent[i]; u.Seq <= p.cut {
			if p.young == nil {
				p.young = map[metastore.SegmentID]bool{}
			}
			p.young[u.ID] = true
		}
	}
	p.chooseSparse()
}

// enough tells whether a lift of so much would be too large. The memory of the engine is shared by the segments: each GET
// brings a share. So there are some segments*bytes/memory GETs, which many small segments would make too many of: then the
// job is no larger than four times the memory, and takes about four GETs for each segment.
func (p *planner) enough(segments, runs int, bytes int64) bool {
	return segments > p.opts.JobSegments || runs > p.opts.JobRuns || bytes > p.opts.JobBytes ||
		p.memory/int64(segments) < largeGet && bytes > 4*p.memory
}

// largeGet is from which size GETs cost little beside the bytes that they bring.
const largeGet = 512 << 10

// chooseSparse takes first those of which least is named.
func (p *planner) chooseSparse() {
	slices.SortFunc(p.spares, func(a, b metastore.SegmentUse) int {
		return cmp.Or(cmp.Compare(float64(a.Live)/float64(a.Size), float64(b.Live)/float64(b.Size)), bytes.Compare(a.ID[:], b.ID[:]))
	})
	var live int64
	runs := 0
	for i := range p.spares {
		u := &p.spares[i]
		live += u.Live
		runs += u.Runs
		if i > 0 && (live > p.opts.JobBytes/2 || runs > p.opts.JobRuns/2) { // the other half is for neighbors
			break
		}
		if p.sparse == nil {
			p.sparse = map[metastore.SegmentID]bool{}
		}
		p.sparse[u.ID] = true
	}
}

// job returns a job of a kind, in the order of partitions; nil if none is due.
func (p *planner) job(kind Kind) []stretch {
	var list []stretch
	switch kind {
	case Lift:
		if !p.due {
			return nil
		}
		list = p.lifts
	case Merge:
		if list = p.merges; !p.mergesDue() {
			return nil
		}
		// Those that make most of few bytes.
		slices.SortFunc(list, func(a, b stretch) int {
			return cmp.Or(cmp.Compare(a.bytes/int64(a.runs), b.bytes/int64(b.runs)), order(a, b))
		})
	case Refill:
		list = p.refills
	}
	list = p.bounded(list)
	slices.SortFunc(list, order)
	return list
}

func (p *planner) mergesDue() bool {
	var bytes int64
	runs := 0
	for i := range p.merges {
		m := &p.merges[i]
		bytes, runs = bytes+m.bytes, runs+m.runs
		if p.now.Sub(m.since) >= p.opts.Wait {
			return true
		}
	}
	return bytes >= p.opts.MergeBytes || runs >= p.opts.JobRuns/2
}

// bounded returns what a job has room for, one at least.
func (p *planner) bounded(list []stretch) []stretch {
	var bytes int64
	runs := 0
	for i := range list {
		bytes, runs = bytes+list[i].bytes, runs+list[i].runs
		if i > 0 && (i == p.opts.JobParts || bytes > p.opts.JobBytes || runs > p.opts.JobRuns) {
			return list[:i]
		}
	}
	return list
}

func order(a, b stretch) int {
	return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}
