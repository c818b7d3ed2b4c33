package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is a compression of the records, by Kafka's number.
type Codec int8

// The codecs. 5 to 7 fit in the attributes but mean nothing.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int8(c))
}

// Known says that c is one of the codecs above.
func (c Codec) Known() bool { return c >= None && c <= Zstd }

const (
	gzipMagic   = "\x1f\x8b"
	lz4Magic    = "\x04\x22\x4d\x18"
	zstdMagic   = "\x28\xb5\x2f\xfd"
	xerialMagic = "\x82SNAPPY\x00" // the framing of Java's snappy streams, followed by two int32 versions
	xerialStart = len(xerialMagic) + 8
)

// maxSnappyRatio is more than snappy can reach: no element of the format makes more than 64 bytes, and the shortest such
// has three. A block that claims more is not worth a buffer.
const maxSnappyRatio = 32

// A zstd frame says how far back it refers, and a decoder allocates that much at once. Every decoder must take 8 MiB
// (RFC 8878, 3.1.1.1.2), which serves levels to 19; 32 MiB is that of level 20. Beyond it few bytes would cost too much.
const (
	minZstdWindow = 8 << 20
	maxZstdWindow = 32 << 20
)

// looksLike tells, at no cost, whether body may be what codec makes of records records.
func (c Codec) looksLike(body []byte, records int32) bool {
	switch c {
	case None:
		return int64(len(body)) >= int64(records)*minimalRecordSize
	case Gzip:
		return hasPrefix(body, gzipMagic)
	case LZ4:
		return hasPrefix(body, lz4Magic)
	case Zstd:
		return hasPrefix(body, zstdMagic)
	case Snappy:
		if hasPrefix(body, xerialMagic) {
			return len(body) > xerialStart
		}
		// A raw block has no magic: all it begins with is the decompressed length.
		n, err := snappy.DecodedLen(body)
		return err == nil && int64(n) >= int64(records)*minimalRecordSize && n/maxSnappyRatio <= len(body)
	}
	return false
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// decompressor streams what body, compressed with c, holds: io.EOF at its end, ErrTooLarge after limit bytes, ErrCorrupt
// for what the codec did not make.
func (c Codec) decompressor(body []byte, limit int) (io.ReadCloser, error) {
	return c.bounded(body, limit, c.open)
}

// bounded is a decompressor that open makes.
func (c Codec) bounded(body []byte, limit int, open func(body []byte, limit int) (io.ReadCloser, error)) (io.ReadCloser, error) {
	if c == None {
		limit = len(body)
	}
	limit = max(limit, 0)
	if !c.looksLike(body, 0) {
		return nil, fmt.Errorf("%w: not a %s frame", ErrCorrupt, c)
	}
	r, err := open(body, limit)
	if err == io.EOF { // in the middle of what the codec puts first, where it is not the end of the records
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, codecError(c, err)
	}
	return &boundedReader{codec: c, r: r, left: limit}, nil
}

func (c Codec) open(body []byte, limit int) (io.ReadCloser, error) {
	switch c {
	case None:
		return io.NopCloser(bytes.NewReader(body)), nil
	case Gzip:
		return gzip.NewReader(bytes.NewReader(body))
	case LZ4:
		return io.NopCloser(lz4.NewReader(bytes.NewReader(body))), nil
	case Zstd:
		d, err := newZstdDecoder(bytes.NewReader(body), limit)
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case Snappy:
		if hasPrefix(body, xerialMagic) {
			return &snappyReader{blocks: body[min(xerialStart, len(body)):], limit: limit}, nil
		}
		return &snappyReader{raw: body, limit: limit}, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrCorrupt, c)
}

func newZstdDecoder(r io.Reader, limit int) (*zstd.Decoder, error) {
	window := uint64(min(max(limit, minZstdWindow), maxZstdWindow))
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(max(window, uint64(limit))))
}

func codecError(c Codec, err error) error {
	switch {
	case err == nil, err == io.EOF, errors.Is(err, ErrCorrupt), errors.Is(err, ErrTooLarge):
		return err
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("%w: %s: %w", ErrTooLarge, c, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, c, err)
}

// boundedReader is a decompressor that ends in ErrTooLarge after left bytes.
type boundedReader struct {
	codec Codec
	r     io.ReadCloser
	left  int
}

func (r *boundedReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(p) > r.left+1 { // one more than allowed tells "exactly full" from "too large"
		p = p[:r.left+1]
	}
	n, err := r.r.Read(p)
	if n > r.left {
		n, r.left = r.left, 0
		return n, ErrTooLarge
	}
	r.left -= n
	return n, codecError(r.codec, err)
}

func (r *boundedReader) Close() error { return r.r.Close() }

// snappyReader reads one raw snappy block, or the blocks of Java's framing: each an int32 length and a raw block.
type snappyReader struct {
	raw    []byte // the next block, if not nil
	blocks []byte // framed blocks after it
	limit  int    // bytes that a block may decompress to
	out    []byte // decompressed and not read yet
	buf    []byte
}

func (r *snappyReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *snappyReader) next() error {
	if r.raw == nil {
		if len(r.blocks) == 0 {
			return io.EOF
		}
		if len(r.blocks) < 4 {
			return io.ErrUnexpectedEOF
		}
		size := binary.BigEndian.Uint32(r.blocks)
		r.blocks = r.blocks[4:]
		if int64(size) > int64(len(r.blocks)) {
			return io.ErrUnexpectedEOF
		}
		r.raw, r.blocks = r.blocks[:size], r.blocks[size:]
	}
	n, err := snappy.DecodedLen(r.raw)
	if err != nil {
		return err
	}
	if n > r.limit {
		return ErrTooLarge
	}
	if n/maxSnappyRatio > len(r.raw) {
		return snappy.ErrCorrupt
	}
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	r.out, err = snappy.Decode(r.buf[:cap(r.buf)], r.raw)
	r.raw = nil
	return err
}

func (r *snappyReader) Close() error { return nil }

// Decompress returns all that body, compressed with c, holds. ErrTooLarge if that is more than limit bytes; ErrCorrupt.
func Decompress(c Codec, body []byte, limit int) ([]byte, error) {
	if c == None {
		if len(body) > limit {
			return nil, ErrTooLarge
		}
		return body, nil
	}
	r, err := c.decompressor(body, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}
