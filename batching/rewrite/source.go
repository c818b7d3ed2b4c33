package rewrite

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// source yields the batches of parts in order. It trusts neither the log nor the store: what does not add up is a
// CorruptError.
type source struct {
	parts []Part
	plan  *plan
	loads *loader

	part, run int              // at hand
	need      int              // of the run at hand, or of the next run that has an object
	begun     bool             // the run at hand
	offset    metastore.Offset // the least that the next batch of the run may have; that of tier 0 has it
	left      uint32           // bytes of the run at hand that were not passed
	chunk     int32            // that has the next of them; -1 at the end of the run
	data      []byte           // those of them that are in the chunk; nil if it was not taken yet
	at        int64            // where the next byte lies in the object
	whole     []byte           // room for a batch that goes over several chunks
	marker    []byte           // room for the end of a transaction
}

func newSource(parts []Part, p *plan, loads *loader) *source {
	return &source{parts: parts, plan: p, loads: loads, chunk: -1}
}

// next returns the next batch and which part has it. A *CorruptError says that the part can be read no further, and that
// its rest is skipped: go on. io.EOF: there is nothing left. All other errors end the source.
func (s *source) next(ctx context.Context) (part int, b Batch, err error) {
	for ; s.part < len(s.parts); s.part, s.run = s.part+1, 0 {
		for runs := s.parts[s.part].Runs; s.run < len(runs); s.run++ {
			part, run := s.part, &runs[s.run]
			if run.Marker != nil && planted.Is(planted.MarkerUnwritten) {
				continue
			}
			if run.Marker != nil {
				b = s.end(run)
				s.run++
				return part, b, nil
			}
			b, ok, err := s.batch(ctx, run)
			if err != nil {
				if errors.Is(err, ErrCorrupt) {
					s.skip()
				}
				return part, Batch{}, err
			}
			if ok {
				b.Run, b.Last = s.run, s.run == len(runs)-1 && s.left == 0
				return part, b, nil
			}
		}
	}
	return 0, Batch{}, io.EOF
}

// end makes the batch that ends a transaction.
func (s *source) end(run *metastore.Run) Batch {
	m := recordbatch.Marker{BaseOffset: int64(run.Base), ProducerID: int64(run.Marker.Producer), ProducerEpoch: int16(run.Marker.Epoch),
		Commit: run.Marker.Commit, Timestamp: run.MaxTimestamp}
	s.marker = m.Append(s.marker[:0])
	h, _ := recordbatch.PeekHeader(s.marker) // it was just made
	return Batch{Header: h, Bytes: s.marker, Run: s.run, Last: s.run == len(s.parts[s.part].Runs)-1}
}

// batch returns the next batch of the run at hand, false at its end.
func (s *source) batch(ctx context.Context, run *metastore.Run) (Batch, bool, error) {
	if !s.begun {
		if run.Length == 0 {
			return Batch{}, false, s.corrupt(run, "it has no bytes")
		}
		s.begun, s.offset, s.left = true, run.Base, run.Length
		s.chunk, s.data, s.at = s.plan.needs[s.need].chunk, nil, int64(run.Position)
	}
	s.pass() // what the batch before has used up
	end := run.End()
	if s.left == 0 {
		s.begun = false
		s.need++
		return Batch{}, false, nil
	}
	if s.left < recordbatch.HeaderSize {
		return Batch{}, false, s.corrupt(run, "%d bytes after the last batch", s.left)
	}
	b, err := s.bytes(ctx, run)
	if err != nil {
		return Batch{}, false, err
	}
	h, err := s.place(run, b, end)
	if err != nil {
		return Batch{}, false, err
	}
	if s.left -= uint32(len(b)); s.left == 0 && run.Segment.Tier() == 0 && s.offset != end {
		return Batch{}, false, s.corrupt(run, "batches end at offset %d, the run at %d", s.offset, end)
	}
	return Batch{Header: h, Bytes: b}, true, nil
}

