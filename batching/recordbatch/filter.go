package recordbatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/snappy"
)

// Entry is what log compaction goes by in a record.
type Entry struct {
	Offset    int64
	Key       []byte // nil: the record has none
	Tombstone bool   // the value is null
}

// Filter looks at the records of batches and takes records out of them, as Kafka's log compaction does. It keeps its
// buffers and decoders from batch to batch. It is not for concurrent use; the zero value is ready.
type Filter struct {
	// MaxInflated bounds what a batch may decompress to, all of which is held in memory, once. Default 100 MiB, which is what
	// Validate allows for a compacted topic.
	MaxInflated int

	inflated []byte
	kept     []byte
	moved    []byte
	decoders decoders
}

// NoHorizon is the Horizon of a Retain that sets none.
const NoHorizon int64 = math.MinInt64

// Retain says what is to be left of a batch.
type Retain struct {
	Keep func(Entry) bool // decides on each record, in order; the key is good during the call
	// Horizon becomes the delete horizon of a batch in which a tombstone is left, in ms; NoHorizon: it keeps what it has.
	Horizon int64
}

// keptBuffer is the most that a Filter keeps of each of its buffers.
const keptBuffer = 8 << 20

// Entries shows the records of b, exactly one batch, in order, until show returns false; the key is good during the call.
// With an error it has shown none. Errors: ErrTooLarge; ErrCorrupt if the records are not those that the header announces, or if their offsets do not grow
// or are not the batch's. It does not check the CRC.
func (f *Filter) Entries(b []byte, show func(Entry) bool) error {
	h, body, err := f.open(b)
	if err != nil {
		return err
	}
	if err := eachEntry(h, body, func(Entry, rawRecord, int) bool { return true }); err != nil {
		return err // before anything is shown of what cannot be read as a whole
	}
	return eachEntry(h, body, func(e Entry, _ rawRecord, _ int) bool { return show(e) })
}

// Keep returns the batch that is left of b, exactly one batch, and how many records it has: b itself if nothing changes,
// nil if no record is left, otherwise a new batch. That has the offsets, the producer, the codec and the kind of b; its
// records are those of b, with the same offsets and timestamps, and its max timestamp is theirs. b is not written to.
// Errors are those of Entries.
func (f *Filter) Keep(b []byte, r Retain) (left []byte, records int32, err error) {
	h, body, err := f.open(b)
	if err != nil {
		return nil, 0, err
	}
	kept := f.kept[:0]
	if h.Codec() != None && h.Records > 0 {
		kept = body[:0] // what is kept moves to the front of what was decompressed
	}
	latest, tombstones := int64(-1), false
	at, from := 0, 0 // where in body the record begins, and what is kept before it but not copied yet
	err = eachEntry(h, body, func(e Entry, raw rawRecord, n int) bool {
		if r.Keep(e) {
			records++
			latest = max(latest, raw.timestamp(h))
			tombstones = tombstones || e.Tombstone
		} else {
			kept = append(kept, body[from:at]...)
			from = at + n
		}
		at += n
		return true
	})
	if err != nil {
		return nil, 0, err
	}
	horizon := NoHorizon
	if tombstones && r.Horizon != NoHorizon {
		horizon = r.Horizon
	}
	switch {
	case records == 0 && h.Records > 0:
		return nil, 0, nil
	case records == h.Records && horizon == NoHorizon:
		return b, records, nil
	case records == h.Records:
		left, err = f.remake(b, h, body, records, latest, horizon)
	default:
		kept = append(kept, body[from:]...)
		left, err = f.remake(b, h, kept, records, latest, horizon)
		if h.Codec() == None {
			f.kept = kept
		}
	}
	return left, records, err
}

// WithDeleteHorizon returns a batch that has the records of b, exactly one batch, and a delete horizon in ms: for a marker
// of whose transaction nothing is left. b is not written to. Errors are those of Entries.
func (f *Filter) WithDeleteHorizon(b []byte, ms int64) ([]byte, error) {
	h, body, err := f.open(b)
	if err != nil {
		return nil, err
	}
	return f.remake(b, h, body, h.Records, h.MaxTimestamp, ms)
}

