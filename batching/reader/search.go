package reader

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// OffsetForTimestamp finds the first record, from the log start on, with a timestamp of ts or later. It looks into
// compressed batches. Not found is no error. Whether the offset lies below the last stable offset is the caller's
// question.
//
// Errors: metastore.ErrUnknownPartition, ErrCorrupt, ErrUnreadable, ErrSearchLimit, those of Blocks.
func (r *Reader) OffsetForTimestamp(ctx context.Context, tp metastore.TopicPartition, ts int64) (
	offset metastore.Offset, timestamp int64, found bool, err error) {
	s := r.newSearch(tp)
	defer s.close()
	if s.start, err = r.logStart(tp); err != nil {
		return metastore.NoOffset, -1, false, err
	}
	run, ok := r.log.RunAt(tp, ts)
	for ok {
		hit, err := s.firstAt(ctx, run, ts)
		if err != nil {
			s.forget(&run, err)
			return metastore.NoOffset, -1, false, err
		}
		if hit.found {
			return hit.offset, hit.timestamp, true, nil
		}
		// The run promised one. It was below the log start, or the header of a compressed batch promised too much.
		next := func(x metastore.Run) bool { return x.MaxTimestamp >= ts }
		if run, ok, err = s.findRun(ctx, run, next); err != nil {
			return metastore.NoOffset, -1, false, err
		}
	}
	return metastore.NoOffset, -1, false, nil
}

// MaxTimestamp finds the first of the records with the largest timestamp of the partition. None if it is empty, or no
// record has a timestamp. Errors are those of OffsetForTimestamp.
func (r *Reader) MaxTimestamp(ctx context.Context, tp metastore.TopicPartition) (
	offset metastore.Offset, timestamp int64, found bool, err error) {
	s := r.newSearch(tp)
	defer s.close()
	if s.start, err = r.logStart(tp); err != nil {
		return metastore.NoOffset, -1, false, err
	}
	best := hit{offset: metastore.NoOffset, timestamp: -1}
	run, ok := r.log.RunWithMaxTimestamp(tp)
	for ok && run.MaxTimestamp > best.timestamp {
		if err := s.latest(ctx, run, &best); err != nil {
			s.forget(&run, err)
			return metastore.NoOffset, -1, false, err
		}
		if run.Base >= s.start && best.timestamp == run.MaxTimestamp {
			break
		}
		// What the run promised was below the log start, or not true: others may have more than was found.
		from := run
		ok = false
		better := func(x metastore.Run) bool {
			if x.MaxTimestamp > best.timestamp && (!ok || x.MaxTimestamp > run.MaxTimestamp) {
				run, ok = x, true
			}
			return false
		}
		if _, _, err := s.findRun(ctx, from, better); err != nil {
			return metastore.NoOffset, -1, false, err
		}
	}
	return best.offset, best.timestamp, best.found, nil
}

// logStart is where a partition begins.
func (r *Reader) logStart(tp metastore.TopicPartition) (metastore.Offset, error) {
	marks, _, err := r.log.Runs(tp, 0, 1)
	if errors.Is(err, metastore.ErrOffsetOutOfRange) {
		err = nil // the log start is greater than 0
	}
	return marks.LogStart, err
}

// search looks for records by their timestamps, from offset start on.
type search struct {
	reader *Reader
	tp     metastore.TopicPartition
	start  metastore.Offset
	left   int // compressed bytes that may still be looked into
	room   int // and decompressed ones

	// loads are the latest ones. A walk refers to no more of them: what is left of one, a header that begins in it, and
	// the batch of that header.
	loads [3]*Fetched
}

// findRun returns the first run after `after` that pleases. If the log start has moved past that, it goes on from there.
func (s *search) findRun(ctx context.Context, after metastore.Run, pleases func(metastore.Run) bool) (metastore.Run, bool, error) {
	const page = 64 << 20 // bytes of runs looked at between two looks at ctx
	for from := after.End(); ; {
		marks, runs, err := s.reader.log.Runs(s.tp, from, page)
		s.start = max(s.start, marks.LogStart)
		if errors.Is(err, metastore.ErrOffsetOutOfRange) && from < marks.LogStart {
			from = marks.LogStart
			continue
		}
		if err != nil || len(runs) == 0 {
			return metastore.Run{}, false, err
		}
		for _, run := range runs {
			if pleases(run) {
				return run, true, nil
			}
		}
		last := runs[len(runs)-1]
		from = last.End()
		if err := ctx.Err(); err != nil {
			return metastore.Run{}, false, err
		}
	}
}

