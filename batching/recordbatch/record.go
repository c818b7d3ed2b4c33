package recordbatch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
)

// Record is one record of a batch.
type Record struct {
	Offset    int64
	Timestamp int64 // ms since the epoch; -1 if none
	Key       []byte
	Value     []byte
	Headers   []RecordHeader
}

// RecordHeader is a header of a record.
type RecordHeader struct {
	Key   string
	Value []byte
}

// Stamp is what can be told of a record without holding it in memory.
type Stamp struct {
	Offset    int64
	Timestamp int64 // ms since the epoch; -1 if none
	Keyed     bool  // the key is not null
	Bytes     int   // of the record, decompressed
}

// Records yields the records of b, exactly one batch, decompressed into at most maxBytes. Keys and values are parts of
// b or of memory that belongs to the caller. Errors, each the last element: ErrTooLarge, ErrCorrupt (also when the
// records are not those that the header announces). It does not check the CRC.
func Records(b []byte, maxBytes int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		h, err := ParseHeader(b)
		if err != nil {
			yield(Record{}, err)
			return
		}
		body, err := inflate(h.Codec(), b[HeaderSize:h.Size()], maxBytes)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for i := range h.Records {
			raw, n, ok := nextRecord(body)
			if !ok {
				yield(Record{}, fmt.Errorf("%w: record %d of %d", ErrCorrupt, i, h.Records))
				return
			}
			if !yield(raw.record(h), nil) {
				return
			}
			body = body[n:]
		}
		if len(body) > 0 {
			yield(Record{}, fmt.Errorf("%w: %d bytes after the last record", ErrCorrupt, len(body)))
		}
	}
}

