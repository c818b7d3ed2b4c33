package node

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/broker/peer"
	"github.com/runnel-io/runnel/broker/zonecache"
	"github.com/runnel-io/runnel/objstore/cache"
	"github.com/runnel-io/runnel/objstore/hedge"
	"github.com/runnel-io/runnel/objstore/metered"
	"github.com/runnel-io/runnel/objstore/readahead"
)

const (
	// leastBlocks is the least that the block cache gets: a quarter of it must hold a block.
	leastBlocks = 8 << 20
	// leastAhead is the least that the read-ahead pool gets.
	leastAhead = 8 << 20
)

// blocks is what this broker reads segments through. The tail, from the top: the cache of blocks, the other brokers of
// the zone, a second GET beside a late one. What is far behind it: the read-ahead pool. All requests go to one metered
// store.
type blocks struct {
	*cache.Cache
	ahead   *readahead.Pool
	gets    *hedge.Getter
	zone    *zonecache.Zone   // nil: no peer port
	lender  *zonecache.Lender // nil: no peer port
	callers *peer.Client      // nil: no peer port
}

// openBlocks puts them together, with so many bytes of memory. callers is nil without a peer port: then every broker loads for itself.
func openBlocks(objects *metered.Store, bytes int64, members zonecache.Members, callers *peer.Client,
	opts zonecache.Options, reg prometheus.Registerer) (*blocks, error) {
	b := &blocks{
		ahead: readahead.New(objects, readahead.Options{Bytes: max(bytes/2, leastAhead), Registerer: reg}),
		gets:  hedge.NewGetter(objects, reg), callers: callers,
	}
	blockOptions := cache.Options{Bytes: max(bytes/2, leastBlocks), Registerer: reg}
	if callers != nil {
		b.zone = zonecache.New(members, callers, opts)
		blockOptions.Zone = b.zone
	}
	var err error
	if b.Cache, err = cache.New(b.gets, blockOptions); err != nil {
		return nil, err
	}
	if callers != nil {
		b.lender = zonecache.NewLender(b.Cache, zonecache.LenderOptions{Registerer: reg})
	}
	return b, nil
}

// Close ends what is being loaded. Nothing is read after it.
func (b *blocks) Close() error {
	err := errors.Join(b.Cache.Close(), b.ahead.Close())
	b.gets.Close()
	if b.zone != nil {
		b.zone.Close()
		b.callers.Close() // loads that went on may have left connections
	}
	return err
}
