package recordbatch

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// decoders are used again from batch to batch: a new one costs more than a small batch is worth. The zero value is ready.
type decoders struct {
	gzip  *gzip.Reader
	lz4   *lz4.Reader
	zstd  *zstd.Decoder
	limit int // that zstd was made for
	in    bytes.Reader
}

// open streams what body, compressed with c, holds, as decompressor does, until the next call.
func (d *decoders) open(c Codec, body []byte, limit int) (io.Reader, error) {
	return c.bounded(body, limit, func(body []byte, limit int) (io.ReadCloser, error) {
		r, err := d.reuse(c, body, limit)
		if err != nil || r == nil {
			return c.open(body, limit)
		}
		return io.NopCloser(r), nil
	})
}

// reuse returns nil for a codec that has nothing to keep.
func (d *decoders) reuse(c Codec, body []byte, limit int) (r io.Reader, err error) {
	d.in.Reset(body)
	switch c {
	case Gzip:
		if d.gzip == nil {
			d.gzip = new(gzip.Reader)
		}
		return d.gzip, d.gzip.Reset(&d.in)
	case LZ4:
		if d.lz4 == nil {
			d.lz4 = lz4.NewReader(nil)
		}
		d.lz4.Reset(&d.in)
		return d.lz4, nil
	case Zstd:
		if d.zstd == nil || d.limit != limit {
			if d.zstd, err = newZstdDecoder(nil, limit); err != nil {
				return nil, err
			}
			d.limit = limit
		}
		return d.zstd, d.zstd.Reset(&d.in)
	}
	return nil, nil
}
