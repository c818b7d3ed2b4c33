package readahead

import (
	"context"

	"github.com/runnel-io/runnel/objstore"
)

// Hold is what one reader has of the pool, until Release. It is not for concurrent use.
type Hold struct {
	pool   *Pool
	chunks map[*chunk]struct{}
}

// Hold begins to read.
func (p *Pool) Hold() *Hold { return &Hold{pool: p} }

// Load begins to load ranges of an object that Read will ask for. For most see Pool.Ahead.
func (h *Hold) Load(key string, ranges []objstore.Range, most int64) {
	p := h.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	h.load(key, ranges, most)
}

func (h *Hold) load(key string, ranges []objstore.Range, most int64) {
	p := h.pool
	for _, r := range ranges {
		for _, c := range p.over(key, r) {
			h.keep(c)
		}
	}
	for _, r := range p.plan(key, ranges, p.getBytes(most)) {
		if p.closed {
			return
		}
		p.makeRoom(r.Length, false)
		h.keep(p.begin(key, r, false))
	}
}

func (h *Hold) keep(c *chunk) {
	if _, ok := h.chunks[c]; ok {
		return
	}
	if h.chunks == nil {
		h.chunks = make(map[*chunk]struct{})
	}
	h.chunks[c] = struct{}{}
	h.pool.hold(c)
	h.pool.arrived(c)
}

// Read returns a range of an object, as slices in order, loading what is not there. The memory is shared with other
// readers, not to be modified, and the caller's to look at until Release. Errors are those of the store's Get, ErrClosed,
// and ctx's: a Read that ends early leaves the loads to go on for others.
func (h *Hold) Read(ctx context.Context, key string, r objstore.Range) ([][]byte, error) {
	if r.Length <= 0 {
		return nil, nil
	}
	p := h.pool
	p.mu.Lock()
	h.load(key, []objstore.Range{r}, 0)
	found := append([]*chunk(nil), p.over(key, r)...)
	closed := p.closed && len(p.missing(key, r)) > 0
	p.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	parts := make([][]byte, 0, len(found))
	for _, c := range found {
		if err := c.wait(ctx); err != nil {
			return nil, err
		}
		if c.err != nil {
			return nil, c.err
		}
		from, to := max(r.Offset, c.from), min(r.End(), c.end())
		parts = append(parts, c.buf[from-c.from:to-c.from:to-c.from])
	}
	p.metrics.served.Add(float64(r.Length))
	return parts, nil
}

// wait waits for the end of the load. One that has ended has ended also if ctx has.
func (c *chunk) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return nil
	default:
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready tells whether Read would not wait for a range.
func (h *Hold) Ready(key string, r objstore.Range) bool {
	p := h.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.over(key, r) {
		select {
		case <-c.done:
		default:
			return false
		}
	}
	return len(p.missing(key, r)) == 0
}

// Spent says that the reader is done with a range, for good. It stays readable until Release.
func (h *Hold) Spent(key string, r objstore.Range) {
	p := h.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.over(key, r) {
		c.read += min(r.End(), c.end()) - max(r.Offset, c.from)
	}
}

// Bytes is the memory that the reader keeps.
func (h *Hold) Bytes() (n int64) {
	for c := range h.chunks {
		n += int64(cap(c.buf)) // which does not change while it is held
	}
	return n
}

// Release gives everything back. What Read returned must not be looked at any more.
func (h *Hold) Release() {
	if len(h.chunks) == 0 {
		return
	}
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	for c := range h.chunks {
		h.pool.letGo(c)
	}
	h.chunks = nil
	h.pool.makeRoom(0, false) // what was needed may have been more than the bound
}
