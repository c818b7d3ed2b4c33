package objstore

import "context"

// Range is a part of an object.
type Range struct {
	Offset, Length int64 // bytes
}

// End is where the range ends.
func (r Range) End() int64 { return r.Offset + r.Length }

// Getter reads ranges of objects; a Store does.
type Getter interface {
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
}

// IntoGetter is a Getter that can read into memory which its caller has and uses again.
type IntoGetter interface {
	// GetInto fills buf with the bytes from offset on, fewer if the object ends before, and returns how many. Errors are
	// those of Get; buf holds anything then. It is not written to after the return.
	GetInto(ctx context.Context, key string, offset int64, buf []byte) (int, error)
}

// GetInto reads into buf, by way of a copy if the getter knows no better.
func GetInto(ctx context.Context, g Getter, key string, offset int64, buf []byte) (int, error) {
	if into, ok := g.(IntoGetter); ok {
		return into.GetInto(ctx, key, offset, buf)
	}
	data, err := g.Get(ctx, key, offset, int64(len(buf)))
	if err != nil {
		return 0, err
	}
	return copy(buf, data), nil
}
