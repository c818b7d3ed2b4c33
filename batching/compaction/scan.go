package compaction

import (
	"math"
	"time"

	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
)

// partition is told of the runs of a partition, once segments were chosen, and finds at most one stretch for each kind.
func (p *planner) partition(tp metastore.TopicPartition, v runs) {
	s := scan{planner: p, tp: tp, runs: v}
	p.items = p.items[:0]
	old := p.now.Add(-p.opts.Delay).UnixMilli()
	for i := range v.Len() {
		run := v.Run(i)
		if run.Marker != nil {
			// The end of a transaction goes with what lies before it if it is no longer the tail's, else with what comes.
			s.lift.marker(i, &run, run.MaxTimestamp <= old)
			s.refill.follow(i, &run)
			s.between(i)
			continue
		}
		tier, bad := run.Segment.Tier(), p.bad.has(&run)
		if tier == 0 && !bad && v.RunSeq(i) <= p.cut && !p.young[run.Segment] {
			if s.lift.full(i) {
				s.endLift()
			}
			s.lift.add(i, &run)
		} else {
			s.endLift()
		}
		if tier == 1 && !bad {
			s.small(i, run.Length)
			s.spare(i, &run)
		} else {
			s.endMerge()
			s.endRefill()
		}
	}
	s.endLift()
	s.endMerge()
	s.endRefill()
}

// scan goes over the runs of one partition.
type scan struct {
	*planner
	tp                       metastore.TopicPartition
	runs                     runs
	lift, refill             span
	lifted, merged, refilled bool   // there is a stretch of the kind
	neighbors                int    // of refill, that do not lie in sparse segments
	largest                  uint32 // length of the runs of refill that do
}

// span is the runs [first, end) of a partition, if count is not 0: so many are no ends of transactions.
type span struct {
	first, end, count int
	from, to          metastore.Offset
	bytes             int64 // of [first, end)
	passed            int64 // bytes of ends of transactions behind end
}

func (s *span) len() int { return s.end - s.first }

// full tells whether the span would be too long with run i. Beginning it anew, with the run alone, is what is left then.
func (s *span) full(i int) bool { return s.len() > 0 && i-s.first >= rewrite.MaxPartRuns }

func (s *span) add(i int, run *metastore.Run) {
	if s.len() == 0 {
		s.first, s.from = i, run.Base
	}
	s.end, s.to = i+1, run.End()
	s.bytes, s.passed = s.bytes+s.passed+int64(run.Length), 0
	s.count++
}

// marker takes the end of a transaction. One that is not to be the last of a span is part of it when a run follows.
func (s *span) marker(i int, run *metastore.Run, last bool) {
	if s.len() == 0 || last && s.end == i && !s.full(i) {
		s.add(i, run)
		s.count--
	} else {
		s.passed += int64(run.Length)
	}
}

// follow takes the end of a transaction behind a span.
func (s *span) follow(i int, run *metastore.Run) {
	if s.count > 0 {
		s.marker(i, run, true)
	}
}

// stretch is the span as what a job rewrites.
func (s *span) stretch(tp metastore.TopicPartition) stretch {
	return stretch{TopicPartition: tp, from: s.from, to: s.to, runs: s.len(), bytes: s.bytes}
}

func (s *scan) endLift() {
	if s.lift.count > 0 && !s.lifted {
		s.lifts = append(s.lifts, s.lift.stretch(s.tp))
		s.lifted = true
	}
	s.lift = span{}
}

// spare takes a run that may have to leave its segment. Small neighbors go with it.
func (s *scan) spare(i int, run *metastore.Run) {
	if s.refilled || len(s.sparse) == 0 {
		return
	}
	switch {
	case s.refill.full(i):
		s.endRefill()
	case s.sparse[run.Segment]:
		s.refill.add(i, run)
		s.largest = max(s.largest, run.Length)
	case s.refill.count > 0 && run.Length <= s.largest && int64(run.Length) < s.opts.SmallRun && s.neighbors < s.opts.MergeRuns:
		s.refill.add(i, run)
		s.neighbors++
	default:
		s.endRefill()
	}
}

func (s *scan) endRefill() {
	if s.refill.count > 0 && !s.refilled {
		s.refills = append(s.refills, s.refill.stretch(s.tp))
		s.refilled = true
	}
	s.refill, s.neighbors, s.largest = span{}, 0, 0
}

// item is a run of a block: neighbors in tier 1 that are small, with the ends of transactions between them.
type item struct {
	index int
	level int8 // of its size, see level; markerLevel for the end of a transaction
}

// markerLevel is above all levels.
const markerLevel = 100

// level tells how small a run is: 0 for one that is no longer merged, 1 down to an eighth of SmallRun, and so on. The
// highest is that of a run of one byte, about 20.
func (o *Options) level(length uint32) int8 {
	level := int8(0)
	for size := o.SmallRun; size > int64(length); size /= 8 {
		level++
	}
	return level
}

// small takes a run that may be merged with its neighbors.
func (s *scan) small(i int, length uint32) {
	level := s.opts.level(length)
	if level == 0 || len(s.items) >= rewrite.MaxPartRuns {
		s.endMerge()
	}
	if level > 0 {
		s.items = append(s.items, item{i, level})
	}
}

// between takes the end of a transaction.
func (s *scan) between(i int) {
	if len(s.items) >= rewrite.MaxPartRuns {
		s.endMerge()
	}
	s.items = append(s.items, item{i, markerLevel})
}

// endMerge ends the block, and looks in it for the smallest runs of which there are enough.
func (s *scan) endMerge() {
	if !s.merged && len(s.items) >= s.opts.MergeRuns {
		s.merge()
	}
	s.items = s.items[:0]
}

func (s *scan) merge() {
	var counts [markerLevel + 1]int
	for _, x := range s.items {
		counts[x.level]++
	}
	for level := int8(markerLevel - 1); level > 0; level-- {
		if counts[level] < s.opts.MergeRuns {
			continue
		}
		if window, since, ok := s.window(level); ok {
			x := window.stretch(s.tp)
			x.since = since
			s.merges = append(s.merges, x)
			s.merged = true
			return
		}
	}
}

// mostOffsets is how many offsets neighbors may take that become one run: it could not take many more, and those on both
// sides of a large gap would be two runs again, and again.
const mostOffsets = math.MaxInt32 / 2

// window finds neighbors that are no larger than those of a level, enough of which are of that level, and tells since when
// they are enough.
func (s *scan) window(level int8) (w span, since time.Time, ok bool) {
	var bytes int64
	enough := func() bool {
		return w.count >= s.opts.MergeRuns || w.count > 1 && bytes >= s.opts.SmallRun
	}
	for _, x := range s.items {
		run := s.runs.Run(x.index)
		if x.level == markerLevel {
			w.marker(x.index, &run, false)
			continue
		}
		if x.level < level || w.len() > 0 && (bytes+int64(run.Length) > s.opts.JobBytes || run.End()-w.from > mostOffsets) {
			if enough() {
				return w, since, true
			}
			if w, bytes = (span{}), 0; x.level < level {
				continue
			}
		}
		count := w.count
		w.add(x.index, &run)
		bytes += int64(run.Length)
		if x.level > level {
			w.count = count // it goes along
		} else if w.count <= s.opts.MergeRuns {
			since = run.Segment.Time()
		}
	}
	return w, since, w.count >= s.opts.MergeRuns
}
