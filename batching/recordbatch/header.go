// Package recordbatch reads, checks and patches Kafka record batches of version 2 (KIP-98): bytes in, bytes out.
//
// A batch is a header of 61 bytes, big endian, followed by its records, which may be compressed as a whole. The
// CRC-32C covers everything from the attributes on, so base offset and leader epoch may be written at any time without
// it; attributes and timestamps may not.
//
//	 0 base offset int64      21 attributes int16           43 producer id int64
//	 8 length int32           23 last offset delta int32    51 producer epoch int16
//	12 leader epoch int32     27 base timestamp int64       53 base sequence int32
//	16 magic int8             35 max timestamp int64        57 records int32
//	17 CRC uint32             (length counts from byte 12)  61 the records
package recordbatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
)

// HeaderSize is the length of a batch's header, in bytes.
const HeaderSize = 61

// Magic is the version of the format; the only one that is spoken here.
const Magic = 2

const (
	lengthAt          = 8
	leaderEpochAt     = 12
	magicAt           = 16
	crcAt             = 17
	attributesAt      = 21
	lastOffsetDeltaAt = 23
	baseTimestampAt   = 27
	maxTimestampAt    = 35
	producerIDAt      = 43
	producerEpochAt   = 51
	baseSequenceAt    = 53
	recordsAt         = 57

	lengthStart = leaderEpochAt // what the length field counts begins here
)

const (
	codecMask         = 0x07
	logAppendTimeBit  = 1 << 3
	transactionalBit  = 1 << 4
	controlBit        = 1 << 5
	deleteHorizonBit  = 1 << 6
	minimalRecordSize = 7 // one byte for each of length, attributes, both deltas, key, value and header count
)

var (
	// ErrCorrupt: the bytes are not what the format demands.
	ErrCorrupt = errors.New("corrupt record batch")
	// ErrMagic: the batch is of another version of the format. It is an ErrCorrupt too.
	ErrMagic = fmt.Errorf("%w: magic is not 2", ErrCorrupt)
	// ErrTooLarge: the records decompress to more than the caller allowed.
	ErrTooLarge = errors.New("record batch decompresses to too many bytes")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is the fixed part of a batch.
type Header struct {
	BaseOffset      int64
	Length          int32 // bytes after the length field
	LeaderEpoch     int32
	Magic           int8
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64 // ms since the epoch; what records' timestamps count from, and the delete horizon if there is one
	MaxTimestamp    int64 // ms since the epoch
	ProducerID      int64 // -1: none
	ProducerEpoch   int16
	BaseSequence    int32
	Records         int32
}

// Size is that of the whole batch in bytes, header included.
func (h Header) Size() int { return int(h.Length) + lengthStart }

// Codec is how the records are compressed.
func (h Header) Codec() Codec { return Codec(h.Attributes & codecMask) }

// Transactional says that the records belong to a transaction.
func (h Header) Transactional() bool { return h.Attributes&transactionalBit != 0 }

// Control says that the batch holds a transaction marker and no data.
func (h Header) Control() bool { return h.Attributes&controlBit != 0 }

// LogAppendTime says that MaxTimestamp, set by a broker, is the timestamp of every record.
func (h Header) LogAppendTime() bool { return h.Attributes&logAppendTimeBit != 0 }

// DeleteHorizon is the time in ms from which log compaction may remove the batch's tombstones or marker, if it has set
// one (KIP-534). It stands in BaseTimestamp; the records' timestamps are what they were.
func (h Header) DeleteHorizon() (ms int64, ok bool) {
	return h.BaseTimestamp, h.Attributes&deleteHorizonBit != 0
}

// LastOffset is the offset of the last record, or of one that was there before log compaction.
func (h Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// PeekHeader decodes the header at the start of b, which may end before the batch does. It checks magic, that Size is
// at least HeaderSize and that the batch takes at least one offset; errors are ErrCorrupt. It does not check the CRC.
func PeekHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes are less than a header", ErrCorrupt, len(b))
	}
	h := decodeHeader(b)
	switch {
	case h.Magic != Magic:
		return h, fmt.Errorf("%w but %d", ErrMagic, h.Magic)
	case h.Length < HeaderSize-lengthStart:
		return h, fmt.Errorf("%w: length %d", ErrCorrupt, h.Length)
	case h.LastOffsetDelta < 0:
		return h, fmt.Errorf("%w: last offset delta %d", ErrCorrupt, h.LastOffsetDelta)
	}
	return h, nil
}

// ParseHeader is PeekHeader of a batch that lies in b completely; more may follow it.
func ParseHeader(b []byte) (Header, error) {
	h, err := PeekHeader(b)
	if err != nil {
		return h, err
	}
	if h.Size() > len(b) {
		return h, fmt.Errorf("%w: %d bytes of %d", ErrCorrupt, len(b), h.Size())
	}
	return h, nil
}

func decodeHeader(b []byte) Header {
	_ = b[HeaderSize-1]
	be := binary.BigEndian
	return Header{
		BaseOffset:      int64(be.Uint64(b)),
		Length:          int32(be.Uint32(b[lengthAt:])),
		LeaderEpoch:     int32(be.Uint32(b[leaderEpochAt:])),
		Magic:           int8(b[magicAt]),
		CRC:             be.Uint32(b[crcAt:]),
		Attributes:      int16(be.Uint16(b[attributesAt:])),
		LastOffsetDelta: int32(be.Uint32(b[lastOffsetDeltaAt:])),
		BaseTimestamp:   int64(be.Uint64(b[baseTimestampAt:])),
		MaxTimestamp:    int64(be.Uint64(b[maxTimestampAt:])),
		ProducerID:      int64(be.Uint64(b[producerIDAt:])),
		ProducerEpoch:   int16(be.Uint16(b[producerEpochAt:])),
		BaseSequence:    int32(be.Uint32(b[baseSequenceAt:])),
		Records:         int32(be.Uint32(b[recordsAt:])),
	}
}

// Checksum is the CRC-32C that the header of batch b, exactly one, should hold.
func Checksum(b []byte) uint32 { return crc32.Checksum(b[attributesAt:], castagnoli) }

// SetBaseOffset writes base offset and leader epoch into the header at the start of b. The CRC does not cover them.
func SetBaseOffset(b []byte, offset int64, leaderEpoch int32) {
	_ = b[HeaderSize-1]
	binary.BigEndian.PutUint64(b, uint64(offset))
	binary.BigEndian.PutUint32(b[leaderEpochAt:], uint32(leaderEpoch))
}

// SetLogAppendTime gives every record of batch b, exactly one, the timestamp ms, and b a new CRC.
func SetLogAppendTime(b []byte, ms int64) {
	be := binary.BigEndian
	be.PutUint16(b[attributesAt:], be.Uint16(b[attributesAt:])|logAppendTimeBit)
	setMaxTimestamp(b, ms)
}

func setMaxTimestamp(b []byte, ms int64) {
	binary.BigEndian.PutUint64(b[maxTimestampAt:], uint64(ms))
	binary.BigEndian.PutUint32(b[crcAt:], Checksum(b))
}

// Split yields the batches that lie back to back in b, as parts of b. An ErrCorrupt ends the sequence and is its last
// element.
func Split(b []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for len(b) > 0 {
			h, err := ParseHeader(b)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(b[:h.Size():h.Size()], nil) {
				return
			}
			b = b[h.Size():]
		}
	}
}
