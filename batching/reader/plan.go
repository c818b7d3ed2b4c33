package reader

import (
	"context"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/planted"
)

// plan is where the records that a Want asks for lie.
type plan struct {
	Want
	isolation Isolation
	marks     metastore.Watermarks
	upTo      metastore.Offset // records from here on are not to be read
	runs      []plannedRun
	aborted   []metastore.AbortedTxn // of read_committed: all that overlap the runs, by their ends
	track     *track                 // nil without a scan, and at the tail

	room int64 // bytes that may be loaded beyond the answer, because they are needed next
	err  error
}

// plannedRun is a run, with the place where reading begins and about where it ends.
type plannedRun struct {
	metastore.Run
	from, to uint32           // bytes of the run
	more     uint32           // bytes from to on that are loaded with them, because they come next
	offset   metastore.Offset // of the batch at from
	parts    [][]byte         // the whole run, if it was in the writer's memory
	cold     bool             // to be read by way of the read-ahead pool
	exact    bool             // from is a mark of the index: a batch with that offset is there
	seek     bool             // from is to be looked for first, so far inside the run that what is before it is not kept
}

// plans finds the runs of Wants. No I/O. What they load beyond the answer has one bound for all of them.
func (r *Reader) plans(scan *Scan, isolation Isolation, wants []Want) []plan {
	plans := make([]plan, len(wants))
	room := int64(0)
	if scan != nil {
		room = min(max(scan.window, r.opts.MinAhead), max(r.ahead.Spare()/2, 0))
	}
	for i := range wants {
		plans[i] = r.plan(scan, isolation, wants[i], room)
		room = plans[i].room
	}
	for i := range plans {
		plans[i].room = room / int64(len(plans))
	}
	return plans
}

func (r *Reader) plan(scan *Scan, isolation Isolation, want Want, room int64) plan {
	p := plan{Want: want, isolation: isolation, track: scan.resume(want), room: room}
	var runs []metastore.Run
	p.marks, p.upTo, runs, p.aborted, p.err = r.runs(isolation, want.TopicPartition, want.From, max(want.MaxBytes, 1))
	if p.err == nil && p.From < p.upTo {
		p.runs = r.planned(&p, runs, want.MaxBytes)
	}
	return p
}

// planned decides where to read runs from, and how much of them for an answer of maxBytes.
func (r *Reader) planned(p *plan, runs []metastore.Run, maxBytes int) []plannedRun {
	planned := make([]plannedRun, 0, len(runs))
	left := int64(max(maxBytes, 1))
	tail := r.tail(p, runs)
	for i, run := range runs {
		if run.Base >= p.upTo || left <= 0 {
			break
		}
		x := plannedRun{Run: run, to: run.Length, offset: run.Base}
		if run.Marker != nil {
			planned = append(planned, x)
			left -= int64(run.Length)
			continue
		}
		if parts, ok := r.inMemory(run); ok {
			x.parts = parts
			planned = append(planned, x)
			left -= int64(run.Length)
			continue
		}
		skipped := r.place(p, &x)
		x.to = x.from + uint32(min(int64(run.Length-x.from), skipped+max(left, leastLoad)))
		x.cold = run.Base < tail || r.old(run) ||
			r.ahead.Has(segment.Key(run.Segment), x.bytes())
		if x.seek || skipped > mostSkipped*int64(r.opts.WindowBytes) {
			left -= int64(x.to) - skipped
			x.to, x.seek = 0, true
			planned = append(planned, x)
			continue
		}
		if x.cold {
			if (i > 0 || maxBytes < p.MaxBytes) && left < min(leastLoad, int64(p.MaxBytes)/8) {
				break // not worth a GET of its own: the next read begins here
			}
			rest, room := int64(run.Length-x.from), p.room
			if sparse(&run) { // a Fetch as large as the window leaves the pool not as much
				room = min(room/2, int64(r.opts.WindowBytes))
			}
			if rest <= room {
				p.room -= int64(run.Length - x.to)
				x.to = run.Length // the rest is needed next, and comes with the neighbors of the run
			}
		}
		left -= int64(x.to-x.from) - skipped
		planned = append(planned, x)
	}
	return planned
}

// place finds where in a run the read begins, as far as that can be told without a look at it: x.from, x.offset and
// x.exact, or x.seek. It returns how many bytes from there on are before what is asked for, about.
func (r *Reader) place(p *plan, x *plannedRun) (skipped int64) {
	if at := p.track.cursor(); at.run == x.Base && at.segment == x.Segment && at.offset == p.From && at.offset > x.Base {
		x.from, x.offset = at.position, at.offset
		return 0
	}
	if p.From <= x.Base {
		return 0
	}
	if sparse(&x.Run) && int64(x.Length) > int64(r.opts.UnindexedBytes) {
		in, ok := r.knownIndex(p.TopicPartition, &x.Run)
		if ok {
			return x.begin(in.MarkFor(sought(p.From)))
		}
		x.seek = true
	}
	return int64(x.Length) * int64(p.From-x.Base) / int64(x.Records)
}

