package rewrite

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/objstore"
)

// slabs are memory for what an object holds. They are used again for the next object but one: while an object is uploaded,
// the next is filled.
type slabs struct {
	size int      // of each
	used [][]byte // the last has room, maybe
	free [][]byte
}

// slabBytes is the size of slabs, unless objects are smaller.
const slabBytes = 1 << 20

func newSlabs(objectBytes int64) *slabs { return &slabs{size: int(min(objectBytes, slabBytes))} }

// keep copies b. What is large has memory of its own, so that little of a slab is left empty.
func (s *slabs) keep(b []byte) []byte {
	if len(b) >= s.size/8 {
		return append([]byte(nil), b...)
	}
	n := len(s.used)
	if n == 0 || cap(s.used[n-1])-len(s.used[n-1]) < len(b) {
		s.used = append(s.used, s.slab())
		n++
	}
	slab := &s.used[n-1]
	from := len(*slab)
	*slab = append(*slab, b...)
	return (*slab)[from:len(*slab):len(*slab)]
}

func (s *slabs) slab() []byte {
	n := len(s.free)
	if n == 0 {
		return make([]byte, 0, s.size)
	}
	slab := s.free[n-1]
	s.free = s.free[:n-1]
	return slab[:0]
}

// reset forgets what was kept, and keeps the memory.
func (s *slabs) reset() {
	s.free = append(s.free, s.used...)
	s.used = nil
}

// upload is an object on its way to the store.
type upload struct {
	memory *slabs
	done   chan struct{}
	err    error // once done
}

// begin stores an object on a goroutine of its own.
func (e *Engine) begin(ctx context.Context, id [16]byte, object [][]byte, size int64, memory *slabs, n *counts) *upload {
	u := &upload{memory: memory, done: make(chan struct{})}
	go func() {
		defer close(u.done)
		if u.err = e.put(ctx, segment.Key(id), object, size); u.err == nil {
			n.objects.Add(1)
			n.written.Add(size)
		}
	}()
	return u
}

// put stores an object. One that exists is our own, since nobody else has the id: an earlier attempt whose answer was
// lost.
func (e *Engine) put(ctx context.Context, key string, object [][]byte, size int64) error {
	if err := e.opts.Pace(ctx, size); err != nil {
		return err
	}
	err := attempt(ctx, putTimeout, func(ctx context.Context) error {
		err := e.store.Put(ctx, key, object)
		if errors.Is(err, objstore.ErrExists) {
			err = e.confirm(ctx, key, size)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// confirm makes sure that an object which is said to exist is there to its last byte. Stores were seen to say so of
// one that another PUT was about to publish, and might have failed to.
func (e *Engine) confirm(ctx context.Context, key string, size int64) error {
	_, err := e.store.Get(ctx, key, size-1, 1)
	if err != nil {
		return fmt.Errorf("read an object that is said to exist: %v", err) // not by its kind: it is worth another attempt
	}
	return nil
}
