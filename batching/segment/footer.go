package segment

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// ParseFooter reads the index out of tail, the last bytes of an object of objectSize bytes. It allocates no more than a
// small multiple of the footer's own bytes. Errors: *NeedMoreError if the footer is longer than tail, *VersionError,
// ErrCorrupt.
func ParseFooter(tail []byte, objectSize int64) (Index, error) {
	switch {
	case objectSize < MinSize || objectSize > maxSize:
		return Index{}, fmt.Errorf("%w: %d bytes", ErrCorrupt, objectSize)
	case int64(len(tail)) > objectSize:
		return Index{}, fmt.Errorf("%w: tail of %d bytes in an object of %d", ErrCorrupt, len(tail), objectSize)
	case len(tail) < trailerSize:
		return Index{}, &NeedMoreError{Bytes: trailerSize}
	}
	be := binary.BigEndian
	trailer := tail[len(tail)-trailerSize:]
	if string(trailer[12:]) != trailerMagic {
		return Index{}, fmt.Errorf("%w: no magic at the end", ErrCorrupt)
	}
	version := be.Uint16(trailer[4:])
	if version != Version && version != RewrittenVersion {
		return Index{}, &VersionError{Version: version}
	}
	length := int64(be.Uint32(trailer))
	if length < footerStart || length > objectSize-HeaderSize-trailerSize {
		return Index{}, fmt.Errorf("%w: footer of %d bytes in an object of %d", ErrCorrupt, length, objectSize)
	}
	if int64(len(tail)) < length+trailerSize {
		return Index{}, &NeedMoreError{Bytes: length + trailerSize}
	}
	footer := tail[int64(len(tail))-trailerSize-length:]
	covered := footer[:length+8] // the trailer's length and version too
	if sum := crc32.Checksum(covered, castagnoli); sum != be.Uint32(trailer[8:]) {
		return Index{}, fmt.Errorf("%w: CRC of footer is %08x, computed %08x", ErrCorrupt, be.Uint32(trailer[8:]), sum)
	}
	return parseRuns(footer[:length], version, objectSize)
}

// parseRuns decodes an intact footer and checks that its runs fill the object.
func parseRuns(b []byte, version uint16, objectSize int64) (Index, error) {
	be := binary.BigEndian
	end := objectSize - trailerSize - int64(len(b))
	index := Index{ID: [16]byte(b), Created: time.UnixMilli(int64(be.Uint64(b[16:]))), Size: objectSize}
	if index.Tier = Tier(index.ID); index.Tier != tierOf(version) {
		return Index{}, fmt.Errorf("%w: version %d, with an id of tier %d", ErrCorrupt, version, index.Tier)
	}
	parse, size := parseRun, runSize
	if version == RewrittenVersion {
		parse, size = parseRewrittenRun, rewrittenRunSize
	}
	count := int64(be.Uint32(b[24:]))
	b = b[footerStart:]
	if count > int64(len(b)/size) {
		return Index{}, fmt.Errorf("%w: %d runs in %d bytes", ErrCorrupt, count, len(b))
	}
	index.Runs = make([]Run, 0, count)
	position := int64(HeaderSize)
	for i := range count {
		run, rest, ok := parse(b)
		if !ok || int64(run.Position) != position || run.Length == 0 || run.Batches == 0 {
			return Index{}, fmt.Errorf("%w: run %d of the footer", ErrCorrupt, i)
		}
		if i > 0 && compareRuns(index.Runs[i-1], run) >= 0 {
			return Index{}, fmt.Errorf("%w: run %d of the footer is out of order", ErrCorrupt, i)
		}
		index.Runs = append(index.Runs, run)
		position += int64(run.Length)
		b = rest
	}
	if len(b) > 0 || position != end {
		return Index{}, fmt.Errorf("%w: runs end at %d, footer begins at %d, %d bytes left in it", ErrCorrupt, position, end, len(b))
	}
	return index, nil
}

func compareRuns(a, b Run) int {
	return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}

func parseRun(b []byte) (r Run, rest []byte, ok bool) {
	if len(b) < runSize {
		return Run{}, nil, false
	}
	be := binary.BigEndian
	r = parseExtent(b)
	count := be.Uint32(b[48:])
	b = b[runSize:]
	if r.Records == 0 || int64(count) > int64(len(b)/chainSize) {
		return Run{}, nil, false
	}
	if count > 0 {
		r.Chains = make([]Chain, 0, count)
	}
	for range count {
		c := Chain{
			ProducerID:    int64(be.Uint64(b)),
			Epoch:         int16(be.Uint16(b[8:])),
			FirstSequence: int32(be.Uint32(b[10:])),
			LastSequence:  int32(be.Uint32(b[14:])),
			Batches:       be.Uint32(b[18:]),
		}
		if c.ProducerID < 0 || c.Batches == 0 || c.FirstSequence < 0 || c.LastSequence < 0 || c.Batches > math.MaxInt32 {
			return Run{}, nil, false
		}
		r.Chains = append(r.Chains, c)
		b = b[chainSize:]
	}
	return r, b, true
}

// parseExtent decodes what runs of both tiers begin with.
func parseExtent(b []byte) Run {
	be := binary.BigEndian
	_ = b[extentSize-1]
	return Run{
		Topic:        [16]byte(b),
		Partition:    int32(be.Uint32(b[16:])),
		Position:     be.Uint32(b[20:]),
		Length:       be.Uint32(b[24:]),
		Batches:      be.Uint32(b[28:]),
		Records:      be.Uint32(b[32:]),
		MaxTimestamp: int64(be.Uint64(b[36:])),
		CRC:          be.Uint32(b[44:]),
	}
}

// ParseHeader reads id and time of creation from the first bytes of an object, at least HeaderSize. Errors are
// *VersionError and ErrCorrupt.
func ParseHeader(b []byte) (id [16]byte, created time.Time, err error) {
	be := binary.BigEndian
	if len(b) < HeaderSize || string(b[:len(headerMagic)]) != headerMagic {
		return id, created, fmt.Errorf("%w: no magic at the start", ErrCorrupt)
	}
	version := be.Uint16(b[8:])
	if version != Version && version != RewrittenVersion {
		return id, created, &VersionError{Version: version}
	}
	if crc32.Checksum(b[:36], castagnoli) != be.Uint32(b[36:]) {
		return id, created, fmt.Errorf("%w: CRC of header", ErrCorrupt)
	}
	if id = [16]byte(b[12:]); Tier(id) != tierOf(version) {
		return [16]byte{}, created, fmt.Errorf("%w: version %d, with an id of tier %d", ErrCorrupt, version, Tier(id))
	}
	return id, time.UnixMilli(int64(be.Uint64(b[28:]))), nil
}
