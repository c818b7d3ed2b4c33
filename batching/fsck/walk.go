package fsck

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// chunkBytes is how much of an object is read at a time.
const chunkBytes = 4 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// walk reads the runs of one object, batch after batch, and compares them with the index, and with the log if placed has
// what that says.
type walk struct {
	objects Objects
	key     string
	index   *segment.Index
	survey  *metastore.Survey // of placed
	placed  []metastore.PlacedRun
	// compacted tells which partitions may have gaps between batches, if there is a survey.
	compacted func(metastore.TopicPartition) bool
	visit     func(run int, position int64, h recordbatch.Header) // may be nil
	// givenUp, if set, is told what is wrong where the log has nothing any more. Without it that is a fault as all others are.
	givenUp func(detail string)

	look // what it cost

	at   int64  // where buf begins
	buf  []byte // what was read and not yet looked at
	read int64  // where the next read begins
}

// object looks at the header and at all runs.
func (w *walk) object(ctx context.Context) error {
	head, err := w.need(ctx, segment.HeaderSize)
	if err != nil {
		return err
	}
	id, created, err := segment.ParseHeader(head)
	if err != nil {
		return faultf(CorruptObject, "%s", err)
	}
	if id != w.index.ID || !created.Equal(w.index.Created) {
		return faultf(CorruptObject, "its header is that of segment %s of %s, its index is another's", metastore.SegmentID(id), created)
	}
	w.take(segment.HeaderSize)
	for i := range w.index.Runs {
		err := w.run(ctx, i)
		if f := (*fault)(nil); errors.As(err, &f) && w.givenUp != nil && len(placedIn(&w.index.Runs[i], w.placed)) == 0 {
			w.givenUp(f.detail)
			w.skipTo(int64(w.index.Runs[i].Position) + int64(w.index.Runs[i].Length))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// skipTo goes on at a byte.
func (w *walk) skipTo(at int64) {
	if at <= w.read {
		w.take(at - w.at)
		return
	}
	w.at, w.read, w.buf = at, at, nil
}

// passed tells whether the log start is behind a batch that comes next in a run, so that nobody can read it.
func (w *walk) passed(t *tally, h recordbatch.Header) bool {
	if w.givenUp == nil || len(t.placed) == 0 || h.LastOffsetDelta < 0 {
		return false
	}
	r := &t.placed[0]
	end := h.LastOffset() + 1
	if w.index.Tier == 0 {
		end = int64(r.Base) + int64(h.LastOffsetDelta) + 1
		if w.at > int64(r.Position) {
			end += t.offset
		}
	}
	marks, _ := w.survey.Watermarks(r.TopicPartition)
	return end <= int64(marks.LogStart)
}

// need makes sure that the next n bytes are in memory, and returns them.
func (w *walk) need(ctx context.Context, n int64) ([]byte, error) {
	for int64(len(w.buf)) < n {
		want := min(max(chunkBytes, n-int64(len(w.buf))), w.index.Size-w.read)
		if want <= 0 {
			return nil, faultf(CorruptObject, "a batch reaches past the end of the object")
		}
		more, err := w.objects.Get(ctx, w.key, w.read, want)
		switch {
		case errors.Is(err, objstore.ErrRange) || err == nil && len(more) == 0:
			return nil, faultf(SizeMismatch, "it ends before byte %d of %d", w.read, w.index.Size)
		case err != nil:
			return nil, err
		}
		w.read += int64(len(more))
		w.bytes += int64(len(more))
		if len(w.buf) > 0 {
			more = append(w.buf, more...)
		}
		w.buf = more
	}
	return w.buf[:n], nil
}

// take goes past n bytes that need returned.
func (w *walk) take(n int64) {
	w.buf = w.buf[n:]
	w.at += n
}

// run looks at all batches of a run, and compares them with the index and the log.
func (w *walk) run(ctx context.Context, i int) error {
	in := &w.index.Runs[i]
	t := tally{in: in, placed: placedIn(in, w.placed), latest: math.MinInt64, next: in.Base, marks: in.Marks}
	add := w.batch
	if w.index.Tier == 1 {
		add = w.rewritten
	}
	for left := int64(in.Length); left > 0; {
		if left < recordbatch.HeaderSize {
			return faultf(CorruptObject, "%d bytes at the end of a run are no batch", left)
		}
		head, err := w.need(ctx, recordbatch.HeaderSize)
		if err != nil {
			return err
		}
		h, err := recordbatch.PeekHeader(head)
		if err != nil {
			return faultf(CorruptObject, "the batch at byte %d: %s", w.at, err)
		}
		size := int64(h.Size())
		if size > left {
			return faultf(CorruptObject, "the batch at byte %d has %d bytes, its run ends after %d", w.at, size, left)
		}
		b, err := w.need(ctx, size)
		if err != nil {
			return err
		}
		if sum := recordbatch.Checksum(b); sum != h.CRC {
			detail := fmt.Sprintf("the batch at byte %d has CRC-32C %08x, its bytes give %08x", w.at, h.CRC, sum)
			if !w.passed(&t, h) {
				return &fault{CorruptObject, detail}
			}
			w.givenUp(detail)
			t.spoiled = true
		}
		if w.visit != nil {
			w.visit(i, w.at, h)
		}
		if err := add(&t, h, b); err != nil {
			return err
		}
		w.take(size)
		left -= size
	}
	return w.compare(&t)
}

// tally is what the batches of a run add up to.
type tally struct {
	in     *segment.Run
	placed []metastore.PlacedRun // those whose end was not reached yet
	offset int64                 // records of the first of them that were seen
	timeOf int64                 // and the latest timestamp among these

	next  int64          // in tier 1, behind the last batch that was seen
	marks []segment.Mark // in tier 1, those that were not come to yet

	spoiled bool // what was given up of it is damaged
	crc     uint32
	batches uint32
	records uint64
	latest  int64
	chains  segment.Chains
}

// add counts a batch.
func (w *walk) add(t *tally, h recordbatch.Header, b []byte, records int64) {
	t.crc = crc32.Update(t.crc, castagnoli, b)
	t.batches++
	t.records += uint64(records)
	t.latest = max(t.latest, h.MaxTimestamp)
	w.batches++
	w.records += records
}

// rewritten adds one batch of tier 1, whose checksum is right: it has the offset that it has in its partition.
func (w *walk) rewritten(t *tally, h recordbatch.Header, b []byte) error {
	from, end := w.at-int64(t.in.Position), t.in.Base+int64(t.in.Offsets)
	switch {
	case t.batches == 0 && h.BaseOffset != t.in.Base || h.BaseOffset < t.next || h.LastOffset() >= end:
		return faultf(CorruptObject, "the batch at byte %d has offsets %d to %d, after offset %d of a run of %d to %d", w.at, h.BaseOffset, h.LastOffset(), t.next, t.in.Base, end-1)
	case h.BaseOffset > t.next && len(t.placed) > 0 && !w.compacted(t.placed[0].TopicPartition):
		return faultf(CorruptObject, "the batch at byte %d begins at offset %d, the one before it ends at %d, and the topic is not compacted", w.at, h.BaseOffset, t.next)
	case h.LeaderEpoch != 0:
		return faultf(CorruptObject, "the batch at byte %d has leader epoch %d", w.at, h.LeaderEpoch)
	case h.Records < 0 || int64(h.Records) > int64(h.LastOffsetDelta)+1:
		return faultf(CorruptObject, "the batch at byte %d has %d records and takes %d offsets", w.at, h.Records, int64(h.LastOffsetDelta)+1)
	}
	if len(t.marks) > 0 && int64(t.marks[0].Position) <= from {
		if m := t.marks[0]; int64(m.Position) != from || m.Offset != h.BaseOffset || m.MaxTimestamp != t.latest {
			return faultf(CorruptObject, "its index has a mark at byte %d of a run, of offset %d and timestamps up to %d; a batch of offset %d begins at byte %d, after timestamps up to %d",
				m.Position, m.Offset, m.MaxTimestamp, h.BaseOffset, from, t.latest)
		}
		t.marks = t.marks[1:]
	}
	if len(t.placed) > 0 && !h.Control() {
		if err := w.remembered(&t.placed[0], h, metastore.Offset(h.BaseOffset)); err != nil {
			return err
		}
	}
	w.add(t, h, b, int64(h.Records))
	t.next = h.LastOffset() + 1
	return nil
}

// batch adds one batch of tier 0, whose checksum is right.
func (w *walk) batch(t *tally, h recordbatch.Header, b []byte) error {
	records := int64(h.LastOffsetDelta) + 1
	switch {
	case h.Control():
		return faultf(CorruptObject, "the batch at byte %d is the end of a transaction, which lies in no object", w.at)
	case int64(h.Records) != records:
		return faultf(CorruptObject, "the batch at byte %d has %d records and takes %d offsets", w.at, h.Records, records)
	}
	w.add(t, h, b, records)
	t.chains.Add(segment.Batch{Records: int32(records), ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence})
	return w.place(t, h, w.at, w.at+int64(len(b)), records)
}

// place finds the run of the log that a batch belongs to; none if it was refused.
func (w *walk) place(t *tally, h recordbatch.Header, from, to, records int64) error {
	if len(t.placed) == 0 || to <= int64(t.placed[0].Position) {
		return nil
	}
	r := &t.placed[0]
	end := int64(r.Position) + int64(r.Length)
	if from < int64(r.Position) || to > end {
		return faultf(IndexMismatch, "%s lies at bytes %d to %d, and a batch at %d to %d", textOf(r), r.Position, end, from, to)
	}
	if from == int64(r.Position) {
		t.offset, t.timeOf = 0, math.MinInt64
	}
	if err := w.remembered(r, h, r.Base+metastore.Offset(t.offset)); err != nil {
		return err
	}
	t.offset += records
	t.timeOf = max(t.timeOf, h.MaxTimestamp)
	if to < end {
		return nil
	}
	if t.offset != int64(r.Records) || t.timeOf != r.MaxTimestamp {
		return faultf(IndexMismatch, "%s has %d records and timestamps up to %d, its batches have %d and up to %d", textOf(r), r.Records, r.MaxTimestamp, t.offset, t.timeOf)
	}
	t.placed = t.placed[1:]
	return nil
}

// remembered compares a batch with what is remembered of its producer at its offset.
func (w *walk) remembered(r *metastore.PlacedRun, h recordbatch.Header, offset metastore.Offset) error {
	for b := range w.survey.BatchesOf(r.TopicPartition, metastore.ProducerID(h.ProducerID)) {
		last := int32((int64(h.BaseSequence) + int64(h.LastOffsetDelta)) & math.MaxInt32)
		if b.Offset == offset && (b.First != h.BaseSequence || b.Last != last || b.Epoch != metastore.ProducerEpoch(h.ProducerEpoch)) {
			return faultf(IndexMismatch, "the batch at offset %d of %s has epoch %d and sequences %d to %d of producer %d, remembered are epoch %d and %d to %d",
				offset, r.TopicPartition, h.ProducerEpoch, h.BaseSequence, last, h.ProducerID, b.Epoch, b.First, b.Last)
		}
	}
	return nil
}

// compare compares what all batches of a run gave with the index.
func (w *walk) compare(t *tally) error {
	in := t.in
	switch {
	case t.crc != in.CRC && !t.spoiled:
		return faultf(CorruptObject, "the run at byte %d has CRC-32C %08x in the index, its bytes give %08x", in.Position, in.CRC, t.crc)
	case t.batches != in.Batches || t.records != uint64(in.Records):
		return faultf(CorruptObject, "the run at byte %d has %d batches and %d records in the index, and %d and %d in fact", in.Position, in.Batches, in.Records, t.batches, t.records)
	case t.latest != in.MaxTimestamp:
		return faultf(CorruptObject, "the run at byte %d has timestamps up to %d in the index, and up to %d in fact", in.Position, in.MaxTimestamp, t.latest)
	case w.index.Tier == 1:
		if end := in.Base + int64(in.Offsets); t.next != end || len(t.marks) > 0 {
			return faultf(CorruptObject, "the run at byte %d ends at offset %d, in the index at %d, where %d marks are left", in.Position, t.next, end, len(t.marks))
		}
		return nil
	case !slices.Equal(t.chains.Found(), in.Chains):
		return faultf(CorruptObject, "the run at byte %d has other chains of producers than its index says", in.Position)
	case len(t.placed) > 0:
		return faultf(IndexMismatch, "%s does not end where a batch ends", textOf(&t.placed[0]))
	}
	return nil
}
