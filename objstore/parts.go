package objstore

import (
	"errors"
	"io"
	"sync"
)

// Size returns the sum of the parts' lengths.
func Size(parts [][]byte) int64 {
	var n int64
	for _, part := range parts {
		n += int64(len(part))
	}
	return n
}

var (
	errNegativeSeek = errors.New("seek before the start of the parts")
	errBadWhence    = errors.New("seek with an unknown whence")
)

// PartsReader presents parts as one stream of known size, without copying them together. Every attempt to send the
// parts makes its own: a reader has one position. It may be closed while another goroutine reads.
type PartsReader struct {
	mu     sync.Mutex
	parts  [][]byte
	size   int64
	pos    int64 // in the stream; may be past the end, as Seek allows
	part   int   // index of the part that holds pos
	within int   // pos inside that part
	closed bool
}

// NewPartsReader returns a reader at the start of parts. It refers to parts until Close.
func NewPartsReader(parts [][]byte) *PartsReader {
	return &PartsReader{parts: parts, size: Size(parts)}
}

// Size returns the length of the whole stream in bytes.
func (r *PartsReader) Size() int64 { return r.size }

// Read implements io.Reader.
func (r *PartsReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, io.ErrClosedPipe
	}
	n := 0
	for n < len(p) && r.part < len(r.parts) {
		c := copy(p[n:], r.parts[r.part][r.within:])
		n += c
		r.within += c
		if r.within == len(r.parts[r.part]) {
			r.part, r.within = r.part+1, 0
		}
	}
	r.pos += int64(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Seek implements io.Seeker.
func (r *PartsReader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, errBadWhence
	}
	if offset < 0 {
		return 0, errNegativeSeek
	}
	r.pos, r.part, r.within = offset, 0, 0
	for rest := offset; r.part < len(r.parts); r.part++ {
		if rest < int64(len(r.parts[r.part])) {
			r.within = int(rest)
			break
		}
		rest -= int64(len(r.parts[r.part]))
	}
	return offset, nil
}

// Close drops the parts: once it has returned, no Read touches them. net/http may go on reading a request body after
// the request has failed, so a Put that must not keep its parts closes their reader before it returns.
func (r *PartsReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts, r.closed = nil, true
	return nil
}
