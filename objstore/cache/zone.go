package cache

import "context"

// Zone is the caches of other brokers that are near. It divides objects into extents of Options.GetBytes, each of which
// one of the caches loads from the store on behalf of all. All methods may run concurrently.
type Zone interface {
	// Owner names the cache that an extent belongs to, "" if that is this one, or none can be asked. It does not wait.
	Owner(key string, extent int64) string
	// Ask fills dst with bytes of an object from offset, all within one extent, that the owner has or loads. Any error is
	// a miss. late is called once if the answer takes so long that the store is to be asked beside it. Ask has a bound of
	// its own, and returns soon after ctx ended; it does not write to dst then.
	Ask(ctx context.Context, owner string, r Request, dst [][]byte, late func()) error
}

// Request names bytes of an object.
type Request struct {
	Key        string
	ObjectSize int64
	Offset     int64
	Length     int64
}

// ask lets the owner of a load's blocks bring them. Whatever the owner does, the store is what counts: it is asked when
// the owner fails, and beside the owner when that is late, and the first answer is taken.
//
// No ring of caches can wait for each other, however their views of the zone differ. A load that asks a peer stands in
// c.asked, where only local Reads join it; the peer serves it with ReadThrough, which joins and begins loads of the store
// alone, those in c.loading; and those wait for nobody. The rejected alternative, one flight per block for everybody, has
// A's flight wait for B's while B's waits for A's whenever each believes that the other is the owner.
func (c *Cache) ask(ctx context.Context, l *load) {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	late := make(chan struct{})
	dst := make([][]byte, len(l.flights))
	for i := range dst {
		dst[i] = make([]byte, c.blockLength(l.objectSize, l.first+int64(i)))
	}
	answered := make(chan error, 1)
	c.running.Go(func() {
		r := Request{Key: l.key, ObjectSize: l.objectSize, Offset: l.offset, Length: l.length}
		answered <- c.zone.Ask(asking, l.owner, r, dst, func() { close(late) })
	})
	select {
	case err := <-answered:
		if err == nil {
			c.landFromPeer(l, dst)
			return
		}
		answered = nil
	case <-late:
	}
	blocks, err := c.beside(ctx, l, answered)
	if blocks == nil && err == nil {
		c.landFromPeer(l, dst)
		return
	}
	cancel()
	c.land(l, blocks, err)
}

func (c *Cache) landFromPeer(l *load, blocks [][]byte) {
	c.fromPeers.Add(int64(len(blocks)))
	for i, block := range blocks {
		c.keep(l, blockID{l.key, l.first + int64(i)}, block)
	}
	c.land(l, blocks, nil)
}

// beside loads the blocks from the store while the owner may still answer; answered is nil if it has. It returns nil
// without an error if the owner's answer is the first.
func (c *Cache) beside(ctx context.Context, l *load, answered <-chan error) ([][]byte, error) {
	blocks := make([][]byte, len(l.flights))
	waits, failure := c.begin(ctx, want{key: l.key, objectSize: l.objectSize, through: true, copies: true}, l.first, blocks)
	for i := 0; i < len(waits) && failure == nil; {
		if waits[i] == nil {
			i++
			continue
		}
		select {
		case <-waits[i].done:
			blocks[i], failure = waits[i].block, waits[i].err
			i++
		case err := <-answered:
			if answered = nil; err == nil {
				return nil, nil
			}
		}
	}
	if failure == nil {
		return blocks, nil
	}
	if answered != nil && <-answered == nil { // the owner has what the store does not give
		return nil, nil
	}
	return nil, failure
}

// ReadThrough is Read on behalf of another cache that believes this one to be the owner. What is not here is loaded from
// the store and nowhere else, whoever may own it by this broker's view; working is called before that. The blocks are
// kept as this cache's own.
func (c *Cache) ReadThrough(ctx context.Context, r Request, working func()) ([][]byte, error) {
	return c.read(ctx, want{key: r.Key, objectSize: r.ObjectSize, through: true}, r.Offset, r.Length, working)
}
