package cache

import (
	"context"
	"errors"
	"fmt"
)

// errShort: an object is shorter than metadata says.
var errShort = errors.New("object shorter than expected")

// flight is a block being loaded. block and err are set before done is closed, and not changed after.
type flight struct {
	done  chan struct{}
	block []byte
	err   error
}

// load is one GET of adjacent blocks.
type load struct {
	key     string
	first   int64 // index of the first block
	offset  int64 // of the first block in the object
	length  int64 // of all blocks
	flights []*flight
	cancel  context.CancelFunc
}

// fill replaces the nils in blocks, which begin at index first. It waits for all that are being loaded, by this call or
// by others, or for ctx.
func (c *Cache) fill(ctx context.Context, key string, objectSize, first int64, blocks [][]byte) error {
	waits, err := c.begin(ctx, key, objectSize, first, blocks)
	if err != nil {
		return err
	}
	for i, f := range waits {
		if f == nil {
			continue
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if f.err != nil {
			return f.err
		}
		blocks[i] = f.block
	}
	return nil
}

// begin returns the flight of every block that is nil, having begun those that nobody had.
func (c *Cache) begin(ctx context.Context, key string, objectSize, first int64, blocks [][]byte) ([]*flight, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	waits := make([]*flight, len(blocks))
	var open *load // the load that the next missing block joins if it is adjacent
	for i := range blocks {
		id := blockID{key, first + int64(i)}
		if blocks[i] == nil {
			// A load that has ended since put its block into the cache before it left c.loading.
			blocks[i], _ = c.blocks.GetIfPresent(id)
		}
		if blocks[i] != nil {
			c.hits.Add(1)
			open = c.start(ctx, open)
			continue
		}
		if f := c.loading[id]; f != nil {
			c.joined.Add(1)
			waits[i] = f
			open = c.start(ctx, open)
			continue
		}
		c.misses.Add(1)
		length := c.blockLength(objectSize, id.index)
		if open != nil && open.length+length > int64(c.opts.GetBytes) {
			open = c.start(ctx, open)
		}
		if open == nil {
			open = &load{key: key, first: id.index, offset: id.index * int64(c.opts.BlockBytes)}
		}
		f := &flight{done: make(chan struct{})}
		open.length += length
		open.flights = append(open.flights, f)
		c.loading[id], waits[i] = f, f
	}
	c.start(ctx, open)
	return waits, nil
}

// start sends a load off, if there is one, and returns nil. c.mu is held.
func (c *Cache) start(ctx context.Context, l *load) *load {
	if l == nil {
		return nil
	}
	ctx, l.cancel = context.WithTimeout(context.WithoutCancel(ctx), c.opts.LoadTimeout)
	c.loads[l] = struct{}{}
	c.running.Go(func() { c.run(ctx, l) })
	return nil
}

// run does the GET, keeps the blocks and wakes who waits for them.
func (c *Cache) run(ctx context.Context, l *load) {
	defer l.cancel()
	c.gets.Add(1)
	data, err := c.store.Get(ctx, l.key, l.offset, l.length)
	c.getBytes.Add(int64(len(data)))
	if err == nil && int64(len(data)) != l.length {
		err = fmt.Errorf("%w: %d bytes of %d from %d", errShort, len(data), l.length, l.offset)
	}
	if err != nil {
		c.failures.Add(1)
		err = c.cause(err)
	}
	for i, f := range l.flights {
		if f.err = err; err == nil {
			f.block = c.cut(data, i, len(l.flights))
			c.blocks.Set(blockID{l.key, l.first + int64(i)}, f.block)
		}
	}
	c.mu.Lock()
	delete(c.loads, l)
	for i := range l.flights {
		delete(c.loading, blockID{l.key, l.first + int64(i)})
	}
	c.mu.Unlock()
	for _, f := range l.flights {
		close(f.done)
	}
}

// cause is ErrClosed for a load that Close ended: nobody who waits for it has been cancelled.
func (c *Cache) cause(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed && errors.Is(err, context.Canceled) {
		return ErrClosed
	}
	return err
}

// cut returns the i-th of n blocks of data. Several are copied: a block that shared its array with others would keep all
// of it alive after they were evicted, and the cache's bound would not hold.
func (c *Cache) cut(data []byte, i, n int) []byte {
	if n == 1 {
		return data
	}
	begin := i * c.opts.BlockBytes
	part := data[begin:min(begin+c.opts.BlockBytes, len(data))]
	block := make([]byte, len(part))
	copy(block, part)
	return block
}
