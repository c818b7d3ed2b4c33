package rebuild

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/runnel-io/runnel/metastore"
)

// partition is a partition on its way to what it will be.
type partition struct {
	metastore.TopicPartition
	known   int                  // runs that the index names
	marks   metastore.Watermarks // by the index
	compact bool                 // log compaction leaves gaps in it
	aborted []metastore.AbortedTxn
	open    []metastore.OpenTxn
	sources []source
	should  holdings
	without []span // nothing is taken of these offsets

	bad []int // sources that turned out to be damaged

	// What try found.
	unchanged bool // it is what the index says it is
	rewritten bool // runs that the index does not name take the place of those that it does
	runs      []metastore.Run
	missing   []span
	forgotten []metastore.Offset // markers of aborted transactions of which nothing is left
	history   *history
	pieces    int              // of runs
	beyond    int64            // offsets that the index did not know
	cleanedTo metastore.Offset // gaps between batches of a run show that log compaction has got so far
}

// plan finds the runs of the partition and reads what is beyond the index. It does not use runs that turn out to be damaged,
// of which with.damage hears.
func (p *partition) plan(ctx context.Context, with *planner) error {
	for {
		err := p.try(ctx, with)
		wrong := (*unusable)(nil)
		if !errors.As(err, &wrong) {
			return err
		}
		with.damage(&p.sources[wrong.source], wrong.why)
		p.bad = append(p.bad, wrong.source)
	}
}

// unusable says that a source is not to be used, and why.
type unusable struct {
	source int
	why    error
}

func (u *unusable) Error() string { return fmt.Sprintf("source %d: %v", u.source, u.why) }

// wrap makes a *damage of a source an *unusable.
func wrap(source int, err error) error {
	if err != nil && isDamage(err) {
		return &unusable{source, err}
	}
	return err
}

func (p *partition) try(ctx context.Context, with *planner) error {
	usable, number := p.usable()
	links := chain(p.marks.LogStart, &p.should, usable)
	for _, s := range p.without {
		links = except(links, s)
	}
	p.runs, p.missing, p.forgotten, p.pieces, p.beyond, p.cleanedTo, p.rewritten = nil, nil, nil, 0, 0, 0, false
	from := make([]int, 0, len(links)) // sources of the runs
	for _, l := range links {
		run, s := usable[l.source].Run, &usable[l.source]
		if !l.whole(s) {
			part, any, err := with.cut(ctx, p.TopicPartition, s, l.from, l.to)
			if err != nil {
				return wrap(number[l.source], err)
			}
			if !any {
				continue
			}
			run = part
			p.pieces++
		}
		p.runs, from = append(p.runs, run), append(from, number[l.source])
		p.rewritten = p.rewritten || !s.indexed && run.Base < p.should.high
	}
	p.unchanged = p.sameAsIndexed(from)
	p.findMissing()
	return p.read(ctx, with, from)
}

// except returns links without some offsets.
func except(links []link, s span) (left []link) {
	for _, l := range links {
		if l.from < s.from {
			left = append(left, link{l.source, l.from, min(l.to, s.from)})
		}
		if l.to > s.to {
			left = append(left, link{l.source, max(l.from, s.to), l.to})
		}
	}
	return left
}

// usable returns the sources that may be used, and their places among all.
func (p *partition) usable() (list []source, number []int) {
	for i := range p.sources {
		if !slices.Contains(p.bad, i) {
			list, number = append(list, p.sources[i]), append(number, i)
		}
	}
	return list, number
}

// sameAsIndexed tells whether the runs are all that the index names, and no others.
func (p *partition) sameAsIndexed(from []int) bool {
	return p.pieces == 0 && len(from) == p.known && !slices.ContainsFunc(from, func(i int) bool { return !p.sources[i].indexed })
}

// findMissing finds the offsets that should be there.
func (p *partition) findMissing() {
	next := p.marks.LogStart
	for i := range p.runs {
		p.missing = append(p.missing, p.should.gaps(next, p.runs[i].Base)...)
		next = max(next, p.runs[i].End())
	}
	p.missing = append(p.missing, p.should.gaps(next, max(next, p.should.high))...)
}