// Empty returns a batch without records that takes the offsets of b, exactly one batch with a right header, so that they
// can be reached. Producer, kind and max timestamp are those of b.
func Empty(b []byte) []byte {
	be := binary.BigEndian
	e := bytes.Clone(b[:HeaderSize])
	be.PutUint32(e[lengthAt:], HeaderSize-lengthStart)
	be.PutUint16(e[attributesAt:], be.Uint16(e[attributesAt:])&^(codecMask|deleteHorizonBit))
	none := int64(-1)
	be.PutUint64(e[baseTimestampAt:], uint64(none))
	be.PutUint32(e[recordsAt:], 0)
	be.PutUint32(e[crcAt:], Checksum(e))
	return e
}

// open returns the records of b, decompressed; they are good until the next call.
func (f *Filter) open(b []byte) (Header, []byte, error) {
	h, err := ParseHeader(b)
	switch {
	case err != nil:
		return h, nil, err
	case h.Size() != len(b):
		return h, nil, fmt.Errorf("%w: %d bytes after the batch", ErrCorrupt, len(b)-h.Size())
	case h.Records < 0:
		return h, nil, fmt.Errorf("%w: %d records", ErrCorrupt, h.Records)
	case h.Codec() == None || h.Records == 0:
		return h, b[HeaderSize:], nil
	}
	limit := f.MaxInflated
	if limit <= 0 {
		limit = maxInflated
	}
	for _, buffer := range []*[]byte{&f.inflated, &f.kept, &f.moved} {
		if cap(*buffer) > keptBuffer {
			*buffer = nil
		}
	}
	err = f.inflate(h.Codec(), b[HeaderSize:], limit)
	return h, f.inflated, err
}