// leastInflated is what a batch counts for in SearchInflatedBytes, however little it holds.
const leastInflated = 64 << 10

func (r *Reader) newSearch(tp metastore.TopicPartition) search {
	return search{reader: r, tp: tp, left: r.opts.SearchBytes, room: r.opts.SearchInflatedBytes}
}

type hit struct {
	offset    metastore.Offset
	timestamp int64
	found     bool
}

// firstAt finds the first record of a run with a timestamp of ts or later.
func (s *search) firstAt(ctx context.Context, run metastore.Run, ts int64) (hit, error) {
	var found hit
	w, err := s.begin(ctx, run, ts)
	if err != nil {
		return hit{}, err
	}
	for !found.found {
		h, ok, err := w.next(ctx)
		if err != nil || !ok {
			return hit{}, err
		}
		if metastore.Offset(h.LastOffset()) < s.start || h.MaxTimestamp < ts {
			w.skip(h)
			continue
		}
		err = s.stamps(ctx, w, h, func(stamp recordbatch.Stamp) bool {
			if stamp.Timestamp >= ts && metastore.Offset(stamp.Offset) >= s.start {
				found = hit{metastore.Offset(stamp.Offset), stamp.Timestamp, true}
			}
			return !found.found
		})
		if err != nil {
			return hit{}, err
		}
	}
	return found, nil
}

// latest replaces best by the first record of the run with the largest timestamp, if that is larger.
func (s *search) latest(ctx context.Context, run metastore.Run, best *hit) error {
	// What the run promises is in the first batch that promises as much, or not at all.
	w, err := s.begin(ctx, run, run.MaxTimestamp)
	if err != nil {
		return err
	}
	for before := w.passed() > 0; before; {
		h, ok, err := w.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if metastore.Offset(h.LastOffset()) < s.start || h.MaxTimestamp < run.MaxTimestamp {
			w.skip(h)
			continue
		}
		if err := s.latestOf(ctx, w, h, best); err != nil || best.timestamp == run.MaxTimestamp {
			return err
		}
		break
	}
	batches, err := s.batches(ctx, run, best.timestamp)
	if err != nil {
		return err
	}
	slices.SortStableFunc(batches, func(a, b batchAt) int { return cmp.Compare(b.timestamp, a.timestamp) })
	for _, b := range batches {
		if b.timestamp <= best.timestamp {
			return nil
		}
		w := s.walk(run)
		w.jump(b.at, b.offset)
		h, _, err := w.next(ctx)
		if err != nil {
			return err
		}
		if err := s.latestOf(ctx, w, h, best); err != nil {
			return err
		}
	}
	return nil
}

// latestOf is latest of the batch at hand.
func (s *search) latestOf(ctx context.Context, w *walk, h recordbatch.Header, best *hit) error {
	return s.stamps(ctx, w, h, func(stamp recordbatch.Stamp) bool {
		if stamp.Timestamp > best.timestamp && metastore.Offset(stamp.Offset) >= s.start {
			*best = hit{metastore.Offset(stamp.Offset), stamp.Timestamp, true}
		}
		return true
	})
}

// batchAt is a batch of a run. There may be very many.
type batchAt struct {
	timestamp int64 // the largest
	offset    metastore.Offset
	at        uint32 // bytes from the start of the run
}

// batches lists those of a run that reach the start of the search and promise more than a timestamp.
func (s *search) batches(ctx context.Context, run metastore.Run, timestamp int64) ([]batchAt, error) {
	var batches []batchAt
	w, err := s.begin(ctx, run, math.MinInt64)
	if err != nil {
		return nil, err
	}
	for {
		h, ok, err := w.next(ctx)
		if err != nil || !ok {
			return batches, err
		}
		if metastore.Offset(h.LastOffset()) >= s.start && h.MaxTimestamp > timestamp {
			batches = append(batches, batchAt{h.MaxTimestamp, metastore.Offset(h.BaseOffset), w.passed()})
		}
		w.skip(h)
	}
}