// place checks a batch and gives it its offset.
func (s *source) place(run *metastore.Run, b []byte, end metastore.Offset) (recordbatch.Header, error) {
	h, err := recordbatch.ParseHeader(b)
	if err != nil {
		return h, s.corrupt(run, "%v", err)
	}
	if sum := recordbatch.Checksum(b); sum != h.CRC {
		return h, s.corrupt(run, "CRC of a batch is %08x, computed %08x", h.CRC, sum)
	}
	if run.Segment.Tier() == 0 {
		h.BaseOffset = int64(s.offset)
	}
	h.LeaderEpoch = 0
	if h.Records < 0 || int64(h.Records) > int64(h.LastOffsetDelta)+1 {
		return h, s.corrupt(run, "batch of %d records in %d offsets", h.Records, int64(h.LastOffsetDelta)+1)
	}
	if h.BaseOffset < int64(s.offset) || h.BaseOffset >= int64(end) || int64(h.LastOffsetDelta) >= int64(end)-h.BaseOffset {
		return h, s.corrupt(run, "batch of %d offsets at %d, where the run has %d to %d", int64(h.LastOffsetDelta)+1, h.BaseOffset, s.offset, end)
	}
	recordbatch.SetBaseOffset(b, h.BaseOffset, 0)
	s.offset = metastore.Offset(h.LastOffset()) + 1
	return h, nil
}

// bytes takes the bytes of the next batch: where they lie, if they lie together, else copied.
func (s *source) bytes(ctx context.Context, run *metastore.Run) ([]byte, error) {
	if err := s.load(ctx, run); err != nil {
		return nil, err
	}
	s.whole = s.whole[:0]
	if err := s.gather(ctx, run, recordbatch.HeaderSize); err != nil {
		return nil, err
	}
	header := s.whole
	if len(header) == 0 {
		header = s.data
	}
	h, err := recordbatch.PeekHeader(header)
	if err != nil {
		return nil, s.corrupt(run, "%v", err)
	}
	if int64(h.Size()) > int64(s.left) {
		return nil, s.corrupt(run, "batch of %d bytes, where the run has %d", h.Size(), s.left)
	}
	if err := s.gather(ctx, run, h.Size()); err != nil {
		return nil, err
	}
	if len(s.whole) > 0 {
		return s.whole, nil
	}
	b := s.data[:h.Size():h.Size()]
	s.data, s.at = s.data[h.Size():], s.at+int64(h.Size())
	return b, nil
}

// gather sees to it that n bytes lie together: at the start of data, or all of them in whole.
func (s *source) gather(ctx context.Context, run *metastore.Run, n int) error {
	if len(s.whole) == 0 && len(s.data) >= n {
		return nil
	}
	for len(s.whole) < n {
		if err := s.load(ctx, run); err != nil {
			return err
		}
		more := min(n-len(s.whole), len(s.data))
		s.whole = append(s.whole, s.data[:more]...)
		s.data, s.at = s.data[more:], s.at+int64(more)
		s.pass()
	}
	return nil
}

// load takes the chunk at hand, if it was not.
func (s *source) load(ctx context.Context, run *metastore.Run) error {
	if s.data != nil {
		return nil
	}
	buf, err := s.loads.take(ctx, s.chunk)
	if errors.Is(err, errShort) {
		return s.corrupt(run, "%w", err)
	}
	if err != nil {
		return err
	}
	c := &s.plan.chunks[s.chunk]
	s.data = buf[s.at-c.from : min(c.to, s.runEnd(run))-c.from]
	return nil
}

func (s *source) runEnd(run *metastore.Run) int64 { return int64(run.Position) + int64(run.Length) }

// pass gives the chunk at hand back if all that the run has in it was passed, and goes on to the next.
func (s *source) pass() {
	if s.data == nil || len(s.data) > 0 {
		return
	}
	run := &s.parts[s.part].Runs[s.run]
	spent := s.chunk
	s.chunk, s.data = -1, nil
	if s.at < s.runEnd(run) {
		s.chunk = s.plan.chunks[spent].next
	}
	s.loads.spent(spent)
}

// skip passes what is left of the part at hand, loaded or not.
func (s *source) skip() {
	s.pass()
	runs := s.parts[s.part].Runs
	for ; s.run < len(runs); s.run++ {
		run := &runs[s.run]
		if run.Marker != nil {
			continue
		}
		if !s.begun {
			s.chunk, s.at = s.plan.needs[s.need].chunk, int64(run.Position)
		}
		for end := s.runEnd(run); s.chunk >= 0 && s.at < end; {
			c := &s.plan.chunks[s.chunk]
			spent := s.chunk
			s.at, s.chunk = min(c.to, end), c.next
			s.loads.spent(spent)
		}
		s.begun, s.data, s.chunk = false, nil, -1
		s.need++
	}
}

func (s *source) corrupt(run *metastore.Run, format string, args ...any) error {
	return &CorruptError{Run: *run, Reason: fmt.Errorf(format, args...)}
}
