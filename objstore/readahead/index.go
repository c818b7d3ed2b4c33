package readahead

import (
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/objstore"
)

// insert makes a chunk to be found. p.mu is held.
func (p *Pool) insert(c *chunk) {
	list := p.objects[c.key]
	at, _ := slices.BinarySearchFunc(list, c.from, func(x *chunk, from int64) int { return cmp.Compare(x.from, from) })
	p.objects[c.key] = slices.Insert(list, at, c)
}

// remove makes a chunk not to be found any more. p.mu is held.
func (p *Pool) remove(c *chunk) {
	list := p.objects[c.key]
	if at := slices.Index(list, c); at >= 0 {
		list = slices.Delete(list, at, at+1)
	}
	if len(list) == 0 {
		delete(p.objects, c.key)
	} else {
		p.objects[c.key] = list
	}
	c.gone = true
	p.arrived(c)
}

// over returns the chunks that have bytes of a range, in order. p.mu is held.
func (p *Pool) over(key string, r objstore.Range) []*chunk {
	list := p.objects[key]
	first, _ := slices.BinarySearchFunc(list, r.Offset, func(x *chunk, offset int64) int {
		if x.end() <= offset {
			return -1
		}
		return 1
	})
	last := first
	for last < len(list) && list[last].from < r.End() {
		last++
	}
	return list[first:last]
}

// missing returns the parts of a range that no chunk has. p.mu is held.
func (p *Pool) missing(key string, r objstore.Range) []objstore.Range {
	var gaps []objstore.Range
	at := r.Offset
	for _, c := range p.over(key, r) {
		if c.from > at {
			gaps = append(gaps, objstore.Range{Offset: at, Length: c.from - at})
		}
		at = max(at, c.end())
	}
	if at < r.End() {
		gaps = append(gaps, objstore.Range{Offset: at, Length: r.End() - at})
	}
	return gaps
}

// piece is a range to be loaded.
type piece struct {
	objstore.Range
	wide bool // there is a gap in it that nobody asked for
}

// plan returns the GETs that load what is missing of some ranges: near ones are joined, those of more than
// most bytes are cut. p.mu is held.
func (p *Pool) plan(key string, ranges []objstore.Range, most int64) []piece {
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b objstore.Range) int { return cmp.Compare(a.Offset, b.Offset) })
	var joined []piece
	for _, r := range ranges {
		for _, missing := range p.missing(key, r) {
			if n := len(joined); n == 0 || !p.join(key, &joined[n-1], missing) {
				joined = append(joined, piece{Range: missing})
			}
		}
	}
	return cut(joined, most)
}

// join extends a piece by a range behind it, if they are near. p.mu is held.
func (p *Pool) join(key string, last *piece, r objstore.Range) bool {
	between := objstore.Range{Offset: last.End(), Length: r.Offset - last.End()}
	if between.Length <= 0 { // ranges may overlap
		last.Length = max(last.Length, r.End()-last.Offset)
		return true
	}
	if between.Length > p.gap.now || len(p.over(key, between)) > 0 {
		return false
	}
	last.Length = r.End() - last.Offset
	last.wide = last.wide || between.Length > p.opts.JoinBytes
	return true
}

// cut divides pieces into equal parts of at most most bytes.
func cut(pieces []piece, most int64) []piece {
	var parts []piece
	for _, r := range pieces {
		count := (r.Length + most - 1) / most
		for i := range count {
			from, to := r.Length*i/count, r.Length*(i+1)/count
			parts = append(parts, piece{objstore.Range{Offset: r.Offset + from, Length: to - from}, r.wide})
		}
	}
	return parts
}