// sought is an offset to look for in an index, but for a planted bug.
func sought(offset metastore.Offset) int64 {
	if planted.Is(planted.MarkPassed) {
		return int64(offset) + 3
	}
	return int64(offset)
}

// begin sets the place where reading begins to a mark of the index, and returns how many bytes there are to the next, about.
func (x *plannedRun) begin(mark segment.Mark) int64 {
	x.from, x.offset, x.exact = mark.Position, metastore.Offset(mark.Offset), mark.Position > 0
	return min(segment.MarkSpacing, int64(x.Length-x.from))
}

// cold tells whether any of the runs is to be read by way of the read-ahead pool.
func (p *plan) cold() bool {
	return slices.ContainsFunc(p.runs, func(x plannedRun) bool { return x.cold })
}

// coldBytes is how much is to be read of the runs by way of the read-ahead pool.
func (p *plan) coldBytes() (n int64) {
	for i := range p.runs {
		if x := &p.runs[i]; x.cold && !x.seek {
			n += int64(x.to - x.from)
		}
	}
	return n
}

// long tells whether all runs are of tier 1.
func (p *plan) long() bool {
	return !slices.ContainsFunc(p.runs, func(x plannedRun) bool { return !sparse(&x.Run) })
}

// hot tells whether there are records to be read that are the tail's.
func (p plan) hot() bool {
	return slices.ContainsFunc(p.runs, func(x plannedRun) bool { return !x.cold && !x.seek })
}

// mostSkipped is how many windows before an offset inside a run are loaded together with what is behind it.
const mostSkipped = 4

// leastLoad is the least that is loaded of a run, unless it ends before.
const leastLoad int64 = 16 << 10

// bytes is the part of the object that is to be read.
func (x *plannedRun) bytes() objstore.Range {
	return objstore.Range{Offset: int64(x.Position) + int64(x.from), Length: int64(x.to - x.from)}
}

// old tells whether a run was written so long ago that it is not the tail's. Those of tier 1 are old from the start, and
// time in their ids is that of the rewrite.
func (r *Reader) old(run metastore.Run) bool {
	if sparse(&run) {
		return true
	}
	written := run.Segment.Time()
	if run.Marker != nil {
		written = time.UnixMilli(run.MaxTimestamp)
	}
	return r.opts.Now().Sub(written) > r.opts.HotAge
}

// tail returns the offset below which records are far behind the end of the partition.
func (r *Reader) tail(p *plan, runs []metastore.Run) metastore.Offset {
	if len(runs) == 0 {
		return 0
	}
	last := runs[len(runs)-1]
	end := last.End()
	if p.track != nil && end <= p.track.coldTo {
		return p.track.coldTo
	}
	if end >= p.marks.High || r.old(last) { // an old one tells enough, and there may be thousands behind it
		return 0
	}
	_, behind, err := r.log.Runs(p.TopicPartition, end, r.opts.HotBytes)
	if err != nil || len(behind) == 0 {
		return 0
	}
	last = behind[len(behind)-1]
	if last.Base+metastore.Offset(last.Records) >= p.marks.High {
		return 0
	}
	if p.track != nil {
		p.track.coldTo = last.Base
	}
	return end
}

// begin asks for everything that the plans need and that is not in memory, in GETs of at most most bytes of objects of tier 1.
func (r *Reader) begin(ctx context.Context, f *Fetched, plans []plan, most int64) {
	var hot, cold ranges
	for i := range plans {
		for j := range plans[i].runs {
			x := &plans[i].runs[j]
			switch {
			case x.seek && sparse(&x.Run):
				cold.add(x.Run, suffix(&x.Run, suffixBytes))
			case x.parts != nil || x.seek || x.Marker != nil:
			case x.cold:
				part := x.bytes()
				part.Length += int64(x.more)
				cold.add(x.Run, part)
			default:
				hot.add(x.Run, x.bytes())
			}
		}
	}
	for i := range cold.objects {
		o := &cold.objects[i]
		large := most
		if o.segment.Tier() == 0 {
			large = 0
		}
		f.hold.Load(segment.Key(o.segment), o.ranges, large)
	}
	for i := range hot.objects {
		o := &hot.objects[i]
		r.blocks.Prefetch(ctx, segment.Key(o.segment), o.size, o.ranges)
	}
}

// ranges are parts of objects, by object in the order of their first.
type ranges struct {
	objects []objectRanges
	by      map[metastore.SegmentID]int // index of objects, once there are several
}

type objectRanges struct {
	segment metastore.SegmentID
	size    int64
	ranges  []objstore.Range
}

func (rs *ranges) add(run metastore.Run, part objstore.Range) {
	i, ok := 0, len(rs.objects) > 0 && rs.objects[0].segment == run.Segment
	if !ok {
		i, ok = rs.by[run.Segment]
	}
	if !ok {
		i = len(rs.objects)
		rs.objects = append(rs.objects, objectRanges{segment: run.Segment, size: run.SegmentSize})
		if rs.by == nil {
			rs.by = make(map[metastore.SegmentID]int)
		}
		rs.by[run.Segment] = i
	}
	rs.objects[i].ranges = append(rs.objects[i].ranges, part)
}