// inflate decompresses body. Of what is large it counts the bytes first, and decompresses it again: a buffer that grows would take
// up to three times as much.
func (f *Filter) inflate(c Codec, body []byte, limit int) error {
	if c == Snappy && !hasPrefix(body, xerialMagic) {
		return f.inflateBlock(body, limit)
	}
	r, err := f.decoders.open(c, body, limit)
	if err != nil {
		return err
	}
	if start := min(2*len(body)+512, limit+1, keptBuffer); cap(f.inflated) < start {
		f.inflated = make([]byte, 0, start)
	}
	for f.inflated = f.inflated[:0]; ; {
		if len(f.inflated) == cap(f.inflated) {
			if len(f.inflated) >= keptBuffer {
				break
			}
			f.inflated = slices.Grow(f.inflated, len(f.inflated))
		}
		n, err := r.Read(f.inflated[len(f.inflated):cap(f.inflated)])
		f.inflated = f.inflated[:len(f.inflated)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	rest, err := io.Copy(io.Discard, r)
	if err != nil {
		return err
	}
	whole := make([]byte, int64(len(f.inflated))+rest)
	if r, err = f.decoders.open(c, body, limit); err == nil {
		_, err = io.ReadFull(r, whole)
	}
	f.inflated = whole
	return err
}

// inflateBlock decompresses a raw block of snappy, which says how long it is.
func (f *Filter) inflateBlock(body []byte, limit int) error {
	n, err := snappy.DecodedLen(body)
	switch {
	case err != nil || n/maxSnappyRatio > len(body):
		return codecError(Snappy, snappy.ErrCorrupt)
	case n > limit:
		return ErrTooLarge
	case cap(f.inflated) < n:
		f.inflated = make([]byte, n)
	}
	f.inflated, err = snappy.Decode(f.inflated[:cap(f.inflated)], body)
	return codecError(Snappy, err)
}

// eachEntry shows the records of body, with the bytes that each takes, until show returns false.
func eachEntry(h Header, body []byte, show func(e Entry, raw rawRecord, n int) bool) error {
	last := int32(-1)
	for i := range h.Records {
		raw, n, ok := nextRecord(body)
		if !ok {
			return fmt.Errorf("%w: record %d of %d", ErrCorrupt, i, h.Records)
		}
		if raw.offsetDelta <= last || raw.offsetDelta > h.LastOffsetDelta {
			return fmt.Errorf("%w: record %d has offset delta %d", ErrCorrupt, i, raw.offsetDelta)
		}
		last = raw.offsetDelta
		if !show(Entry{Offset: h.BaseOffset + int64(raw.offsetDelta), Key: raw.key, Tombstone: raw.value == nil}, raw, n) {
			return nil
		}
		body = body[n:]
	}
	if len(body) > 0 {
		return fmt.Errorf("%w: %d bytes after the last record", ErrCorrupt, len(body))
	}
	return nil
}

// remake encodes a batch with the header of b, but for what follows from other records and another horizon.
func (f *Filter) remake(b []byte, h Header, body []byte, records int32, latest, horizon int64) ([]byte, error) {
	be := binary.BigEndian
	var header [HeaderSize]byte
	copy(header[:], b)
	be.PutUint32(header[recordsAt:], uint32(records))
	if !h.LogAppendTime() {
		be.PutUint64(header[maxTimestampAt:], uint64(latest))
	}
	if horizon != NoHorizon {
		be.PutUint16(header[attributesAt:], uint16(h.Attributes)|deleteHorizonBit)
		be.PutUint64(header[baseTimestampAt:], uint64(horizon))
	}
	var out bytes.Buffer
	out.Grow(HeaderSize + min(len(body), len(b)))
	out.Write(header[:])
	if err := f.write(&out, h, body, horizon); err != nil { // to memory: this does not fail
		return nil, err
	}
	made := out.Bytes()
	if int64(len(made)) > math.MaxInt32 {
		return nil, ErrTooLarge
	}
	be.PutUint32(made[lengthAt:], uint32(len(made)-lengthStart))
	be.PutUint32(made[crcAt:], Checksum(made))
	return made, nil
}

// write compresses records, which eachEntry has passed, with their times counted from a horizon if there is one.
func (f *Filter) write(out *bytes.Buffer, h Header, body []byte, horizon int64) error {
	to := h.Codec().byDefault()
	if horizon == NoHorizon {
		return to.write(out, body)
	}
	by := h.BaseTimestamp - horizon
	if len(body) <= keptBuffer {
		f.moved = f.moved[:0]
		_ = rebase(body, by, func(part []byte) error {
			f.moved = append(f.moved, part...)
			return nil
		})
		return to.write(out, f.moved)
	}
	w, err := to.stream(out)
	if err != nil {
		return err
	}
	if err := rebase(body, by, func(part []byte) error { _, err := w.Write(part); return err }); err != nil {
		return err
	}
	return w.Close()
}

// rebase adds to the timestamp deltas of records, which eachEntry has passed, and gives what that makes of them part by part.
func rebase(body []byte, by int64, write func([]byte) error) error {
	var head [2*binary.MaxVarintLen64 + 1]byte
	for len(body) > 0 {
		_, n, ok := nextRecord(body)
		if !ok {
			break
		}
		_, prefix := binary.Varint(body)
		delta, size := binary.Varint(body[prefix+1:])
		rest := body[prefix+1+size : n]
		var encoded [binary.MaxVarintLen64]byte
		width := binary.PutVarint(encoded[:], delta+by) // it may wrap, as it does for who adds it to the horizon
		made := binary.AppendVarint(head[:0], int64(1+width+len(rest)))
		made = append(made, body[prefix])
		made = append(made, encoded[:width]...)
		if err := write(made); err != nil {
			return err
		}
		if err := write(rest); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

// byDefault is the compression with c at the level that Kafka takes where none is set.
func (c Codec) byDefault() Compression {
	switch c {
	case Gzip:
		return Compression{Gzip, -1}
	case LZ4:
		return Compression{LZ4, defaultLZ4Level}
	case Zstd:
		return Compression{Zstd, 3}
	}
	return Compression{Codec: c}
}
