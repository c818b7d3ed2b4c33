package cache

import (
	"context"
	"sync/atomic"
)

// plan collects missing blocks of one object, in order, into loads: adjacent ones into one, up to Options.GetBytes, and
// with a Zone up to the end of their extent, which has one owner. The cache's mutex is held as long as there is a plan.
type plan struct {
	cache *Cache
	want
	open *load // the load that the next missing block joins if it is adjacent
}

// count counts a block that a Read needs.
func (p *plan) count(n *atomic.Int64) {
	if p.counted {
		n.Add(1)
	}
}

// add returns the flight of a block, having begun it if nobody had.
func (p *plan) add(ctx context.Context, index int64) *flight {
	c, id := p.cache, blockID{p.key, index}
	if f := c.flight(id, p.through); f != nil {
		p.count(&c.joined)
		p.start(ctx)
		return f
	}
	p.count(&c.misses)
	length := c.blockLength(p.objectSize, index)
	if !p.joins(index, length) {
		p.start(ctx)
		p.open = p.begin(index)
	}
	f := &flight{done: make(chan struct{})}
	p.open.length += length
	p.open.flights = append(p.open.flights, f)
	if p.open.owner == "" {
		c.loading[id] = f
	} else {
		c.asked[id] = f
	}
	return f
}

// joins tells whether a block goes into the open load.
func (p *plan) joins(index, length int64) bool {
	l := p.open
	return l != nil && index == l.first+int64(len(l.flights)) && l.length+length <= int64(p.cache.opts.GetBytes) &&
		(p.cache.zone == nil || index/p.cache.extentBlocks() == l.extent)
}

// begin opens a load.
func (p *plan) begin(index int64) *load {
	c := p.cache
	l := &load{want: p.want, first: index, offset: index * int64(c.opts.BlockBytes)}
	if c.zone == nil {
		return l
	}
	l.extent = index / c.extentBlocks()
	if p.through {
		return l
	}
	if l.owner = c.zone.Owner(p.key, l.extent); l.owner != "" {
		l.copies = true
		if c.distrusts(p.key) {
			l.owner = ""
		}
	}
	return l
}

// start sends the open load off, if there is one.
func (p *plan) start(ctx context.Context) {
	c, l := p.cache, p.open
	if l == nil {
		return
	}
	p.open = nil
	ctx, l.cancel = context.WithTimeout(context.WithoutCancel(ctx), c.opts.LoadTimeout)
	c.loads[l] = struct{}{}
	if l.prefetch {
		c.prefetching += l.length
	}
	c.running.Go(func() { c.run(ctx, l) })
}
