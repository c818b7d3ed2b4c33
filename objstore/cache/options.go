package cache

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Cache. The zero value is the default.
type Options struct {
	// Bytes bounds the blocks kept. Blocks being loaded, and evicted ones that readers still hold, come on top.
	// Default 256 MiB.
	Bytes int64
	// BlockBytes is the size of a block; the last one of an object is smaller. Default 1 MiB.
	BlockBytes int
	// GetBytes bounds one GET, which loads adjacent missing blocks; at least BlockBytes. With a Zone it is the size of an
	// extent too, a multiple of BlockBytes, and both must be the same in all caches. Default 4 MiB.
	GetBytes int
	// LoadTimeout bounds one GET. It does not end with the Read that began it. Default 60 s.
	LoadTimeout time.Duration
	// PrefetchBytes bounds what Prefetch has in flight. Default a quarter of Bytes, two GETs at least.
	PrefetchBytes int64
	// Zone is the caches that this one shares with. Default: none.
	Zone Zone

	Registerer prometheus.Registerer // default: metrics are counted but not registered
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
	if o.PrefetchBytes == 0 {
		o.PrefetchBytes = max(o.Bytes/4, 2*int64(o.GetBytes))
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
	case o.PrefetchBytes < 0:
		return fmt.Errorf("block cache: %d bytes for prefetches", o.PrefetchBytes)
	case o.Zone != nil && o.GetBytes%o.BlockBytes != 0:
		return fmt.Errorf("block cache: extents of %d bytes are no multiple of a block of %d", o.GetBytes, o.BlockBytes)
	case o.Zone != nil && o.Bytes/copiesPart < int64(o.BlockBytes)+entryOverhead:
		return fmt.Errorf("block cache: a quarter of %d bytes holds no block of %d", o.Bytes, o.BlockBytes)
	}
	return nil
}
