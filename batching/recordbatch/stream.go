package recordbatch

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// stream compresses what is written, part by part, onto out. It is for what is large: nothing of it is kept for the next.
func (c Compression) stream(out *bytes.Buffer) (io.WriteCloser, error) {
	switch c.Codec {
	case Gzip:
		return gzip.NewWriterLevel(out, c.Level)
	case LZ4:
		return c.lz4(out)
	case Zstd:
		return zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(zstdWindow), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(c.Level)))
	case Snappy:
		return newSnappyWriter(out), nil
	}
	return plainWriter{out}, nil
}

// plainWriter compresses nothing.
type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

// snappyWriter writes the framing of Java's snappy streams.
type snappyWriter struct {
	out  *bytes.Buffer
	left []byte // less than a block
	made []byte
}

func newSnappyWriter(out *bytes.Buffer) *snappyWriter {
	beginSnappy(out)
	return &snappyWriter{out: out}
}

func (w *snappyWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(w.left) == 0 && len(p) >= snappyBlock {
			w.made = appendSnappyBlock(w.out, w.made, p[:snappyBlock])
			p = p[snappyBlock:]
			continue
		}
		part := p[:min(len(p), snappyBlock-len(w.left))]
		w.left, p = append(w.left, part...), p[len(part):]
		if len(w.left) == snappyBlock {
			_ = w.Close()
		}
	}
	return n, nil
}

// Close writes what is left.
func (w *snappyWriter) Close() error {
	if len(w.left) > 0 {
		w.made = appendSnappyBlock(w.out, w.made, w.left)
		w.left = w.left[:0]
	}
	return nil
}
