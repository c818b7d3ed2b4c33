package rewrite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/objstore"
)

// loader reads the chunks of a plan in its order, ahead of whoever takes them, in memory of a bound.
//
// It cannot wait for itself: what is taken next is loaded whatever the bound says. That does not break the bound, since
// chunks are loaded in the order of their first need: when one that is needed now was not loaded yet, nothing was loaded
// ahead of it, and what is in memory are the chunks of other objects that were begun and not finished, for which
// plan.size leaves room.
type loader struct {
	plan   *plan
	store  objstore.Getter
	opts   *Options
	counts *counts

	mu      sync.Mutex
	moved   *sync.Cond // something below has changed
	loads   []load     // by chunk
	next    int        // the chunk that is loaded next
	needed  int        // chunks up to this one are waited for
	used    int64      // bytes of memory of chunks that are loaded or being loaded
	peak    int64      // the most that it was
	free    [][]byte   // memory of chunks, plan.size each
	stopped bool
	workers sync.WaitGroup
	cancel  context.CancelFunc
	release func() bool
}

// load is what became of a chunk.
type load struct {
	buf    []byte
	err    error
	loaded bool
	memory int64 // bytes taken for it
}

// newLoader begins to load. stop must be called.
func newLoader(ctx context.Context, p *plan, store objstore.Getter, opts *Options, counts *counts) *loader {
	l := &loader{plan: p, store: store, opts: opts, counts: counts, loads: make([]load, len(p.chunks)), needed: -1}
	l.moved = sync.NewCond(&l.mu)
	ctx, l.cancel = context.WithCancel(ctx)
	l.release = context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.stopped = true
		l.moved.Broadcast()
	})
	for range min(opts.Reads, len(p.chunks)) {
		l.workers.Go(func() { l.work(ctx) })
	}
	return l
}

// stop ends all loads and waits for them.
func (l *loader) stop() {
	l.mu.Lock()
	l.stopped = true
	l.moved.Broadcast()
	l.mu.Unlock()
	l.cancel()
	l.workers.Wait()
}

func (l *loader) work(ctx context.Context) {
	for {
		c, buf, ok := l.begin()
		if !ok {
			return
		}
		err := l.load(ctx, &l.plan.chunks[c], buf)
		l.end(c, buf, err)
	}
}

// begin waits for room, or need, and takes the next chunk; false if there is none, or the loader has stopped.
func (l *loader) begin() (c int, buf []byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for l.next < len(l.loads) && l.plan.chunks[l.next].pieces == 0 {
			l.next++ // nobody needs it any more
		}
		if l.stopped || l.next == len(l.loads) {
			l.moved.Broadcast() // the others may end, too
			return 0, nil, false
		}
		size := l.plan.chunks[l.next].size()
		pooled := size > l.plan.size/2 || len(l.free) > 0
		memory := size
		if pooled {
			memory = l.plan.size
		}
		if l.next > l.needed && l.used+memory > l.opts.ReadBytes {
			l.moved.Wait()
			continue
		}
		c = l.next
		l.next++
		l.used += memory
		l.peak = max(l.peak, l.used)
		l.loads[c].memory = memory
		return c, l.memory(size, pooled), true
	}
}

func (l *loader) memory(size int64, pooled bool) []byte {
	if n := len(l.free); pooled && n > 0 {
		buf := l.free[n-1]
		l.free = l.free[:n-1]
		return buf[:size]
	}
	if pooled {
		return make([]byte, size, l.plan.size)
	}
	return make([]byte, size)
}

func (l *loader) end(c int, buf []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := &l.loads[c]
	x.buf, x.err, x.loaded = buf, err, true
	if l.plan.chunks[c].pieces == 0 {
		l.forget(c)
	}
	l.moved.Broadcast()
}

// take waits for a chunk and returns its bytes, good until it is spent. It is called in the order of needs.
func (l *loader) take(ctx context.Context, c int32) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := &l.loads[c]
	if int(c) > l.needed {
		l.needed = int(c)
		l.moved.Broadcast()
	}
	for !x.loaded && !l.stopped {
		l.moved.Wait()
	}
	if !x.loaded {
		return nil, context.Cause(ctx)
	}
	return x.buf, x.err
}

// spent says that one of the needs of a chunk has no use for it any more.
func (l *loader) spent(c int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := &l.plan.chunks[c]
	if at.pieces--; at.pieces == 0 && l.loads[c].loaded {
		l.forget(int(c))
		l.moved.Broadcast()
	}
}

func (l *loader) forget(c int) {
	x := &l.loads[c]
	if int64(cap(x.buf)) == l.plan.size {
		l.free = append(l.free, x.buf)
	}
	l.used -= x.memory
	x.buf = nil
}

// errShort says that an object ends before a chunk of it does.
var errShort = errors.New("object is too short")

// load reads a chunk into buf. What fails without a reason that stays is tried again.
func (l *loader) load(ctx context.Context, c *chunk, buf []byte) error {
	id := l.plan.objects[c.object]
	key := segment.Key(id)
	if err := l.opts.Pace(ctx, int64(len(buf))); err != nil {
		return err
	}
	err := attempt(ctx, getTimeout, func(ctx context.Context) error {
		l.counts.gets.Add(1)
		n, err := objstore.GetInto(ctx, l.store, key, c.from, buf)
		if err == nil && n < len(buf) {
			err = fmt.Errorf("%w: it has %d bytes from %d on, not %d", errShort, n, c.from, len(buf))
		}
		return err
	})
	switch {
	case errors.Is(err, objstore.ErrRange):
		return fmt.Errorf("%w: %w", errShort, err)
	case errors.Is(err, errShort), err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		return &SegmentError{Segment: id, Reason: err}
	}
	l.counts.read.Add(int64(len(buf)))
	return nil
}

const (
	attempts   = 6
	getTimeout = 30 * time.Second
	putTimeout = 2 * time.Minute        // for four times as many bytes
	firstPause = 200 * time.Millisecond // before the second attempt; each further one waits twice as long, about
)

// lasting errors do not go away by trying again.
func lasting(err error) bool {
	return errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange) || errors.Is(err, objstore.ErrInvalidKey) ||
		errors.Is(err, errShort)
}

// attempt calls f until it succeeds, fails for good, or has failed several times, with some six seconds between them. One call
// may take as long as the timeout.
func attempt(ctx context.Context, timeout time.Duration, f func(ctx context.Context) error) error {
	wait := firstPause
	for i := 1; ; i++ {
		once, cancel := context.WithTimeout(ctx, timeout)
		err := f(once)
		cancel()
		if err == nil || i == attempts || lasting(err) || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		wait *= 2
	}
}
