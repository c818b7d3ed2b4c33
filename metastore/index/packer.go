package index

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/klauspost/compress/zstd"
)

// partBytes is the length of the pieces that compressed bytes are kept in, so that they need not be moved as they grow.
const partBytes = 1 << 20

// packer compresses a stream into pieces of memory.
type packer struct {
	encoder *zstd.Encoder
	pieces  pieces
	sum     hash.Hash // of what was written
	length  int64     // of what was written
}

func newPacker() (*packer, error) {
	p := &packer{sum: sha256.New()}
	var err error
	p.encoder, err = zstd.NewWriter(&p.pieces, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(window), zstd.WithZeroFrames(true))
	return p, err
}

func (p *packer) write(b []byte) error {
	if p.length += int64(len(b)); p.length > maxPart {
		return fmt.Errorf("%w: more than %d bytes in one part", ErrTooLarge, int64(maxPart))
	}
	p.sum.Write(b)
	_, err := p.encoder.Write(b)
	return err
}

// finish ends the stream and returns it.
func (p *packer) finish() ([][]byte, error) {
	err := p.encoder.Close()
	return p.pieces, err
}

// close gives up what was not finished.
func (p *packer) close() { p.encoder.Reset(nil) }

// pieces takes what is written to it.
type pieces [][]byte

func (p *pieces) Write(b []byte) (int, error) {
	written := len(b)
	for len(b) > 0 {
		if n := len(*p); n == 0 || len((*p)[n-1]) == cap((*p)[n-1]) {
			*p = append(*p, make([]byte, 0, partBytes))
		}
		last := &(*p)[len(*p)-1]
		n := min(len(b), cap(*last)-len(*last))
		*last = append(*last, b[:n]...)
		b = b[n:]
	}
	return written, nil
}
