package cache

import (
	"context"
	"slices"

	"github.com/runnel-io/runnel/objstore"
)

// Prefetch begins to load what is missing of several ranges of an object, in as few requests as a Read of all of them
// would take, and does not wait. What is outside the object is left out. It is a hint: beyond Options.PrefetchBytes in
// flight nothing is begun, and errors are told to the Read that needs the bytes. The loads go on when ctx ends; Close
// waits for them.
func (c *Cache) Prefetch(ctx context.Context, key string, objectSize int64, ranges []objstore.Range) {
	ordered := slices.SortedFunc(slices.Values(ranges), func(a, b objstore.Range) int { return int(min(max(a.Offset-b.Offset, -1), 1)) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || ctx.Err() != nil {
		return
	}
	p := plan{cache: c, want: want{key: key, objectSize: objectSize, prefetch: true}}
	next := int64(0) // blocks before were looked at
	for _, r := range ordered {
		first, end := c.span(objectSize, r.Offset, r.Length)
		for index := max(first, next); index < end; index++ {
			if !c.prefetch(ctx, &p, index) {
				p.start(ctx)
				return
			}
		}
		next = max(next, end)
	}
	p.start(ctx)
}

// prefetch begins to load a block that is missing; false if too much is in flight. c.mu is held.
func (c *Cache) prefetch(ctx context.Context, p *plan, index int64) bool {
	id := blockID{p.key, index}
	if c.held(id, p.objectSize) != nil || c.flight(id, false) != nil {
		return true
	}
	flying := c.prefetching + c.blockLength(p.objectSize, index)
	if p.open != nil {
		flying += p.open.length
	}
	if flying > c.opts.PrefetchBytes {
		c.dropped.Add(1)
		return false
	}
	p.add(ctx, index)
	return true
}

// Present tells whether a Read of these bytes would need no I/O now. It does not count as a use of them.
func (c *Cache) Present(key string, objectSize, offset, length int64) bool {
	first, end := c.span(objectSize, offset, length)
	for index := first; index < end; index++ {
		if !c.present(blockID{key, index}, objectSize) {
			return false
		}
	}
	return true
}

// span is the blocks of a range, from first to before end, as far as it is inside the object.
func (c *Cache) span(objectSize, offset, length int64) (first, end int64) {
	size := int64(c.opts.BlockBytes)
	if offset < 0 || offset >= objectSize || length <= 0 {
		return 0, 0
	}
	last := offset + min(length, objectSize-offset) - 1
	return offset / size, last/size + 1
}
