package rebuild

import (
	"context"
	"errors"
	"hash/crc32"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// chunkBytes is how much of a run is read at a time.
const chunkBytes = 4 << 20

// batch is one batch of a run, as it is read.
type batch struct {
	recordbatch.Header
	bytes    []byte           // all of it
	offset   metastore.Offset // of its first record in the partition
	position uint32           // bytes from the start of the run
}

func (b *batch) end() metastore.Offset { return b.offset + metastore.Offset(b.LastOffsetDelta) + 1 }

// eachBatch reads a run and calls visit for each batch, in order, whose checksum is right; what it is given is good during
// the call. It keeps a chunk, or the largest batch if that is more. A *damage says what is wrong with the run. What is wrong
// with a run whose footer has a checksum of it all may be found when all batches were shown.
func eachBatch(ctx context.Context, objects Objects, of *source, visit func(*batch) error) error {
	run := &of.Run
	r := runReader{objects: objects, run: run}
	next, sum := run.Base, uint32(0)
	for position := uint32(0); position < run.Length; {
		head, err := r.need(ctx, recordbatch.HeaderSize)
		if err != nil {
			return err
		}
		h, err := recordbatch.PeekHeader(head)
		if err != nil {
			return damaged("at byte %d of the run: %v", position, err)
		}
		if int64(h.Size()) > int64(run.Length-position) {
			return damaged("at byte %d of the run: a batch of %d bytes, where %d are left", position, h.Size(), run.Length-position)
		}
		whole, err := r.need(ctx, h.Size())
		if err != nil {
			return err
		}
		if is := recordbatch.Checksum(whole); is != h.CRC {
			return damaged("at byte %d of the run: a batch with CRC-32C %08x, whose bytes give %08x", position, h.CRC, is)
		}
		sum = crc32.Update(sum, castagnoli, whole)
		b := batch{h, whole, next, position}
		if segment.Tier(run.Segment) != 0 {
			b.offset = metastore.Offset(h.BaseOffset)
		}
		if b.offset < next || b.end() > run.End() {
			return damaged("at byte %d of the run: a batch of offsets %d to %d, where %d to %d are left", position, b.offset, b.end()-1, next, run.End()-1)
		}
		if err := visit(&b); err != nil {
			return err
		}
		next = b.end()
		position += uint32(h.Size())
		r.buf = r.buf[h.Size():]
	}
	switch {
	case segment.Tier(run.Segment) == 0 && next != run.End():
		return damaged("its batches end at offset %d, the run at %d", next, run.End())
	case !of.indexed && sum != of.crc:
		return damaged("the run has CRC-32C %08x in the footer, its bytes give %08x", of.crc, sum)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// runReader reads the bytes of a run in order.
type runReader struct {
	objects Objects
	run     *metastore.Run
	buf     []byte // read and not yet looked at
	read    int64  // bytes of the run
}

// need returns the next n bytes.
func (r *runReader) need(ctx context.Context, n int) ([]byte, error) {
	for len(r.buf) < n {
		want := min(max(chunkBytes, int64(n-len(r.buf))), int64(r.run.Length)-r.read)
		if want <= 0 {
			return nil, damaged("a batch reaches past the end of the run")
		}
		more, err := r.objects.Get(ctx, segment.Key(r.run.Segment), int64(r.run.Position)+r.read, want)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			return nil, damaged("it is not there any more")
		case errors.Is(err, objstore.ErrRange) || err == nil && len(more) == 0:
			return nil, damaged("it ends before byte %d", int64(r.run.Position)+r.read)
		case err != nil:
			return nil, err
		}
		r.read += int64(len(more))
		if len(r.buf) > 0 {
			more = append(append(make([]byte, 0, len(r.buf)+len(more)), r.buf...), more...)
		}
		r.buf = more
	}
	return r.buf[:n], nil
}
