package recordbatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
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
	// MaxInflated bounds what a batch may decompress to, all of which is held in memory. Default 100 MiB, which is what
	// Validate allows for a compacted topic.
	MaxInflated int

	inflated bytes.Buffer
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
	f.kept = f.kept[:0]
	latest, tombstones := int64(-1), false
	at, from := 0, 0 // where in body the record begins, and what is kept before it but not copied yet
	err = eachEntry(h, body, func(e Entry, raw rawRecord, n int) bool {
		if r.Keep(e) {
			records++
			latest = max(latest, raw.timestamp(h))
			tombstones = tombstones || e.Tombstone
		} else {
			f.kept = append(f.kept, body[from:at]...)
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
		f.kept = append(f.kept, body[from:]...)
		left, err = f.remake(b, h, f.kept, records, latest, horizon)
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
	if f.inflated.Cap() > keptBuffer {
		f.inflated = bytes.Buffer{}
	}
	f.inflated.Reset()
	if cap(f.kept) > keptBuffer {
		f.kept = nil
	}
	if cap(f.moved) > keptBuffer {
		f.moved = nil
	}
	r, err := f.decoders.open(h.Codec(), b[HeaderSize:], limit)
	if err != nil {
		return h, nil, err
	}
	f.inflated.Grow(min(2*len(b), limit))
	if _, err := f.inflated.ReadFrom(r); err != nil {
		return h, nil, err
	}
	return h, f.inflated.Bytes(), nil
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
		body = f.rebase(body, h.BaseTimestamp-horizon)
		be.PutUint16(header[attributesAt:], uint16(h.Attributes)|deleteHorizonBit)
		be.PutUint64(header[baseTimestampAt:], uint64(horizon))
	}
	var out bytes.Buffer
	out.Grow(HeaderSize + min(len(body), len(b)))
	out.Write(header[:])
	if err := h.Codec().byDefault().write(&out, body); err != nil { // to memory: this does not fail
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

// rebase adds to the timestamp deltas of records, which eachEntry has passed.
func (f *Filter) rebase(body []byte, by int64) []byte {
	f.moved = f.moved[:0]
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
		f.moved = binary.AppendVarint(f.moved, int64(1+width+len(rest)))
		f.moved = append(f.moved, body[prefix])
		f.moved = append(f.moved, encoded[:width]...)
		f.moved = append(f.moved, rest...)
		body = body[n:]
	}
	return f.moved
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
