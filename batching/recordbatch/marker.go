package recordbatch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Marker is a control batch that ends a transaction in a partition. Its one record is the commit or the abort:
//
//	61 length varint        65 key length varint       70 value length varint     77 header count varint, 0
//	62 attributes int8, 0   66 key version int16, 0    71 value version int16, 0
//	63 both deltas, 0       68 type int16              73 coordinator epoch int32
//
// The type is 1 for a commit, 0 for an abort. There is one coordinator epoch for ever, 0.
type Marker struct {
	BaseOffset    int64
	LeaderEpoch   int32
	ProducerID    int64
	ProducerEpoch int16
	Commit        bool
	Timestamp     int64 // ms since the epoch
}

// MarkerSize is the length of a Marker's batch, in bytes.
const MarkerSize = 78

// markerBytes is the batch of an abort by producer 0 in epoch 0, but for the CRC.
var markerBytes = [MarkerSize]byte{
	lengthAt + 3:       MarkerSize - lengthStart,
	magicAt:            Magic,
	attributesAt + 1:   transactionalBit | controlBit,
	baseSequenceAt:     0xff,
	baseSequenceAt + 1: 0xff,
	baseSequenceAt + 2: 0xff,
	baseSequenceAt + 3: 0xff,
	recordsAt + 3:      1,

	HeaderSize:     16 << 1, // varints of numbers above 0 are twice as large
	HeaderSize + 4: 4 << 1,
	HeaderSize + 9: 6 << 1,
}

// markerTypeAt is the byte of the type that is not always 0.
const markerTypeAt = HeaderSize + 8

// Append appends the batch.
func (m Marker) Append(dst []byte) []byte {
	from := len(dst)
	dst = append(dst, markerBytes[:]...)
	b := dst[from:]
	be := binary.BigEndian
	be.PutUint64(b, uint64(m.BaseOffset))
	be.PutUint32(b[leaderEpochAt:], uint32(m.LeaderEpoch))
	be.PutUint64(b[baseTimestampAt:], uint64(m.Timestamp))
	be.PutUint64(b[maxTimestampAt:], uint64(m.Timestamp))
	be.PutUint64(b[producerIDAt:], uint64(m.ProducerID))
	be.PutUint16(b[producerEpochAt:], uint16(m.ProducerEpoch))
	if m.Commit {
		b[markerTypeAt] = 1
	}
	be.PutUint32(b[crcAt:], crc32.Checksum(b[attributesAt:], castagnoli))
	return dst
}

// MarkerCommits tells of b, exactly one control batch, whether it marks a commit or an abort. ErrCorrupt if it does neither.
func MarkerCommits(b []byte) (commit bool, err error) {
	h, err := ParseHeader(b)
	if err != nil {
		return false, err
	}
	record, _, ok := nextRecord(b[HeaderSize:h.Size()])
	if !ok || !h.Control() || h.Codec() != None || h.Records != 1 || len(record.key) != 4 {
		return false, fmt.Errorf("%w: no marker", ErrCorrupt)
	}
	switch kind := binary.BigEndian.Uint16(record.key[2:]); kind {
	case 0, 1:
		return kind == 1, nil
	default:
		return false, fmt.Errorf("%w: marker of type %d", ErrCorrupt, kind)
	}
}
