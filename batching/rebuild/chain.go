package rebuild

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/metastore"
)

// span is a range of offsets; to is the one after the last.
type span struct{ from, to metastore.Offset }

// source is a run that may be part of a partition again: one that the index names and whose object is there, an end of a
// transaction that the index knows, or one that the footer of a tier-1 object tells of.
type source struct {
	metastore.Run
	indexed bool   // the index names it
	crc     uint32 // of its bytes, if it is not indexed
}

// link is a source, or a part of it, in a chain.
type link struct {
	source   int
	from, to metastore.Offset
}

// whole tells whether all of the source is in use.
func (l *link) whole(s *source) bool { return l.from == s.Base && l.to == s.End() }

// holdings are the offsets that a partition should hold: below high those of the runs that the index names, whether or not
// they are there, and all from high on.
type holdings struct {
	known []span // in order, apart
	high  metastore.Offset
}

// within counts what should be there in a range.
func (h *holdings) within(from, to metastore.Offset) int64 {
	n := max(to-max(from, h.high), 0)
	i, _ := slices.BinarySearchFunc(h.known, from, func(s span, at metastore.Offset) int {
		return cmp.Compare(s.to, at+1)
	})
	for ; i < len(h.known) && h.known[i].from < to; i++ {
		n += max(min(h.known[i].to, to, h.high)-max(h.known[i].from, from), 0)
	}
	return int64(n)
}

// gaps returns what is missing in a range, apart and in order.
func (h *holdings) gaps(from, to metastore.Offset) []span {
	var found []span
	for _, s := range h.known {
		if a, b := max(s.from, from), min(s.to, to, h.high); a < b {
			found = append(found, span{a, b})
		}
	}
	if a := max(from, h.high); a < to {
		if n := len(found); n > 0 && found[n-1].to == a {
			found[n-1].to = to
		} else {
			found = append(found, span{a, to})
		}
	}
	return found
}

// cost is what speaks against a chain: first the offsets that it lacks, then the parts of runs in it.
type cost struct {
	missing int64
	cuts    int
}

func (c cost) compare(to cost) int {
	return cmp.Or(cmp.Compare(c.missing, to.missing), cmp.Compare(c.cuts, to.cuts))
}

// step is how a place is best reached.
type step struct {
	cost
	from   int // place
	source int // gap: none
}

const (
	unreached = -2
	gap       = -1
)

// chain finds the runs that make up a partition from an offset on, in order and apart, so that the least is missing of what
// should be there; among those that are equal, those of newer objects.
//
// A rewrite replaces whole consecutive runs by others that cover the same offsets, cut at other places. So runs are edges from
// the offset at which they begin to that at which they end, and what is looked for is a shortest path over these offsets, on
// which passing over what should be there costs most. Where some objects of a rewrite are there and others are not, the path
// may enter or leave a run between two of its batches.
func chain(start metastore.Offset, should *holdings, sources []source) []link {
	places := []metastore.Offset{start}
	for i := range sources {
		if s := &sources[i]; s.End() > start {
			places = append(places, max(s.Base, start), s.End())
		}
	}
	slices.Sort(places)
	places = slices.Compact(places)
	order := make([]int, 0, len(sources))
	for i := range sources {
		if sources[i].End() > start {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(sources[a].Base, sources[b].Base) })

	best := make([]step, len(places))
	for i := range best {
		best[i].source = unreached
	}
	best[0] = step{source: gap}
	reach := func(to int, by step) {
		if is := &best[to]; is.source == unreached || by.better(is, sources) {
			*is = by
		}
	}
	var open []int // sources that hold the offset of the place
	for at := range len(places) - 1 {
		here, next := places[at], places[at+1]
		open = slices.DeleteFunc(open, func(i int) bool { return sources[i].End() <= here })
		for len(order) > 0 && max(sources[order[0]].Base, start) == here {
			open = append(open, order[0])
			order = order[1:]
		}
		is := best[at].cost
		reach(at+1, step{cost{is.missing + should.within(here, next), is.cuts}, at, gap})
		for _, i := range open {
			s := &sources[i]
			begins := max(s.Base, start) == here
			if begins {
				end, _ := slices.BinarySearch(places, s.End())
				reach(end, step{is, at, i})
			}
			if !(begins && s.End() == next) {
				by := step{is, at, i}
				if !begins && best[at].source != i {
					by.cuts++
				}
				if s.End() != next {
					by.cuts++
				}
				reach(at+1, by)
			}
		}
	}
	return links(places, best, sources)
}

// better tells whether a place is better reached so than as it is.
func (s step) better(is *step, sources []source) bool {
	if c := s.compare(is.cost); c != 0 {
		return c < 0
	}
	if s.source == gap || is.source == gap {
		return is.source == gap && s.source != gap
	}
	return newer(&sources[s.source].Run, &sources[is.source].Run)
}

// newer tells whether a run's object was made after another's. Ends of transactions without an object are older than all.
func newer(a, b *metastore.Run) bool {
	return cmp.Or(a.Segment.Time().Compare(b.Segment.Time()), bytes.Compare(a.Segment[:], b.Segment[:])) > 0
}

// links walks the best path back.
func links(places []metastore.Offset, best []step, sources []source) []link {
	var found []link
	for at := len(places) - 1; at > 0; at = best[at].from {
		s := best[at].source
		if s == gap {
			continue
		}
		l := link{s, places[best[at].from], places[at]}
		if best[at].from == 0 {
			l.from = min(l.from, sources[s].Base) // a run that the start lies in is used as a whole
		}
		if n := len(found); n > 0 && found[n-1].source == s && found[n-1].from == l.to {
			found[n-1].from = l.from
			continue
		}
		found = append(found, l)
	}
	slices.Reverse(found)
	return found
}
