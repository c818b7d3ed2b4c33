package segment

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
)

// BatchInfo is what the header of a batch says, with the offset that the batch has in its partition.
type BatchInfo struct {
	BaseOffset   int64
	Offsets      int32 // that the batch takes: its last offset delta and 1, also if records were taken out of it
	MaxTimestamp int64 // ms since the epoch
	Records      int32 // 0 or more
}

// InfoOf returns what Builder.Add wants to know of a batch whose header was read.
func InfoOf(h recordbatch.Header, baseOffset int64) BatchInfo {
	return BatchInfo{BaseOffset: baseOffset, Offsets: h.LastOffsetDelta + 1, MaxTimestamp: h.MaxTimestamp, Records: h.Records}
}

const (
	// MarkSpacing is how far marks lie apart, at least: they stand before the first batch behind so many bytes.
	MarkSpacing = 64 << 10
	// AddOverhead is the most that Builder.Size grows by with a batch, beyond the batch's own bytes.
	AddOverhead = rewrittenRunSize + markSize
)

// Builder lays out the object of a segment of tier 1 in memory: Begin and Add for each partition in order, then Finish.
//
// It refers to the bytes that it is given, which must not change until the object is no longer needed, and copies only
// the header of each batch, to write the base offset and leader epoch 0 into it; what it was given is left alone. So it
// holds the size of the object, 61 bytes and a slice or two per batch, and the index. It is not for concurrent use.
type Builder struct {
	index  Index
	object [][]byte
	every  uint32 // bytes of a run between two marks, at least
	marks  int    // of all runs
	end    int64  // of the last run

	begun     bool
	topic     [16]byte
	partition int32
	added     bool // the partition has a run, the last one
	finished  bool
	headers   []byte // room for copies
}

// NewBuilder begins an object. The id must be one of tier 1, else Begin fails.
func NewBuilder(id [16]byte, created time.Time) *Builder {
	created = time.UnixMilli(created.UnixMilli())
	return &Builder{
		index:  Index{ID: id, Tier: Tier(id), Created: created, Size: MinSize},
		object: [][]byte{appendHeader(make([]byte, 0, HeaderSize), RewrittenVersion, id, created)},
		every:  MarkSpacing,
		end:    HeaderSize,
	}
}

// MarkEvery lets marks lie so many bytes apart, at least, instead of MarkSpacing: for simulations, whose runs are short.
func (b *Builder) MarkEvery(bytes uint32) { b.every = bytes }

// Begin says of which partition the next batches are. Partitions come by topic id (its bytes) and number, each once; one
// without batches leaves no trace. ErrInvalid.
func (b *Builder) Begin(topic [16]byte, partition int32) error {
	switch {
	case b.index.Tier != 1:
		return fmt.Errorf("%w: the id is one of tier %d", ErrInvalid, b.index.Tier)
	case b.finished:
		return fmt.Errorf("%w: it is finished", ErrInvalid)
	case b.begun && cmp.Or(bytes.Compare(topic[:], b.topic[:]), cmp.Compare(partition, b.partition)) <= 0:
		return fmt.Errorf("%w: partition twice, or out of order", ErrInvalid)
	}
	b.begun, b.topic, b.partition, b.added = true, topic, partition, false
	return nil
}

