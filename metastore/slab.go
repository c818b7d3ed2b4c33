package metastore

import "slices"

// slabItems is how many items lie together. It is what a change copies while a view is being read: few enough that an
// entry that changes a thousand items all over the slab copies a few megabytes at most.
const slabItems = 16

// sharing lets views of a state be read without a lock while the state moves on: what is in a view is copied before it
// changes. Views are made and given back with the state locked for writing.
type sharing struct {
	epoch  uint64 // of what is made now
	shared uint64 // what was made in an epoch below this may be in a view; 0 when there is no view
	views  int
}

func (c *sharing) freeze() {
	c.epoch++
	c.shared = c.epoch
	c.views++
}

func (c *sharing) thaw() {
	if c.views--; c.views == 0 {
		c.shared = 0
	}
}

// slab holds items by number. It needs no allocation for each, and if T is free of pointers the garbage collector looks
// at none of them. A number is used again after its release.
type slab[T any] struct {
	sharing *sharing
	chunks  []*[slabItems]T
	epochs  []uint64 // of the chunks. (In them, they would make them outgrow a size of the allocator.)
	used    uint32   // numbers below this were given out at some time
	free    []uint32
}

// at returns an item to be read.
func (s *slab[T]) at(i uint32) *T { return &s.chunks[i/slabItems][i%slabItems] }

// change returns an item to be written. What at returned for it may be a copy from then on.
func (s *slab[T]) change(i uint32) *T {
	c := i / slabItems
	if s.epochs[c] < s.sharing.shared {
		own := *s.chunks[c]
		s.chunks[c], s.epochs[c] = &own, s.sharing.epoch
	}
	return &s.chunks[c][i%slabItems]
}

// take gives out a number. The item is what it was when the number was released.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	i := s.used
	if i%slabItems == 0 {
		s.chunks, s.epochs = append(s.chunks, new([slabItems]T)), append(s.epochs, s.sharing.epoch)
	}
	s.used++
	return i
}

func (s *slab[T]) release(i uint32) { s.free = append(s.free, i) }

// view is a copy for reading, good until the sharing thaws.
func (s *slab[T]) view() slab[T] { return slab[T]{chunks: slices.Clone(s.chunks), used: s.used} }
