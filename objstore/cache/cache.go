// Package cache keeps blocks of immutable objects in memory.
package cache

import (
	"context"
	"errors"
	"fmt"
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

// blockID names an aligned block: bytes index*BlockBytes up to the next block or the object's end.
type blockID struct {
	key   string
	index int64
}

// share is a part of the cache with a bound of its own.
type share = otter.Cache[blockID, []byte]

// Cache reads through to a store, block by block. Objects are immutable, so a block never becomes wrong; it leaves when
// room is needed. A block that is being loaded is loaded once, however many ask for it. Errors are not kept.
//
// With a Zone, a block that belongs to another cache is asked of it, and only if that is no use, of the store. It is kept
// here, too, since the consumers of this broker mostly read the same bytes within seconds, and each would else cross the
// network for them. But such copies have a quarter of the room: the tail, which many read at once, fits into that, and if
// copies had all of it, a zone of ten brokers would keep hardly more different bytes than one broker does. With three
// quarters for what each owns, a zone of n brokers keeps 3n/4 times the bytes of one. Larger copies would help only
// consumers that read old data again and again through brokers that do not own it.
type Cache struct {
	store  Getter
	zone   Zone // nil: there is none
	opts   Options
	own    *share
	copies *share // of other caches' blocks; nil without a Zone

	mu          sync.Mutex
	loading     map[blockID]*flight // from the store
	asked       map[blockID]*flight // from the owner; see ask
	loads       map[*load]struct{}
	prefetching int64                // bytes of loads that Prefetch began
	distrusted  map[string]time.Time // keys, and when they were forgotten
	closed      bool
	running     sync.WaitGroup // loads

	hits, misses, joined, fromPeers, gets, getBytes, failures, dropped, forgotten atomic.Int64
}

// New returns an empty cache of the store's objects.
func New(store Getter, opts Options) (*Cache, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	c := &Cache{
		store:      store,
		zone:       opts.Zone,
		opts:       opts,
		loading:    make(map[blockID]*flight),
		asked:      make(map[blockID]*flight),
		loads:      make(map[*load]struct{}),
		distrusted: make(map[string]time.Time),
	}
	var err error
	room := opts.Bytes
	if c.zone != nil {
		if c.copies, err = newShare(room / copiesPart); err != nil {
			return nil, err
		}
		room -= room / copiesPart
	}
	if c.own, err = newShare(room); err != nil {
		return nil, err
	}
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(newMetrics(c))
	}
	return c, nil
}

// copiesPart of the room is for copies, if there is a Zone.
const copiesPart = 4

func newShare(bytes int64) (*share, error) {
	blocks, err := otter.New(&otter.Options[blockID, []byte]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(id blockID, block []byte) uint32 { return uint32(len(id.key) + len(block) + entryOverhead) },
	})
	if err != nil {
		return nil, fmt.Errorf("block cache: %w", err)
	}
	return blocks, nil
}

func (c *Cache) shares() []*share {
	if c.copies == nil {
		return []*share{c.own}
	}
	return []*share{c.own, c.copies}
}

// held returns a block of an object, nil if it is not here. One that is shorter than it should be, because somebody took
// the object for smaller, is not.
func (c *Cache) held(id blockID, objectSize int64) []byte {
	block, ok := c.own.GetIfPresent(id)
	if !ok && c.copies != nil {
		block, _ = c.copies.GetIfPresent(id)
	}
	if int64(len(block)) < c.blockLength(objectSize, id.index) {
		return nil
	}
	return block
}

// present is held without counting as a use.
func (c *Cache) present(id blockID, objectSize int64) bool {
	entry, ok := c.own.GetEntryQuietly(id)
	if !ok && c.copies != nil {
		entry, ok = c.copies.GetEntryQuietly(id)
	}
	return ok && int64(len(entry.Value)) >= c.blockLength(objectSize, id.index)
}

// keep puts a block into its share. What came from a peer while the object was forgotten is not kept.
func (c *Cache) keep(l *load, id blockID, block []byte) {
	if l.owner != "" {
		c.mu.Lock()
		doubtful := c.distrusts(l.key)
		c.mu.Unlock()
		if doubtful {
			return
		}
	}
	if l.copies {
		c.copies.Set(id, block)
		return
	}
	c.own.Set(id, block)
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

// Read returns length bytes of an object from offset, fewer if the object ends before, as slices in order. They refer to
// cached memory, which others read too: callers must not write to it. It stays valid as long as they hold it.
//
// objectSize is the object's size, which the caller knows from metadata; blocks are cut to it. Errors are those of the
// store's Get, ErrClosed, and ctx's: a Read that ends early leaves the loads it began to go on for others.
func (c *Cache) Read(ctx context.Context, key string, objectSize, offset, length int64) ([][]byte, error) {
	return c.read(ctx, want{key: key, objectSize: objectSize, counted: true}, offset, length, nil)
}

// read calls missing, if that is not nil, before it waits.
func (c *Cache) read(ctx context.Context, w want, offset, length int64, missing func()) ([][]byte, error) {
	if offset < 0 || offset >= w.objectSize || length < 0 {
		return nil, fmt.Errorf("read %s: bytes %d+%d of %d: %w", w.key, offset, length, w.objectSize, objstore.ErrRange)
	}
	end := offset + min(length, w.objectSize-offset)
	if offset == end {
		return nil, nil
	}
	size := int64(c.opts.BlockBytes)
	first, last := offset/size, (end-1)/size
	blocks := make([][]byte, last-first+1)
	all := true
	for i := range blocks {
		blocks[i] = c.held(blockID{w.key, first + int64(i)}, w.objectSize)
		all = all && blocks[i] != nil
	}
	if !all {
		if missing != nil {
			missing()
		}
		if err := c.fill(ctx, w, first, blocks); err != nil {
			return nil, fmt.Errorf("read %s: %w", w.key, err)
		}
	} else if w.counted {
		c.hits.Add(int64(len(blocks)))
	}
	for i := range blocks {
		if int64(len(blocks[i])) < c.blockLength(w.objectSize, first+int64(i)) {
			return nil, fmt.Errorf("read %s: %w: block %d has %d bytes", w.key, errShort, first+int64(i), len(blocks[i]))
		}
	}
	blocks[len(blocks)-1] = blocks[len(blocks)-1][: end-last*size : end-last*size]
	blocks[0] = blocks[0][offset-first*size:]
	return blocks, nil
}

// blockLength is how long a block of an object of the given size is.
func (c *Cache) blockLength(objectSize, index int64) int64 {
	size := int64(c.opts.BlockBytes)
	return min(size, objectSize-index*size)
}

// extentBlocks is how many blocks an extent has.
func (c *Cache) extentBlocks() int64 { return int64(c.opts.GetBytes / c.opts.BlockBytes) }
