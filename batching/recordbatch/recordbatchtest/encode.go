// Package recordbatchtest makes record batches for tests: right ones, as producers send them.
package recordbatchtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/runnel-io/runnel/batching/recordbatch"
)

// Options are what a batch has besides its records. The zero value is an uncompressed batch of a producer that is not
// idempotent, which needs NotIdempotent, or of producer 0 in epoch 0.
type Options struct {
	Codec         recordbatch.Codec
	XerialSnappy  bool // Java's framing of snappy
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool
}

// NotIdempotent is o without a producer.
func (o Options) NotIdempotent() Options {
	o.ProducerID, o.ProducerEpoch, o.BaseSequence = -1, -1, -1
	return o
}

// Encode makes a batch with base offset 0 of at least one record. Offsets of the records are ignored.
func Encode(records []recordbatch.Record, o Options) []byte {
	numbered := slices.Clone(records)
	for i := range numbered {
		numbered[i].Offset = int64(i)
	}
	return EncodeSparse(numbered, int32(len(records)), o)
}

// EncodeSparse makes a batch with base offset 0 that takes some offsets and holds the records that are left of it, if
// any, at theirs: what log compaction makes.
func EncodeSparse(records []recordbatch.Record, offsets int32, o Options) []byte {
	base, latest := int64(-1), int64(-1)
	if len(records) > 0 {
		base, latest = records[0].Timestamp, records[0].Timestamp
	}
	var body []byte
	for _, r := range records {
		latest = max(latest, r.Timestamp)
		record := appendRecord(nil, r, r.Timestamp-base, r.Offset)
		body = binary.AppendVarint(body, int64(len(record)))
		body = append(body, record...)
	}
	body = Compress(body, o.Codec, o.XerialSnappy)

	attributes := uint16(o.Codec)
	if o.Transactional {
		attributes |= 1 << 4
	}
	if o.Control {
		attributes |= 1 << 5
	}
	be := binary.BigEndian
	b := make([]byte, 0, recordbatch.HeaderSize+len(body))
	b = be.AppendUint64(b, 0)
	b = be.AppendUint32(b, uint32(recordbatch.HeaderSize-12+len(body)))
	b = be.AppendUint32(b, 0xffffffff)
	b = append(b, recordbatch.Magic, 0, 0, 0, 0)
	b = be.AppendUint16(b, attributes)
	b = be.AppendUint32(b, uint32(offsets-1))
	b = be.AppendUint64(b, uint64(base))
	b = be.AppendUint64(b, uint64(latest))
	b = be.AppendUint64(b, uint64(o.ProducerID))
	b = be.AppendUint16(b, uint16(o.ProducerEpoch))
	b = be.AppendUint32(b, uint32(o.BaseSequence))
	b = be.AppendUint32(b, uint32(len(records)))
	b = append(b, body...)
	Seal(b)
	return b
}

// Seal gives b, one batch, the CRC that its bytes have now.
func Seal(b []byte) { binary.BigEndian.PutUint32(b[17:], recordbatch.Checksum(b)) }

func appendRecord(b []byte, r recordbatch.Record, timestampDelta, offsetDelta int64) []byte {
	b = append(b, 0)
	b = binary.AppendVarint(b, timestampDelta)
	b = binary.AppendVarint(b, offsetDelta)
	b = appendNullable(b, r.Key)
	b = appendNullable(b, r.Value)
	b = binary.AppendVarint(b, int64(len(r.Headers)))
	for _, h := range r.Headers {
		b = appendNullable(b, []byte(h.Key))
		b = appendNullable(b, h.Value)
	}
	return b
}

func appendNullable(b, field []byte) []byte {
	if field == nil {
		return binary.AppendVarint(b, -1)
	}
	b = binary.AppendVarint(b, int64(len(field)))
	return append(b, field...)
}

// Compress is what a producer does to the records of a batch.
func Compress(body []byte, codec recordbatch.Codec, xerial bool) []byte {
	var out bytes.Buffer
	switch codec {
	case recordbatch.None:
		return body
	case recordbatch.Gzip:
		return through(gzip.NewWriter(&out), &out, body)
	case recordbatch.LZ4:
		w := lz4.NewWriter(&out)
		must(w.Apply(lz4.BlockSizeOption(lz4.Block64Kb))) // as Java's client
		return through(w, &out, body)
	case recordbatch.Zstd:
		w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		must(err)
		return through(w, &out, body)
	case recordbatch.Snappy:
		if xerial {
			return compressXerial(body)
		}
		return snappy.Encode(nil, body)
	}
	panic(fmt.Sprintf("unknown %s", codec))
}

func through(w io.WriteCloser, out *bytes.Buffer, body []byte) []byte {
	_, err := w.Write(body)
	must(err)
	must(w.Close())
	return out.Bytes()
}

func compressXerial(body []byte) []byte {
	out := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	for len(body) > 0 {
		n := min(len(body), 32<<10)
		block := snappy.Encode(nil, body[:n])
		out = binary.BigEndian.AppendUint32(out, uint32(len(block)))
		out = append(out, block...)
		body = body[n:]
	}
	return out
}

// must stops a test at what cannot fail: all writers here write to memory.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
