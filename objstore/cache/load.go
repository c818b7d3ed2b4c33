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

// want is what somebody needs of an object.
type want struct {
	key        string
	objectSize int64
	through    bool // from the store, whoever owns it
	copies     bool // it is kept as another cache's
	counted    bool // in the statistics of Reads
	prefetch   bool // nobody waits for it yet
}

// load is one request, to the store or to the owner, for adjacent blocks.
type load struct {
	want
	owner   string // whom to ask; "": the store
	extent  int64  // that all blocks lie in, if there is a Zone
	first   int64  // index of the first block
	offset  int64  // of the first block in the object
	length  int64  // of all blocks
	flights []*flight
	cancel  context.CancelFunc
}

// fill replaces the nils in blocks, which begin at index first. It waits for all that are being loaded, by this call or
// by others, or for ctx.
func (c *Cache) fill(ctx context.Context, w want, first int64, blocks [][]byte) error {
	waits, err := c.begin(ctx, w, first, blocks)
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

// begin returns the flight of every block that is nil, having begun those that nobody had, and fills in those that are
// here by now.
func (c *Cache) begin(ctx context.Context, w want, first int64, blocks [][]byte) ([]*flight, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	waits := make([]*flight, len(blocks))
	p := plan{cache: c, want: w}
	for i := range blocks {
		index := first + int64(i)
		if blocks[i] == nil {
			// A load that has ended since put its block into the cache before it left c.loading.
			blocks[i] = c.held(blockID{w.key, index}, w.objectSize)
		}
		if blocks[i] != nil {
			p.count(&c.hits)
			p.start(ctx)
			continue
		}
		waits[i] = p.add(ctx, index)
	}
	p.start(ctx)
	return waits, nil
}

// flight returns that of a block, nil if nobody loads it. c.mu is held.
func (c *Cache) flight(id blockID, through bool) *flight {
	if f := c.loading[id]; f != nil || through {
		return f
	}
	return c.asked[id]
}

// run makes the request of a load.
func (c *Cache) run(ctx context.Context, l *load) {
	defer l.cancel()
	if l.owner != "" {
		c.ask(ctx, l)
		return
	}
	c.gets.Add(1)
	data, err := c.store.Get(ctx, l.key, l.offset, l.length)
	c.getBytes.Add(int64(len(data)))
	if err == nil && int64(len(data)) != l.length {
		err = fmt.Errorf("%w: %d bytes of %d from %d", errShort, len(data), l.length, l.offset)
	}
	if err != nil {
		c.failures.Add(1)
		c.land(l, nil, err)
		return
	}
	blocks := make([][]byte, len(l.flights))
	for i := range blocks {
		blocks[i] = c.cut(data, i, len(blocks))
		c.keep(l, blockID{l.key, l.first + int64(i)}, blocks[i])
	}
	c.land(l, blocks, nil)
}

// land ends a load, whose blocks are kept by now, and wakes who waits for them.
func (c *Cache) land(l *load, blocks [][]byte, err error) {
	if err != nil {
		err = c.cause(err)
	}
	for i, f := range l.flights {
		if f.err = err; err == nil {
			f.block = blocks[i]
		}
	}
	flying := c.loading
	if l.owner != "" {
		flying = c.asked
	}
	c.mu.Lock()
	delete(c.loads, l)
	for i := range l.flights {
		delete(flying, blockID{l.key, l.first + int64(i)})
	}
	if l.prefetch {
		c.prefetching -= l.length
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
