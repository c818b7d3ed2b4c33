package reader

import (
	"context"
	"errors"
	"slices"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/planted"
)

// Isolation is how far a read goes, by Kafka's number.
type Isolation int8

// The isolation levels.
const (
	ReadUncommitted Isolation = iota // to the high watermark
	ReadCommitted                    // to the last stable offset
)

// Want is what a Fetch asks of one partition: batches from the one that holds offset From on, as many as fit in
// MaxBytes.
type Want struct {
	metastore.TopicPartition
	From     metastore.Offset
	MaxBytes int
}

// Fetch reads records of several partitions. The first batch of one may begin before From. At the border (high watermark
// or last stable offset) there is nothing to read, and no error. Of the first partition that has any, the first batch is
// returned even if it does not fit (KIP-74).
//
// All that is known to be needed is asked for at once, near ranges of an object together, before anything is waited for.
// The wait for the store has a bound, Options.LongestFetch, beyond which there are errors for what has not come.
// scan remembers where the connection's reads have got to, to read ahead of them; nil for a read on its own.
func (r *Reader) Fetch(ctx context.Context, scan *Scan, isolation Isolation, wants []Want) *Fetched {
	f := &Fetched{Results: make([]Result, len(wants)), reader: r, hold: r.ahead.Hold()}
	whole := false
	defer func() {
		if !whole { // a panic, which ends the connection and not the broker
			f.Release()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, r.opts.LongestFetch)
	defer cancel()
	plans := r.plans(scan, isolation, wants)
	if slices.ContainsFunc(plans, plan.hot) {
		r.ahead.Hurry()
	}
	ahead := scan.grow(r, plans)
	r.begin(ctx, f, plans, r.mostBytes(scan))
	scan.extend(r, plans, ahead)
	total, late := 0, f.late(ctx, plans)
	for i, next := 0, 0; i < len(plans); i++ {
		if next < len(late) && late[next] == i {
			next++
			continue
		}
		total += r.read(ctx, scan, f, &plans[i], &f.Results[i], total == 0)
	}
	for _, i := range late {
		f.Results[i].Watermarks = plans[i].marks
		if total == 0 {
			total += r.read(ctx, scan, f, &plans[i], &f.Results[i], true)
		}
	}
	if r.ahead.Spare() <= 0 && f.hold.Bytes() > 2*int64(total) {
		f.own()
	}
	whole = true
	return f
}

// late returns the plans of old records that are still on their way, in order, if there are others of the tail: a
// partition that is behind does not hold up those that are not. Its turn comes when its records are there, or when it was
// put off for long: else nobody would hear of records that cannot be read, and those that are evicted too soon never came.
func (f *Fetched) late(ctx context.Context, plans []plan) (late []int) {
	tail := false
	for i := range plans {
		if !plans[i].cold() {
			tail = tail || len(plans[i].runs) > 0
		} else if !f.loaded(ctx, &plans[i]) {
			late = append(late, i)
		}
	}
	if !tail {
		return nil
	}
	now := f.reader.opts.Now()
	return slices.DeleteFunc(late, func(i int) bool { return !plans[i].track.putOff(now) })
}

// read fills in the result of one partition and returns its bytes.
func (r *Reader) read(ctx context.Context, scan *Scan, f *Fetched, p *plan, result *Result, atLeastOne bool) int {
	a := &answer{plan: p, fetched: f, atLeastOne: atLeastOne, result: result, marker: -1}
	a.result.Watermarks = a.marks
	r.answer(ctx, a)
	scan.moved(a)
	return a.result.Bytes
}

func (r *Reader) answer(ctx context.Context, a *answer) {
	err, runs := a.err, a.runs
	for err == nil && len(runs) > 0 && a.wants(runs[0].Run) {
		if err = a.addRuns(ctx, runs); err != nil || a.full {
			break
		}
		// The runs were enough by their length, but the first may have been needed in part.
		last := runs[len(runs)-1]
		a.From = last.End()
		left := a.MaxBytes - a.result.Bytes
		if a.From >= a.upTo {
			break
		}
		_, _, more, aborted, moved := r.runs(a.isolation, a.TopicPartition, a.From, left)
		if moved != nil || forgotten(a.aborted, aborted, a.From) {
			break // deleted, trimmed or compacted meanwhile: the next read will tell
		}
		a.aborted = joinAborted(a.aborted, aborted)
		runs = r.planned(a.plan, more, left)
	}
	a.result.Aborted = a.overlapping()
	if errors.Is(err, ErrCorrupt) {
		for i := range runs {
			r.forget(&runs[i].Run)
		}
	}
	if a.result.Bytes == 0 { // else the next read begins at what cannot be read, and will tell
		a.result.Err = err
	}
}

// forget lets the object of a run that a read met be loaded again, in case that it is the copy in memory which is wrong.
func (r *Reader) forget(run *metastore.Run) {
	if run.Marker != nil {
		return
	}
	key := segment.Key(run.Segment)
	r.ahead.Forget(key)
	r.blocks.Forget(key)
	r.indexes.drop(run.Segment)
}

// answer collects the batches of one partition.
type answer struct {
	*plan
	fetched    *Fetched
	atLeastOne bool
	full       bool // nothing more is wanted
	result     *Result
	headers    []byte // room for patched headers, and for markers
	marker     int    // where in headers those begin that are the last part of the records; -1 if they are not
	at         cursor // after the last batch
	passed     int64  // bytes of cold runs, those before From too
}

// wants tells whether the run can have something for the answer.
func (a *answer) wants(run metastore.Run) bool {
	return !a.full && run.Base < a.upTo && (a.result.Bytes < a.MaxBytes || a.atLeastOne && a.result.Bytes == 0)
}

// addRuns walks over runs in order.
func (a *answer) addRuns(ctx context.Context, runs []plannedRun) error {
	for i := range runs {
		if !a.wants(runs[i].Run) {
			a.full = true
			return nil
		}
		if err := a.addRun(ctx, &runs[i]); err != nil {
			return err
		}
	}
	return nil
}

// addRun adds batches of a run until the answer is full.
func (a *answer) addRun(ctx context.Context, run *plannedRun) error {
	if run.Marker != nil {
		a.addMarker(&run.Run)
		return nil
	}
	if run.seek {
		if err := a.seek(ctx, run); err != nil {
			return err
		}
	}
	w := a.walk(run)
	defer func() {
		if run.cold {
			a.fetched.spent(run.Run, run.from, w.passed())
			a.passed += int64(w.passed() - run.from)
		}
	}()
	for !a.full {
		if a.result.Bytes > 0 && a.MaxBytes-a.result.Bytes < recordbatch.HeaderSize {
			a.full = true // not worth the load of what cannot fit
			break
		}
		h, ok, err := w.next(ctx)
		if err != nil && planted.Is(planted.SkipsUnreadable) {
			return nil
		}
		if err != nil || !ok {
			return err
		}
		switch {
		case metastore.Offset(h.LastOffset()) < a.From:
			w.skip(h)
		case metastore.Offset(h.LastOffset()) >= a.upTo, !a.fits(h.Size()), metastore.Offset(h.BaseOffset) < a.at.offset:
			a.full = true
		default:
			if err := a.addBatch(ctx, w, h); err != nil {
				return err
			}
			a.at = cursor{offset: w.offset, run: run.Base, segment: run.Segment, position: w.passed()}
		}
	}
	return nil
}

// seek finds the place in a run that the answer begins at.
func (a *answer) seek(ctx context.Context, run *plannedRun) error {
	if sparse(&run.Run) {
		in, err := a.fetched.index(ctx, a.TopicPartition, &run.Run)
		if err != nil {
			return err
		}
		skipped := run.begin(in.MarkFor(sought(a.From)))
		run.seek = false
		run.to = run.from + uint32(min(int64(run.Length-run.from), skipped+max(int64(a.MaxBytes-a.result.Bytes), leastLoad)))
		return nil
	}
	s := a.fetched.reader.newSearch(a.TopicPartition)
	defer s.close()
	w := s.windows(run.Run, run.cold)
	load := w.load
	w.load = func(ctx context.Context, from, n uint32) ([][]byte, error) {
		a.fetched.reader.expect(ctx, run, from)
		return load(ctx, from, n)
	}
	for {
		h, ok, err := w.next(ctx)
		if err != nil || !ok {
			return err
		}
		if metastore.Offset(h.LastOffset()) >= a.From {
			break
		}
		w.skip(h)
	}
	run.from, run.offset, run.seek = w.passed(), w.offset, false
	run.to = run.from + uint32(min(int64(run.Length-run.from), max(int64(a.MaxBytes), leastLoad)))
	return nil
}

// expect begins to load what a seek that has got to a place needs next.
func (r *Reader) expect(ctx context.Context, run *plannedRun, from uint32) {
	n := min(int64(run.Length-from), mostSkipped*int64(r.opts.WindowBytes))
	next := []objstore.Range{{Offset: int64(run.Position) + int64(from), Length: n}}
	if run.cold {
		r.ahead.Ahead(segment.Key(run.Segment), next, 0)
	} else {
		r.blocks.Prefetch(ctx, segment.Key(run.Segment), run.SegmentSize, next)
	}
}

func (a *answer) fits(size int) bool {
	return size <= a.MaxBytes-a.result.Bytes || a.atLeastOne && a.result.Bytes == 0
}

// addBatch adds the batch at hand: a patched copy of its header, and its body where it lies.
func (a *answer) addBatch(ctx context.Context, w *walk, h recordbatch.Header) error {
	first := len(a.result.Records)
	parts, err := w.take(ctx, h, append(a.result.Records, nil))
	if err != nil {
		return err
	}
	if cap(a.headers)-len(a.headers) < recordbatch.HeaderSize {
		a.headers = make([]byte, 0, 16*recordbatch.HeaderSize)
	}
	a.marker = -1
	n := len(a.headers)
	// The header may span parts: copy from each what belongs to it, and leave in place what does not.
	kept := first + 1
	for i := first + 1; i < len(parts); i++ {
		missing := recordbatch.HeaderSize - (len(a.headers) - n)
		mine := min(missing, len(parts[i]))
		a.headers = append(a.headers, parts[i][:mine]...)
		if mine < len(parts[i]) {
			parts[kept] = parts[i][mine:]
			kept++
		}
	}
	clear(parts[kept:])
	header := a.headers[n:len(a.headers):len(a.headers)]
	recordbatch.SetBaseOffset(header, h.BaseOffset, leaderEpoch)
	parts[first] = header
	a.result.Records = parts[:kept]
	a.result.Bytes += h.Size()
	return nil
}
