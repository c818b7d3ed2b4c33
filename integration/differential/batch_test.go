package differential

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
)

// record is a record of a batch that a script makes.
type record struct {
	key, value     []byte
	deltaOffset    int32 // of the batch's base offset, where it is not the record's place
	deltaTimestamp int64
}

// batch is a record batch that may be wrong in any field. lengthen, unless it is 0, is added to the batch's length.
type batch struct {
	baseOffset                   int64
	leaderEpoch                  int32
	lengthen                     int32
	magic                        int8
	spoilCRC                     bool
	attributes                   int16
	lastOffsetDelta              int32
	firstTimestamp, maxTimestamp int64
	producerID                   int64
	epoch                        int16
	sequence                     int32
	count                        int32
	records                      []byte
}

func numbered(n int) []record {
	records := make([]record, n)
	for i := range records {
		records[i] = record{key: []byte{'k', byte('0' + i)}, value: []byte("value"), deltaOffset: int32(i), deltaTimestamp: int64(i) * 1000}
	}
	return records
}

// batch makes a good batch of records, a second apart.
func (s *side) batch(records ...record) *batch {
	b := &batch{
		leaderEpoch: -1, magic: 2, lastOffsetDelta: int32(len(records)) - 1, count: int32(len(records)),
		firstTimestamp: s.past(0), producerID: -1, epoch: -1, sequence: -1,
	}
	b.maxTimestamp = b.firstTimestamp
	for _, r := range records {
		b.maxTimestamp = max(b.maxTimestamp, b.firstTimestamp+r.deltaTimestamp)
		b.records = appendRecord(b.records, r)
	}
	return b
}

// with changes a batch.
func (b *batch) with(change func(b *batch)) *batch {
	change(b)
	return b
}

// from makes it a batch of an idempotent producer.
func (b *batch) from(producer int64, epoch int16, sequence int32) *batch {
	b.producerID, b.epoch, b.sequence = producer, epoch, sequence
	return b
}

// compressed compresses the records.
func (b *batch) compressed(codec kgo.CompressionCodec, number int16) *batch {
	c, err := kgo.DefaultCompressor(codec)
	if err != nil {
		panic(failure{err})
	}
	out, used := c.Compress(new(bytes.Buffer), b.records)
	if int16(used) != number {
		panic(failure{errors.New("the codec was not used")})
	}
	b.records, b.attributes = append([]byte(nil), out...), b.attributes|number
	return b
}

func appendRecord(b []byte, r record) []byte {
	body := []byte{0}
	body = binary.AppendVarint(body, r.deltaTimestamp)
	body = binary.AppendVarint(body, int64(r.deltaOffset))
	for _, field := range [][]byte{r.key, r.value} {
		if field == nil {
			body = binary.AppendVarint(body, -1)
			continue
		}
		body = append(binary.AppendVarint(body, int64(len(field))), field...)
	}
	body = append(body, 0) // no headers
	return append(binary.AppendVarint(b, int64(len(body))), body...)
}

func (b *batch) bytes() []byte {
	be := binary.BigEndian
	var in []byte // what the checksum is of
	in = be.AppendUint16(in, uint16(b.attributes))
	in = be.AppendUint32(in, uint32(b.lastOffsetDelta))
	in = be.AppendUint64(in, uint64(b.firstTimestamp))
	in = be.AppendUint64(in, uint64(b.maxTimestamp))
	in = be.AppendUint64(in, uint64(b.producerID))
	in = be.AppendUint16(in, uint16(b.epoch))
	in = be.AppendUint32(in, uint32(b.sequence))
	in = be.AppendUint32(in, uint32(b.count))
	in = append(in, b.records...)
	crc := crc32.Checksum(in, crc32.MakeTable(crc32.Castagnoli))
	if b.spoilCRC {
		crc++
	}
	out := be.AppendUint64(nil, uint64(b.baseOffset))
	out = be.AppendUint32(out, uint32(int32(len(in)+9)+b.lengthen))
	out = be.AppendUint32(out, uint32(b.leaderEpoch))
	out = append(out, byte(b.magic))
	out = be.AppendUint32(out, crc)
	return append(out, in...)
}
