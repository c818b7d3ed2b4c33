// Package segment reads and writes the object that holds record batches of many partitions: bytes in, bytes out.
//
// FORMAT.md has the layout. An object explains itself: its last bytes lead to a footer that lists the runs, so one GET
// of a suffix reads the index, without the database.
//
// Those of tier 0 are what brokers write as records come in, see Assemble. Batches are stored as producers sent them; base
// offsets are not known when the object is written and are patched when it is read. Those of tier 1 are what they are
// rewritten to, see Builder: there batches carry their offsets, which may leave gaps. The version of an object's id, a
// UUID, tells its tier.
package segment

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/google/uuid"
)

// HeaderSize is where the first run of an object begins.
const HeaderSize = 40

const (
	trailerSize = 16
	footerStart = 28 // bytes of the footer before its first run
	extentSize  = 48 // of what runs of both tiers begin with in the footer
	runSize     = 52 // of a run in the footer, without its chains
	chainSize   = 22

	rewrittenRunSize = 64 // of a run in the footer of tier 1, without its marks
	markSize         = 16

	// MinSize is that of an object without runs.
	MinSize = HeaderSize + footerStart + trailerSize

	headerMagic  = "RNLSEG\r\n" // the line ending is what a transfer in text mode would break
	trailerMagic = "RNLE"

	// Version is the version of the format of tier 0.
	Version = 1
	// RewrittenVersion is that of tier 1.
	RewrittenVersion = 2
)

// maxSize is the limit that positions of 32 bits set.
const maxSize = 1<<32 - 1

var (
	// ErrCorrupt: the bytes are not what the format demands.
	ErrCorrupt = errors.New("corrupt segment")
	// ErrTooLarge: the object would not be smaller than 4 GiB, or a number in it does not fit its field.
	ErrTooLarge = errors.New("segment too large")
	// ErrInvalid: what is to be written is not a segment, such as one with a partition twice, or one without batches.
	ErrInvalid = errors.New("invalid segment")
)

// VersionError says that an object is of a version that this software does not know.
type VersionError struct{ Version uint16 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("segment has format version %d, this software reads versions %d and %d", e.Version, Version, RewrittenVersion)
}

// NeedMoreError says that the footer is longer than the suffix that ParseFooter got: read Bytes from the object's end.
type NeedMoreError struct{ Bytes int64 }

func (e *NeedMoreError) Error() string {
	return fmt.Sprintf("segment footer needs the last %d bytes of the object", e.Bytes)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is one record batch and what the footer tells of it.
type Batch struct {
	Bytes         []byte // the whole batch; not copied
	Records       int32
	MaxTimestamp  int64 // ms since the epoch
	ProducerID    int64 // -1: none
	ProducerEpoch int16
	BaseSequence  int32
}

// Part is the batches of one partition, in order.
type Part struct {
	Topic     [16]byte
	Partition int32
	Batches   []Batch
}

// Run is the batches of one partition as they lie in the object, back to back.
type Run struct {
	Topic        [16]byte
	Partition    int32
	Position     uint32 // bytes from the start of the object
	Length       uint32 // bytes
	Batches      uint32
	Records      uint32  // in tier 1 no more than Offsets
	MaxTimestamp int64   // ms since the epoch, the largest of the batches
	CRC          uint32  // CRC-32C of the bytes
	Chains       []Chain // in tier 0

	// In tier 1:
	Base    int64  // no batch has an offset before it
	Offsets int32  // that the run takes from Base on, gaps included
	Marks   []Mark // in order; see MarkFor and MarkForTime
}

// Mark is a place between two batches of a run of tier 1.
type Mark struct {
	Offset       int64  // base offset of the batch that begins here
	Position     uint32 // bytes from the start of the run
	MaxTimestamp int64  // ms since the epoch, the largest of all batches of the run before the mark
}

// Chain is the sequence of batches that one incarnation of an idempotent producer has in a run. Batches without a
// producer are in none.
type Chain struct {
	ProducerID    int64
	Epoch         int16
	FirstSequence int32 // of the first record of the first batch
	LastSequence  int32 // of the last record of the last batch; wraps from 2^31-1 to 0
	Batches       uint32
}

// Index is what an object tells of itself.
type Index struct {
	ID      [16]byte
	Tier    int
	Created time.Time // to the millisecond
	Runs    []Run     // by topic id and partition
	Size    int64     // bytes of the whole object
}

// Tier is that of the segment with an id: 1 if it is a UUID of version 8, else 0. Segments of tier 0 have version 7.
func Tier(id [16]byte) int {
	if id[6]>>4 == 8 {
		return 1
	}
	return 0
}

// tierOf is that of the segments that have a version of the format.
func tierOf(version uint16) int {
	if version == RewrittenVersion {
		return 1
	}
	return 0
}

// Key is the name of the segment's object: "t0/" or "t1/" for its tier, two digits that spread load over the bucket's
// partitions, "/" and the id. The digits are the low byte of the CRC-32C of the id's bytes, since the id itself begins with
// the time.
func Key(id [16]byte) string {
	const tier = "t0/"
	key := make([]byte, len(tier)+3+36)
	copy(key, tier)
	key[1] += byte(Tier(id))
	hex.Encode(key[len(tier):], []byte{Shard(id)})
	key[len(tier)+2] = '/'
	text, _ := uuid.UUID(id).MarshalText() // has no error to return
	copy(key[len(tier)+3:], text)
	return string(key)
}

// Shard is the number that the two digits in a key stand for. Keys of a tier are ordered by it, and then by the bytes of
// the id.
func Shard(id [16]byte) byte { return byte(crc32.Checksum(id[:], castagnoli)) }

// ParseKey is the inverse of Key. A name that Key does not make, also with other digits, is an error.
func ParseKey(key string) ([16]byte, error) {
	text := key[strings.LastIndexByte(key, '/')+1:]
	if len(text) != 36 {
		return [16]byte{}, fmt.Errorf("%q is not the key of a segment", key)
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return [16]byte{}, fmt.Errorf("%q is not the key of a segment: %w", key, err)
	}
	if Key(id) != key {
		return [16]byte{}, fmt.Errorf("%q is not the key of a segment: that of its id is %q", key, Key(id))
	}
	return id, nil
}

// VerifyRun checks b, the run's bytes, against the CRC in the footer.
func VerifyRun(run Run, b []byte) error {
	if uint64(len(b)) != uint64(run.Length) {
		return fmt.Errorf("%w: run has %d bytes of %d", ErrCorrupt, len(b), run.Length)
	}
	if sum := crc32.Checksum(b, castagnoli); sum != run.CRC {
		return fmt.Errorf("%w: CRC of run is %08x, computed %08x", ErrCorrupt, run.CRC, sum)
	}
	return nil
}