// Add takes the next batch of the partition, whose bytes are the concatenation of parts. The run begins at the offset of
// its first batch and ends with that of its last. A batch that is not what info says, or begins before the end of
// the one before it, is ErrInvalid; ErrTooLarge says that the object would be too large, or the run take 2^31 offsets.
// After an error the builder is as before.
func (b *Builder) Add(parts [][]byte, info BatchInfo) error {
	size := int64(0)
	for _, p := range parts {
		size += int64(len(p))
	}
	if !b.begun || b.finished {
		return fmt.Errorf("%w: a batch of no partition", ErrInvalid)
	}
	var header [recordbatch.HeaderSize]byte
	if err := checkBatch(header[:peek(header[:], parts)], size, info); err != nil {
		return err
	}
	run := Run{Topic: b.topic, Partition: b.partition, Position: uint32(b.end), MaxTimestamp: math.MinInt64, Base: info.BaseOffset}
	if b.added {
		run = b.index.Runs[len(b.index.Runs)-1]
	}
	offsets, grows := info.BaseOffset-run.Base+int64(info.Offsets), size
	switch end := run.Base + int64(run.Offsets); {
	case info.BaseOffset < end:
		return fmt.Errorf("%w: batch at offset %d, the one before it ends at %d", ErrInvalid, info.BaseOffset, end)
	case offsets > math.MaxInt32:
		return fmt.Errorf("%w: run of %d offsets", ErrTooLarge, offsets)
	}
	last := uint32(0)
	if len(run.Marks) > 0 {
		last = run.Marks[len(run.Marks)-1].Position
	}
	marked := run.Length-last >= b.every
	if !b.added {
		grows += rewrittenRunSize
	}
	if marked {
		grows += markSize
	}
	if b.index.Size+grows > maxSize {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, b.index.Size+grows)
	}

	if marked {
		run.Marks = append(run.Marks, Mark{Offset: info.BaseOffset, Position: run.Length, MaxTimestamp: run.MaxTimestamp})
		b.marks++
	}
	run.CRC = b.keep(run.CRC, header[:], parts, info.BaseOffset)
	run.Length += uint32(size)
	run.Batches++
	run.Records += uint32(info.Records)
	run.MaxTimestamp = max(run.MaxTimestamp, info.MaxTimestamp)
	run.Offsets = int32(offsets)
	if b.added {
		b.index.Runs[len(b.index.Runs)-1] = run
	} else {
		b.index.Runs, b.added = append(b.index.Runs, run), true
	}
	b.end += size
	b.index.Size += grows
	return nil
}

// peek copies what parts begin with, and tells how much.
func peek(dst []byte, parts [][]byte) (n int) {
	for _, p := range parts {
		if n += copy(dst[n:], p); n == len(dst) {
			break
		}
	}
	return n
}

func checkBatch(header []byte, size int64, info BatchInfo) error {
	h, err := recordbatch.PeekHeader(header)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if info != InfoOf(h, info.BaseOffset) || int64(h.Size()) != size || h.Records < 0 || int64(h.Records) > int64(h.LastOffsetDelta)+1 ||
		info.BaseOffset < 0 || info.BaseOffset > math.MaxInt64-math.MaxInt32-1 || info.Offsets <= 0 {
		return fmt.Errorf("%w: batch of %d bytes of which %+v is said, and whose header says %d bytes and %+v",
			ErrInvalid, size, info, h.Size(), InfoOf(h, info.BaseOffset))
	}
	return nil
}

// keep appends a batch to the object, with a copy of its header that has the offset, and returns the CRC of the run.
func (b *Builder) keep(crc uint32, header []byte, parts [][]byte, offset int64) uint32 {
	if cap(b.headers)-len(b.headers) < len(header) {
		b.headers = make([]byte, 0, 64*len(header))
	}
	n := len(b.headers)
	b.headers = append(b.headers, header...)
	patched := b.headers[n:len(b.headers):len(b.headers)]
	recordbatch.SetBaseOffset(patched, offset, 0)
	b.object = append(b.object, patched)
	crc = crc32.Update(crc, castagnoli, patched)
	for skip := len(header); len(parts) > 0; parts = parts[1:] {
		body := parts[0][min(skip, len(parts[0])):]
		skip -= len(parts[0]) - len(body)
		if len(body) > 0 {
			b.object = append(b.object, body)
			crc = crc32.Update(crc, castagnoli, body)
		}
	}
	return crc
}

// Size is that of the object if it were finished now, in bytes. MinSize says that it has no runs.
func (b *Builder) Size() int64 { return b.index.Size }

// Finish completes the object, which is the concatenation of the slices, and tells what its footer says. The builder is
// of no use any more.
func (b *Builder) Finish() (object [][]byte, index Index) {
	if !b.finished {
		size := footerStart + len(b.index.Runs)*rewrittenRunSize + b.marks*markSize + trailerSize
		b.object = append(b.object, appendRewrittenFooter(make([]byte, 0, size), &b.index))
		b.finished = true
	}
	return b.object, b.index
}
