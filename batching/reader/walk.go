package reader

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
)

// walk goes over the batches of one run, loading its bytes as it needs them. It trusts neither: whatever does not add
// up with the run is ErrCorrupt. In tier 0 the offsets follow from the run's base offset, and batches take all of those of
// the run; in tier 1 they are in the headers, grow, and stay inside the run.
type walk struct {
	run    metastore.Run
	sparse bool                                                        // its batches carry their offsets, which may leave gaps
	exact  bool                                                        // of a sparse run: a batch begins at offset, not after it
	load   func(ctx context.Context, from, n uint32) ([][]byte, error) // bytes of the run
	first  uint32                                                      // the least that the first load asks for
	window uint32                                                      // and those after it

	parts  [][]byte         // loaded and not passed yet
	have   uint32           // bytes of parts
	loaded uint32           // bytes of the run, from its start
	offset metastore.Offset // of the batch at hand, in a sparse run the least that it can have
}

// attributesAt is where in a batch the part begins that the CRC covers.
const attributesAt = 21

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// walk starts at the place where a planned run is to be read from.
func (a *answer) walk(x *plannedRun) *walk {
	f := a.fetched
	w := &walk{run: x.Run, sparse: sparse(&x.Run), exact: x.exact, first: x.to - x.from, window: uint32(f.reader.opts.WindowBytes), loaded: x.from, offset: x.offset}
	if x.parts != nil {
		w.loaded, w.offset = 0, x.Base
		w.add(x.parts)
	}
	w.load = func(ctx context.Context, from, n uint32) ([][]byte, error) {
		return f.load(ctx, &x.Run, from, n, x.cold)
	}
	return w
}

func (w *walk) add(parts [][]byte) {
	for _, p := range parts {
		if len(p) > 0 {
			w.parts = append(w.parts, p)
			w.have += uint32(len(p))
			w.loaded += uint32(len(p))
		}
	}
}

// passed is how far the walk is, in bytes from the start of the run.
func (w *walk) passed() uint32 { return w.loaded - w.have }

// end is the offset after the run.
func (w *walk) end() metastore.Offset { return w.run.End() }

func (w *walk) corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: segment %s, byte %d: %s", ErrCorrupt, w.run.Segment, int64(w.run.Position)+int64(w.passed()),
		fmt.Sprintf(format, args...))
}

// need loads until n bytes are there.
func (w *walk) need(ctx context.Context, n uint32) error {
	if n > w.run.Length-w.passed() {
		return w.corrupt("run ends after %d bytes of %d", w.run.Length-w.passed(), n)
	}
	for w.have < n {
		want := min(max(n-w.have, w.window), w.run.Length-w.loaded)
		if w.first > 0 {
			want, w.first = min(max(n-w.have, w.first), w.run.Length-w.loaded), 0
		}
		parts, err := w.load(ctx, w.loaded, want)
		if err != nil {
			return err
		}
		before := w.loaded
		w.add(parts)
		if w.loaded == before || w.loaded-before > want {
			return w.corrupt("got %d bytes of %d", w.loaded-before, want)
		}
	}
	return nil
}

// next decodes the header of the batch at hand; false at the end of the run. The batch is then either skipped or taken.
func (w *walk) next(ctx context.Context) (recordbatch.Header, bool, error) {
	if w.passed() == w.run.Length {
		if w.offset != w.end() && !w.sparse {
			return recordbatch.Header{}, false, w.corrupt("batches end at offset %d, run at %d", w.offset, w.end())
		}
		return recordbatch.Header{}, false, nil
	}
	if err := w.need(ctx, recordbatch.HeaderSize); err != nil {
		return recordbatch.Header{}, false, err
	}
	var buf [recordbatch.HeaderSize]byte
	h, err := recordbatch.PeekHeader(w.peek(buf[:]))
	if err != nil {
		return h, false, w.corrupt("%v", err)
	}
	if !w.sparse {
		h.BaseOffset = int64(w.offset)
	} else if base := metastore.Offset(h.BaseOffset); base < w.offset || base >= w.end() || w.exact && base != w.offset {
		return h, false, w.corrupt("batch at offset %d, after %d in a run to %d", base, w.offset, w.end())
	}
	left, offsets := int64(w.run.Length-w.passed())-int64(h.Size()), int64(w.end())-1-h.LastOffset()
	if left < 0 || offsets < 0 || left > 0 && (offsets == 0 || left < recordbatch.HeaderSize) || left == 0 && offsets > 0 && !w.sparse {
		return h, false, w.corrupt("batch of %d bytes to offset %d leaves %d bytes and %d offsets of the run",
			h.Size(), h.LastOffset(), left, offsets)
	}
	return h, true, nil
}

// peek returns the first len(buf) bytes: a part's own if they lie together, else copied into buf.
func (w *walk) peek(buf []byte) []byte {
	if len(w.parts[0]) >= len(buf) {
		return w.parts[0][:len(buf)]
	}
	n := 0
	for _, p := range w.parts {
		if n += copy(buf[n:], p); n == len(buf) {
			break
		}
	}
	return buf
}

// skip passes the batch. What is not loaded yet of it never is.
func (w *walk) skip(h recordbatch.Header) {
	if size := uint32(h.Size()); size < w.have {
		w.drop(size)
	} else {
		w.loaded, w.have, w.parts = w.passed()+size, 0, nil
	}
	w.offset, w.exact = metastore.Offset(h.LastOffset())+1, false
}

// jump goes on at a batch further on, whose place and offset an earlier walk told, or a mark of the index.
func (w *walk) jump(at uint32, offset metastore.Offset) {
	if at < w.loaded {
		w.drop(at - w.passed())
	} else {
		w.loaded, w.have, w.parts = at, 0, nil
	}
	w.offset, w.exact = offset, at > 0
}

// take passes the batch and appends its parts to dst. It checks the CRC: that costs a twentieth of a nanosecond per
// byte, and finds bytes that are another's although their lengths fit.
func (w *walk) take(ctx context.Context, h recordbatch.Header, dst [][]byte) ([][]byte, error) {
	if err := w.need(ctx, uint32(h.Size())); err != nil {
		return dst, err
	}
	first := len(dst)
	for left := h.Size(); left > 0; {
		p := w.parts[0][:min(left, len(w.parts[0]))]
		dst = append(dst, p)
		left -= len(p)
		w.drop(uint32(len(p)))
	}
	sum, covered := uint32(0), -attributesAt
	for _, p := range dst[first:] {
		sum = crc32.Update(sum, castagnoli, p[min(max(-covered, 0), len(p)):])
		covered += len(p)
	}
	if sum != h.CRC {
		return dst[:first], w.corrupt("CRC of the batch before is %08x, computed %08x", h.CRC, sum)
	}
	w.offset, w.exact = metastore.Offset(h.LastOffset())+1, false
	return dst, nil
}

// drop forgets the first n bytes, which are there.
func (w *walk) drop(n uint32) {
	for n > 0 && len(w.parts) > 0 {
		p := w.parts[0]
		if uint32(len(p)) > n {
			w.parts[0] = p[n:]
			w.have -= n
			return
		}
		n -= uint32(len(p))
		w.have -= uint32(len(p))
		w.parts = w.parts[1:]
	}
}