// begin walks over a run from the last place that is known before which all is below the start of the search or earlier than
// ts.
func (s *search) begin(ctx context.Context, run metastore.Run, ts int64) (*walk, error) {
	w := s.walk(run)
	if !w.sparse || int64(run.Length) <= int64(s.reader.opts.UnindexedBytes) {
		return w, nil
	}
	f := s.load()
	in, err := f.index(ctx, s.tp, &run)
	if err != nil {
		return nil, err
	}
	mark := in.MarkForTime(ts)
	if from := in.MarkFor(int64(s.start)); from.Position > mark.Position {
		mark = from
	}
	w.jump(mark.Position, metastore.Offset(mark.Offset))
	w.first = 2 * segment.MarkSpacing
	return w, nil
}

// forget lets a run be loaded again that was not what it should be.
func (s *search) forget(run *metastore.Run, err error) {
	if errors.Is(err, ErrCorrupt) {
		s.reader.forget(run)
	}
}

// walk goes over a run in small windows, since most of it will be skipped, and keeps no more than the latest.
func (s *search) walk(run metastore.Run) *walk {
	w := s.windows(run, s.reader.old(run))
	if run.Marker != nil {
		w.add([][]byte{markerOf(&run).Append(nil)})
	} else if parts, ok := s.reader.inMemory(run); ok {
		w.add(parts)
	}
	return w
}

// windows is walk without a look at what is in memory.
func (s *search) windows(run metastore.Run, cold bool) *walk {
	w := &walk{run: run, sparse: sparse(&run), window: uint32(s.reader.opts.WindowBytes), offset: run.Base}
	w.load = func(ctx context.Context, from, n uint32) ([][]byte, error) {
		f := s.load()
		parts, err := f.load(ctx, &run, from, n, cold)
		if cold {
			f.spent(run, from, from+n)
		}
		return parts, err
	}
	return w
}

// load begins one, and releases the oldest for it.
func (s *search) load() *Fetched {
	if oldest := s.loads[0]; oldest != nil {
		oldest.Release()
	}
	f := &Fetched{reader: s.reader, hold: s.reader.ahead.Hold()}
	copy(s.loads[:], s.loads[1:])
	s.loads[len(s.loads)-1] = f
	return f
}

func (s *search) close() {
	for _, f := range s.loads {
		if f != nil {
			f.Release()
		}
	}
}

// stamps passes the batch at hand and shows its records until show returns false. Of a batch with LogAppendTime it shows
// the first one that counts: all have the same timestamp, and the header tells it. It does not tell which of them log
// compaction has left.
func (s *search) stamps(ctx context.Context, w *walk, h recordbatch.Header, show func(recordbatch.Stamp) bool) error {
	if h.Records == 0 {
		w.skip(h)
		return nil
	}
	if h.LogAppendTime() && int64(h.Records) == int64(h.LastOffsetDelta)+1 {
		w.skip(h)
		show(recordbatch.Stamp{Offset: max(h.BaseOffset, int64(s.start)), Timestamp: h.MaxTimestamp})
		return nil
	}
	if s.left -= h.Size(); s.left < 0 || s.room <= 0 {
		return fmt.Errorf("segment %s: %w", w.run.Segment, ErrSearchLimit)
	}
	select {
	case s.reader.searching <- struct{}{}:
		defer func() { <-s.reader.searching }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil { // a free place and the end of ctx may come together
		return err
	}
	at := w.passed()
	parts, err := w.take(ctx, h, nil)
	if err != nil {
		return err
	}
	b := bytes.Join(parts, nil) // a copy: the base offset is written into it
	recordbatch.SetBaseOffset(b, h.BaseOffset, leaderEpoch)
	limit, inflated := min(s.room, s.reader.opts.InflatedBytes), 0
	defer func() { s.room -= max(inflated, leastInflated) }()
	for stamp, err := range recordbatch.Stamps(b, limit) {
		switch {
		case errors.Is(err, recordbatch.ErrTooLarge) && limit < s.reader.opts.InflatedBytes:
			return fmt.Errorf("segment %s: %w", w.run.Segment, ErrSearchLimit)
		case err != nil:
			return fmt.Errorf("%w: offset %d, segment %s, byte %d: %w", ErrUnreadable, h.BaseOffset, w.run.Segment, int64(w.run.Position)+int64(at), err)
		}
		inflated += stamp.Bytes
		if !show(stamp) {
			return nil
		}
	}
	return nil
}
