package objstore

import (
	"context"
	"io"
)

// Pace waits until so many bytes may be read.
type Pace func(ctx context.Context, bytes int) error

type paceKey struct{}

// pacePiece is how much is read at a time at a pace: so much is copied in a fraction of a millisecond.
const pacePiece = 128 << 10

// WithPace makes GETs ask before each piece that they read of an answer. The store that sends it is slowed down by that as
// soon as the buffers between are full.
func WithPace(ctx context.Context, pace Pace) context.Context {
	return context.WithValue(ctx, paceKey{}, pace)
}

// paceOf returns nil if there is none.
func paceOf(ctx context.Context) Pace {
	pace, _ := ctx.Value(paceKey{}).(Pace)
	return pace
}

// ReadFull is io.ReadFull, at the pace that ctx has.
func ReadFull(ctx context.Context, r io.Reader, buf []byte) (n int, err error) {
	pace := paceOf(ctx)
	if pace == nil {
		return io.ReadFull(r, buf)
	}
	for n < len(buf) {
		piece := min(len(buf)-n, pacePiece)
		if err := pace(ctx, piece); err != nil {
			return n, err
		}
		read, err := io.ReadFull(r, buf[n:n+piece])
		n += read
		if err == io.EOF && n > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
