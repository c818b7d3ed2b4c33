// Package cache keeps blocks of immutable objects in memory.
package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/runnel-io/runnel/objstore"
)

// Getter is what the cache needs of a store.
type Getter interface {
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
}

// ErrClosed is what Read returns, for blocks that are not cached, after Close.
var ErrClosed = errors.New("block cache closed")

// entryOverhead is what an entry is taken to cost beside its block: the key, the node, the slice header.
const entryOverhead = 256

// Options of a Cache. The zero value is the default.
type Options struct {
	// Bytes bounds the blocks kept. Blocks being loaded, and evicted ones that readers still hold, come on top.
	// Default 256 MiB.
	Bytes int64
	// BlockBytes is the size of a block; the last one of an object is smaller. Default 1 MiB.
	BlockBytes int
	// GetBytes bounds one GET, which loads adjacent missing blocks; at least BlockBytes. Default 4 MiB.
	GetBytes int
	// LoadTimeout bounds one GET. It does not end with the Read that began it. Default 60 s.
	LoadTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.Bytes == 0 {
		o.Bytes = 256 << 20
	}
	if o.BlockBytes == 0 {
		o.BlockBytes = 1 << 20
	}
	if o.GetBytes == 0 {
		o.GetBytes = max(4<<20, o.BlockBytes)
	}
	if o.LoadTimeout == 0 {
		o.LoadTimeout = time.Minute
	}
	return o
}

func (o Options) validate() error {
	switch {
	case o.BlockBytes < 1 || o.BlockBytes > math.MaxInt32:
		return fmt.Errorf("block cache: blocks of %d bytes", o.BlockBytes)
	case o.GetBytes < o.BlockBytes:
		return fmt.Errorf("block cache: GETs of %d bytes are smaller than a block of %d", o.GetBytes, o.BlockBytes)
	case o.Bytes < int64(o.BlockBytes)+entryOverhead:
		return fmt.Errorf("block cache: %d bytes hold no block of %d", o.Bytes, o.BlockBytes)
	case o.LoadTimeout < 0:
		return fmt.Errorf("block cache: load timeout %v", o.LoadTimeout)
	}
	return nil
}

// blockID names an aligned block: bytes index*BlockBytes up to the next block or the object's end.
type blockID struct {
	key   string
	index int64
}

// Cache reads through to a store, block by block. Objects are immutable, so a block never becomes wrong; it leaves when
// room is needed. A block that is being loaded is loaded once, however many ask for it. Errors are not kept.
type Cache struct {
	store  Getter
	opts   Options
	blocks *otter.Cache[blockID, []byte]

	mu      sync.Mutex
	loading map[blockID]*flight
	loads   map[*load]struct{}
	closed  bool
	running sync.WaitGroup // loads

	hits, misses, joined, gets, getBytes, failures atomic.Int64
}

// New returns an empty cache of the store's objects.
func New(store Getter, opts Options) (*Cache, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	blocks, err := otter.New(&otter.Options[blockID, []byte]{
		MaximumWeight: uint64(opts.Bytes),
		Weigher:       func(id blockID, block []byte) uint32 { return uint32(len(id.key) + len(block) + entryOverhead) },
	})
	if err != nil {
		return nil, fmt.Errorf("block cache: %w", err)
	}
	return &Cache{
		store:   store,
		opts:    opts,
		blocks:  blocks,
		loading: make(map[blockID]*flight),
		loads:   make(map[*load]struct{}),
	}, nil
}

// Close ends the loads under way and waits for them. Blocks stay readable.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	for l := range c.loads {
		l.cancel()
	}
	c.mu.Unlock()
	c.running.Wait()
	return nil
}

// Stats are counts since New, except Bytes.
type Stats struct {
	Hits     int64 // blocks found in the cache
	Misses   int64 // blocks loaded
	Joined   int64 // blocks that another Read was loading already
	Gets     int64 // GETs sent to the store
	GetBytes int64 // bytes they returned
	Failures int64 // GETs that failed
	Bytes    int64 // held now, overhead included
}

// Stats returns the counts. They are read one by one, not at one instant.
func (c *Cache) Stats() Stats {
	return Stats{
		Hits:     c.hits.Load(),
		Misses:   c.misses.Load(),
		Joined:   c.joined.Load(),
		Gets:     c.gets.Load(),
		GetBytes: c.getBytes.Load(),
		Failures: c.failures.Load(),
		Bytes:    int64(c.blocks.WeightedSize()),
	}
}

// Read returns length bytes of an object from offset, fewer if the object ends before, as slices in order. They refer to
// cached memory, which others read too: callers must not write to it. It stays valid as long as they hold it.
//
// objectSize is the object's size, which the caller knows from metadata; blocks are cut to it. Errors are those of the
// store's Get, ErrClosed, and ctx's: a Read that ends early leaves the loads it began to go on for others.
func (c *Cache) Read(ctx context.Context, key string, objectSize, offset, length int64) ([][]byte, error) {
	if offset < 0 || offset >= objectSize || length < 0 {
		return nil, fmt.Errorf("read %s: bytes %d+%d of %d: %w", key, offset, length, objectSize, objstore.ErrRange)
	}
	end := offset + min(length, objectSize-offset)
	if offset == end {
		return nil, nil
	}
	size := int64(c.opts.BlockBytes)
	first, last := offset/size, (end-1)/size
	blocks := make([][]byte, last-first+1)
	missing := false
	for i := range blocks {
		block, ok := c.blocks.GetIfPresent(blockID{key, first + int64(i)})
		blocks[i] = block
		missing = missing || !ok
	}
	if missing {
		if err := c.fill(ctx, key, objectSize, first, blocks); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
	} else {
		c.hits.Add(int64(len(blocks)))
	}
	for i := range blocks {
		if int64(len(blocks[i])) < c.blockLength(objectSize, first+int64(i)) {
			return nil, fmt.Errorf("read %s: %w: block %d has %d bytes", key, errShort, first+int64(i), len(blocks[i]))
		}
	}
	blocks[len(blocks)-1] = blocks[len(blocks)-1][: end-last*size : end-last*size]
	blocks[0] = blocks[0][offset-first*size:]
	return blocks, nil
}

// Prefetch begins to load the blocks of some ranges of an object that are not here. It does not wait.
func (c *Cache) Prefetch(ctx context.Context, key string, objectSize int64, ranges []objstore.Range) {
	for _, r := range ranges {
		if r.Offset < 0 || r.Length <= 0 || r.End() > objectSize {
			continue
		}
		first, last := r.Offset/int64(c.opts.BlockBytes), (r.End()-1)/int64(c.opts.BlockBytes)
		_, _ = c.begin(ctx, key, objectSize, first, make([][]byte, last-first+1))
	}
}

// blockLength is how long a block of an object of the given size is.
func (c *Cache) blockLength(objectSize, index int64) int64 {
	size := int64(c.opts.BlockBytes)
	return min(size, objectSize-index*size)
}

// Forget drops the blocks of an object.
func (c *Cache) Forget(key string) {
	for id := range c.blocks.Keys() {
		if id.key == key {
			c.blocks.Invalidate(id)
		}
	}
}