func inflate(c Codec, body []byte, limit int) ([]byte, error) {
	if c == None {
		return body, nil
	}
	r, err := c.decompressor(body, limit)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var buf bytes.Buffer
	buf.Grow(min(4*len(body), max(limit, 0)))
	if _, err := buf.ReadFrom(r); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Stamps yields offset and timestamp of the records of b, exactly one batch, in the order in which they lie there. It
// streams: the memory taken does not depend on what the records decompress to. Errors are those of Records.
func Stamps(b []byte, maxBytes int) iter.Seq2[Stamp, error] {
	return func(yield func(Stamp, error) bool) {
		h, err := ParseHeader(b)
		if err != nil {
			yield(Stamp{}, err)
			return
		}
		r, err := h.Codec().decompressor(b[HeaderSize:h.Size()], maxBytes)
		if err != nil {
			yield(Stamp{}, err)
			return
		}
		defer r.Close()
		in := bufio.NewReader(r)
		for i := range h.Records {
			s, err := nextStamp(in, h)
			if err != nil {
				yield(Stamp{}, stampError(err, i, h.Records))
				return
			}
			if !yield(s, nil) {
				return
			}
		}
		if _, err := in.ReadByte(); err == nil {
			yield(Stamp{}, fmt.Errorf("%w: bytes after the last record", ErrCorrupt))
		} else if err != io.EOF {
			yield(Stamp{}, stampError(err, h.Records, h.Records))
		}
	}
}

func stampError(err error, i, of int32) error {
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: record %d of %d: %w", ErrCorrupt, i, of, err)
}

// nextStamp reads a record as far as its key's length and skips the rest.
func nextStamp(in *bufio.Reader, h Header) (Stamp, error) {
	length, err := binary.ReadVarint(in)
	if err != nil {
		return Stamp{}, err
	}
	if length < minimalRecordSize-1 || length > math.MaxInt32 {
		return Stamp{}, fmt.Errorf("%w: record of %d bytes", ErrCorrupt, length)
	}
	head, err := in.Peek(int(min(length, 1+binary.MaxVarintLen64+2*binary.MaxVarintLen32)))
	if err != nil {
		return Stamp{}, err
	}
	raw, _, ok := parseDeltas(head)
	if !ok {
		return Stamp{}, fmt.Errorf("%w: record", ErrCorrupt)
	}
	if _, err := in.Discard(int(length)); err != nil {
		return Stamp{}, err
	}
	return Stamp{Offset: h.BaseOffset + int64(raw.offsetDelta), Timestamp: raw.timestamp(h), Keyed: raw.keyLength >= 0, Bytes: int(length)}, nil
}

// rawRecord is a record as it lies in the batch.
type rawRecord struct {
	timestampDelta int64
	offsetDelta    int32
	keyLength      int32 // -1: null
	key, value     []byte
	headers        []byte // encoded
	headerCount    int32
}

// parseDeltas decodes a record from its attributes to the key's length and tells how many bytes that took.
func parseDeltas(b []byte) (r rawRecord, n int, ok bool) {
	if len(b) < 2 {
		return r, 0, false
	}
	n = 1 // the attributes of a record mean nothing yet
	delta, size := binary.Varint(b[n:])
	if size <= 0 {
		return r, 0, false
	}
	n += size
	r.timestampDelta = delta
	if r.offsetDelta, size = varint32(b[n:]); size <= 0 {
		return r, 0, false
	}
	n += size
	if r.keyLength, size = varint32(b[n:]); size <= 0 || r.keyLength < -1 {
		return r, 0, false
	}
	return r, n + size, true
}

// nextRecord decodes the record at the start of b, which takes n bytes. It allocates nothing; all parts point into b.
func nextRecord(b []byte) (r rawRecord, n int, ok bool) {
	length, prefix := varint32(b)
	if prefix <= 0 || length < minimalRecordSize-1 || int64(length) > int64(len(b)-prefix) {
		return r, 0, false
	}
	n = prefix + int(length)
	b = b[prefix:n:n]
	r, i, ok := parseDeltas(b)
	if !ok || int64(r.keyLength) > int64(len(b)-i) {
		return r, 0, false
	}
	if r.keyLength >= 0 {
		r.key = b[i : i+int(r.keyLength) : i+int(r.keyLength)]
		i += int(r.keyLength)
	}
	r.value, i, ok = nullableBytes(b, i)
	if !ok {
		return r, 0, false
	}
	count, size := varint32(b[i:])
	if size <= 0 || count < 0 || int64(count) > int64(len(b)-i) {
		return r, 0, false
	}
	r.headerCount, r.headers = count, b[i+size:]
	rest := r.headers
	for range count {
		if _, _, rest, ok = nextHeader(rest); !ok {
			return r, 0, false
		}
	}
	return r, n, len(rest) == 0
}

func nextHeader(b []byte) (key, value, rest []byte, ok bool) {
	key, i, ok := nullableBytes(b, 0)
	if !ok || key == nil { // Kafka: a header's key is never null
		return nil, nil, nil, false
	}
	value, i, ok = nullableBytes(b, i)
	if !ok {
		return nil, nil, nil, false
	}
	return key, value, b[i:], true
}

// nullableBytes decodes a length, -1 for nil, and that many bytes at b[i:], and tells where they end.
func nullableBytes(b []byte, i int) ([]byte, int, bool) {
	length, size := varint32(b[i:])
	if size <= 0 || length < -1 {
		return nil, 0, false
	}
	i += size
	if length == -1 {
		return nil, i, true
	}
	if int64(length) > int64(len(b)-i) {
		return nil, 0, false
	}
	end := i + int(length)
	return b[i:end:end], end, true
}

// varint32 is binary.Varint for what must fit in 32 bits and in the 5 bytes that these take.
func varint32(b []byte) (int32, int) {
	if len(b) > binary.MaxVarintLen32 {
		b = b[:binary.MaxVarintLen32]
	}
	v, n := binary.Varint(b)
	if v < math.MinInt32 || v > math.MaxInt32 {
		return 0, -1
	}
	return int32(v), n
}

func (r rawRecord) timestamp(h Header) int64 {
	if h.LogAppendTime() {
		return h.MaxTimestamp
	}
	return h.BaseTimestamp + r.timestampDelta
}

func (r rawRecord) record(h Header) Record {
	out := Record{
		Offset:    h.BaseOffset + int64(r.offsetDelta),
		Timestamp: r.timestamp(h),
		Key:       r.key,
		Value:     r.value,
	}
	if r.headerCount == 0 {
		return out
	}
	out.Headers = make([]RecordHeader, 0, r.headerCount) // nextRecord has seen that many
	for rest := r.headers; len(rest) > 0; {
		var key, value []byte
		key, value, rest, _ = nextHeader(rest)
		out.Headers = append(out.Headers, RecordHeader{Key: string(key), Value: value})
	}
	return out
}
