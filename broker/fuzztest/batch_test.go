package fuzztest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

var codecs = []recordbatch.Codec{recordbatch.None, recordbatch.Gzip, recordbatch.Snappy, recordbatch.LZ4, recordbatch.Zstd}

// batch is what a partition of a Produce request carries. The empty script makes a right batch.
func (w *world) batch(s *script) []byte {
	now := time.Now().UnixMilli()
	records := make([]recordbatch.Record, 1+s.below(4))
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: now + int64(i), Key: []byte{'k', byte(i)}, Value: []byte("value of a record")}
	}
	if s.oneIn(3) {
		records[0].Headers = []recordbatch.RecordHeader{{Key: "h", Value: []byte("v")}, {Key: "h"}}
	}
	o := recordbatchtest.Options{}.NotIdempotent()
	switch s.below(4) {
	case 1:
		o = recordbatchtest.Options{ProducerID: w.producer, ProducerEpoch: w.epoch, BaseSequence: int32(s.number())}
	case 2:
		o = recordbatchtest.Options{ProducerID: w.producer, ProducerEpoch: w.epoch, BaseSequence: int32(s.below(3)), Transactional: true}
	}
	whole := recordbatchtest.Encode(records, o)
	header, body := whole[:recordbatch.HeaderSize], whole[recordbatch.HeaderSize:]
	if s.oneIn(2) {
		body = damage(s, body)
	}
	codec, xerial := choose(s, codecs), s.oneIn(4)
	if s.oneIn(24) {
		body = bombs()[codec]
	} else {
		body = recordbatchtest.Compress(body, codec, xerial)
	}
	if s.oneIn(4) {
		body = damage(s, body)
	}
	header[22] |= byte(codec)
	binary.BigEndian.PutUint32(header[8:], uint32(len(header)-12+len(body)))
	whole = slices.Concat(header, body)
	for s.oneIn(3) {
		damageHeader(s, whole)
	}
	recordbatchtest.Seal(whole)
	switch s.below(12) {
	case 10:
		whole[17] ^= 1 // the checksum
	case 11:
		whole = damage(s, whole)
	}
	if s.oneIn(10) {
		whole = append(whole, w.batch(s)...)
	}
	return whole
}

// damageHeader writes into one field of a batch's header.
func damageHeader(s *script, b []byte) {
	fields := []struct{ at, size int }{
		{57, 4}, {23, 4}, {21, 2}, {27, 8}, {35, 8}, {43, 8}, {51, 2}, {53, 4}, {0, 8}, {8, 4}, {12, 4}, {16, 1},
	}
	f := choose(s, fields)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(s.number()))
	copy(b[f.at:f.at+f.size], n[8-f.size:])
}

// bombs are small and decompress to more than the broker takes, by codec. What they decompress to claims to be a record
// as long as that, with an empty key.
var bombs = sync.OnceValue(func() map[recordbatch.Codec][]byte {
	made := make(map[recordbatch.Codec][]byte)
	for _, codec := range codecs {
		size := 40 << 20
		switch codec {
		case recordbatch.None:
			size = 1 << 10
		case recordbatch.Snappy:
			size = 16 << 20 // a twentieth of it when compressed
		}
		record := append([]byte{0, 0, 0, 0}, bytes.Repeat([]byte{0}, size)...)
		body := append(binary.AppendVarint(nil, int64(len(record))), record...)
		made[codec] = recordbatchtest.Compress(body, codec, false)
	}
	return made
})

// damage makes other bytes of some: the kinds of harm that do not know what the bytes mean.
func damage(s *script, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + s.below(3) {
		if len(b) == 0 {
			return b
		}
		at := s.below(len(b))
		switch s.below(10) {
		case 0:
			b[at] ^= 1 << s.below(8)
		case 1:
			b[at] = s.byte()
		case 2: // a number of four bytes, such as a length
			var n [4]byte
			binary.BigEndian.PutUint32(n[:], uint32(s.number()))
			copy(b[at:], n[:])
		case 3:
			b = bytes.Join([][]byte{b[:at], choose(s, varints), b[at+1:]}, nil)
		case 4:
			b = b[:at]
		case 5: // twice
			end := at + s.below(len(b)-at)
			b = bytes.Join([][]byte{b[:end], b[at:]}, nil)
		case 6: // without some
			end := at + s.below(min(len(b)-at, 64))
			b = append(b[:at], b[end:]...)
		case 7:
			b = bytes.Join([][]byte{b[:at], s.take(s.below(16)), b[at:]}, nil)
		case 8:
			b = append(b, bytes.Repeat([]byte{s.byte()}, s.below(300))...)
		case 9: // a length of two bytes
			var n [2]byte
			binary.BigEndian.PutUint16(n[:], uint16(s.number()))
			copy(b[at:], n[:])
		}
	}
	return b
}

// varints that are enormous, negative or endless; the length of what follows, in place of a small one.
var varints = [][]byte{
	{0xff, 0xff, 0xff, 0xff, 0x0f}, {0x80, 0x80, 0x80, 0x80, 0x08}, {0xff, 0xff, 0xff, 0xff, 0x07}, {0xff, 0xff, 0x03}, {0x80, 0x80, 0x80, 0x01},
	bytes.Repeat([]byte{0xff}, 10), {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0x80, 0x00}, {0x81, 0x80, 0x00}, {0x01}, {0x00},
}
