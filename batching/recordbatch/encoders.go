package recordbatch

import (
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Encoders are kept for the next batch, by level, until the garbage collector finds them idle: however small a batch is, a
// new zstd encoder makes tables of a megabyte (at the best level 35), and one of gzip almost as much. There are never more of a level
// than batches that are compressed at a time.
var (
	zstdEncoders [zstd.SpeedBestCompression + 1]sync.Pool
	gzipWriters  [gzip.BestCompression - gzip.HuffmanOnly + 1]sync.Pool
)

// zstdWindow is how far back zstd refers at most: an encoder of large batches keeps as much in memory. Frames of smaller
// ones tell decoders to keep no more than their size.
const zstdWindow = 1 << 20

// appendZstd appends what body is when compressed at a level of Kafka's.
func appendZstd(dst, body []byte, level int) ([]byte, error) {
	speed := zstd.EncoderLevelFromZstd(level)
	pool := &zstdEncoders[speed]
	e, ok := pool.Get().(*zstd.Encoder)
	if !ok {
		var err error
		if e, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true),
			zstd.WithWindowSize(zstdWindow), zstd.WithEncoderLevel(speed)); err != nil {
			return nil, err
		}
	}
	defer pool.Put(e)
	return e.EncodeAll(body, dst), nil
}

// writeGzip compresses body onto out.
func writeGzip(out io.Writer, body []byte, level int) error {
	if level < gzip.HuffmanOnly || level > gzip.BestCompression {
		_, err := gzip.NewWriterLevel(out, level)
		return err
	}
	pool := &gzipWriters[level-gzip.HuffmanOnly]
	w, ok := pool.Get().(*gzip.Writer)
	if !ok {
		var err error
		if w, err = gzip.NewWriterLevel(nil, level); err != nil {
			return err
		}
	}
	defer func() {
		w.Reset(nil) // a kept writer keeps nobody's batch
		pool.Put(w)
	}()
	w.Reset(out)
	if _, err := w.Write(body); err != nil {
		return err
	}
	return w.Close()
}