// read reads the batches that matter: those beyond the index, and those that may be the ends of aborted transactions.
func (p *partition) read(ctx context.Context, with *planner, from []int) error {
	h := newHistory(p.TopicPartition, p.open, with.ids)
	next := max(p.marks.LogStart, p.should.high)
	var endless []endlessTxn
	for i := range p.runs {
		run, s := &p.runs[i], &p.sources[from[i]]
		ends := p.endsIn(s, run)
		if run.End() <= p.should.high && len(ends) == 0 {
			continue
		}
		if run.End() > p.should.high {
			if run.Base > next {
				h.missing(next, run.Base)
			}
			next = run.End()
			p.beyond += int64(run.End() - max(run.Base, p.should.high))
		}
		follows := run.Base
		err := eachBatch(ctx, with.objects, s, func(b *batch) error {
			if !holds(run, b) {
				return nil
			}
			if b.offset > follows || b.end()-b.offset > metastore.Offset(b.Records) {
				p.cleanedTo = run.End()
			}
			follows = b.end()
			if b.Control() {
				delete(ends, b.offset)
			}
			if b.offset >= p.should.high {
				return h.add(b)
			}
			return nil
		})
		if err != nil {
			return wrap(from[i], err)
		}
		for _, a := range ends {
			endless = append(endless, endlessTxn{a, from[i]})
		}
	}
	p.history = h
	p.unchanged = p.unchanged && len(p.open) == 0
	return p.readEndless(ctx, with, from, endless)
}

// holds tells whether a batch of a source is in the part of it that is in use.
func holds(run *metastore.Run, b *batch) bool { return run.Base <= b.offset && b.end() <= run.End() }

// endsIn returns the aborted transactions, by their ends, that the index knows and that should end in a run which it does not.
func (p *partition) endsIn(s *source, run *metastore.Run) map[metastore.Offset]metastore.AbortedTxn {
	if s.indexed {
		return nil
	}
	ends := make(map[metastore.Offset]metastore.AbortedTxn)
	for _, a := range p.aborted {
		if run.Base <= a.Last && a.Last < run.End() {
			ends[a.Last] = a
		}
	}
	return ends
}

// endlessTxn is an aborted transaction whose end a run lacks.
type endlessTxn struct {
	metastore.AbortedTxn
	source int
}

// readEndless decides what to do with aborted transactions that have no end. Log compaction takes it out once nothing of their
// records is left, which the index did not know yet; they are forgotten then. Whoever is told of an aborted transaction and
// does not meet its end skips what its producer wrote later, so a run that lacks it otherwise is not used.
func (p *partition) readEndless(ctx context.Context, with *planner, from []int, endless []endlessTxn) error {
	if len(endless) == 0 {
		return nil
	}
	by := make(map[int64][]endlessTxn)
	first, last := noLimit, metastore.NoOffset
	for _, e := range endless {
		by[int64(e.Producer)] = append(by[int64(e.Producer)], e)
		first, last = min(first, e.First), max(last, e.Last)
	}
	for i := range p.runs {
		run := &p.runs[i]
		if run.Marker != nil || run.End() <= first || run.Base > last {
			continue
		}
		err := eachBatch(ctx, with.objects, &p.sources[from[i]], func(b *batch) error {
			if !holds(run, b) {
				return nil
			}
			for _, e := range by[b.ProducerID] {
				if !b.Control() && b.Transactional() && e.First <= b.offset && b.offset < e.Last && b.end() > p.marks.LogStart {
					return &unusable{e.source, damaged("the end of the aborted transaction of producer %d at offset %d is not there, and records of it are", e.Producer, e.Last)}
				}
			}
			return nil
		})
		if err != nil {
			return wrap(from[i], err)
		}
	}
	for _, e := range endless {
		p.forgotten = append(p.forgotten, e.Last)
	}
	slices.Sort(p.forgotten)
	return nil
}

// start is where the partition begins: what is missing before its first run has most likely been deleted since.
func (p *partition) start() metastore.Offset {
	if len(p.missing) == 0 || len(p.runs) > 0 && p.missing[0].from >= p.runs[0].Base {
		return p.marks.LogStart
	}
	if len(p.runs) == 0 {
		return p.should.high
	}
	return max(p.marks.LogStart, p.runs[0].Base)
}

// high is the offset after the last.
func (p *partition) high() metastore.Offset {
	high := p.should.high
	if n := len(p.runs); n > 0 {
		high = max(high, p.runs[n-1].End())
	}
	return high
}

const noLimit = metastore.Offset(math.MaxInt64)
