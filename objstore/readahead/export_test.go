package readahead

import "fmt"

// Audit compares the accounts of an idle pool with what it has.
func (p *Pool) Audit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var used, waiting, held, unread int64
	listed, chunks := p.spent.Len()+p.fresh.Len(), 0
	for key, list := range p.objects {
		if len(list) == 0 {
			return fmt.Errorf("%s has no chunks", key)
		}
		for i, c := range list {
			chunks++
			used += int64(cap(c.buf))
			if c.early {
				waiting += int64(len(c.buf))
			}
			if c.holds != 0 {
				held += int64(cap(c.buf))
			} else if c.fresh {
				unread += int64(cap(c.buf))
			}
			if c.gone || c.place == nil != (c.holds > 0) || i > 0 && list[i-1].end() > c.from {
				return fmt.Errorf("%s: chunk from %d: gone %v, %d holds, place %v", key, c.from, c.gone, c.holds, c.place)
			}
		}
	}
	for size, list := range p.buffers.idle {
		used += size * int64(len(list))
	}
	if used != p.used || waiting != p.waiting || held != p.held || unread != p.unread || listed != chunks || p.gets.now() > 0 {
		return fmt.Errorf("have %d bytes, %d waiting, %d held, %d unread, %d chunks; accounts say %d, %d, %d, %d, %d; %d places are taken",
			used, waiting, held, unread, chunks, p.used, p.waiting, p.held, p.unread, listed, p.gets.now())
	}
	return nil
}

// now is how many run.
func (g *gets) now() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running
}
