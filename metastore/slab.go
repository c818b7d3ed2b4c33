package metastore

import "slices"

const (
	// slabItems is how many items lie together, in a chunk. It is what a change copies while a view is being read: few
	// enough that an entry that changes a thousand items all over the slab copies a few megabytes at most.
	slabItems = 16
	// slabChunks is how many chunks a block names. A view copies the list of blocks alone: while the garbage collector
	// marks, copying a pointer costs some 30 ns, and a list of all chunks would take milliseconds with the state locked.
	slabChunks = 16
)

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
	blocks  []*slabBlock[T]
	used    uint32 // numbers below this were given out at some time
	free    []uint32
}

type slabBlock[T any] struct {
	epoch  uint64
	chunks [slabChunks]*[slabItems]T
	epochs [slabChunks]uint64 // of the chunks. (In them, they would make them outgrow a size of the allocator.)
}

// chunk returns one of chunks() to be read.
func (s *slab[T]) chunk(c int) *[slabItems]T { return s.blocks[c/slabChunks].chunks[c%slabChunks] }

func (s *slab[T]) chunks() int { return int((s.used + slabItems - 1) / slabItems) }

// at returns an item to be read.
func (s *slab[T]) at(i uint32) *T {
	return &s.blocks[i/(slabItems*slabChunks)].chunks[i/slabItems%slabChunks][i%slabItems]
}

// change returns an item to be written. What at returned for it may be a copy from then on.
func (s *slab[T]) change(i uint32) *T {
	b, c := s.ownBlock(i), i/slabItems%slabChunks
	if b.epochs[c] < s.sharing.shared {
		own := *b.chunks[c]
		b.chunks[c], b.epochs[c] = &own, s.sharing.epoch
	}
	return &b.chunks[c][i%slabItems]
}

// ownBlock returns the block of an item to be written.
func (s *slab[T]) ownBlock(i uint32) *slabBlock[T] {
	n := i / (slabItems * slabChunks)
	if s.blocks[n].epoch < s.sharing.shared {
		own := *s.blocks[n]
		own.epoch = s.sharing.epoch
		s.blocks[n] = &own
	}
	return s.blocks[n]
}

// take gives out a number. The item is what it was when the number was released.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	i := s.used
	if i%(slabItems*slabChunks) == 0 {
		s.blocks = append(s.blocks, &slabBlock[T]{epoch: s.sharing.epoch})
	}
	if i%slabItems == 0 {
		b, c := s.ownBlock(i), i/slabItems%slabChunks
		b.chunks[c], b.epochs[c] = new([slabItems]T), s.sharing.epoch
	}
	s.used++
	return i
}

func (s *slab[T]) release(i uint32) { s.free = append(s.free, i) }

// view is a copy for reading, good until the sharing thaws.
func (s *slab[T]) view() slab[T] { return slab[T]{blocks: slices.Clone(s.blocks), used: s.used} }
