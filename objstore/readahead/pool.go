// Package readahead holds ranges of immutable objects for those who read them in order: what they need now, and what
// they will need next.
//
// It is apart from the block cache on purpose. A catch-up read goes once through far more than any cache holds; here it
// finds its own bound, its own requests to the store, and memory that is used again and again. What was read stays
// until room is needed, so that several readers who are about as far share it.
package readahead

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/objstore"
)

// ErrClosed is what loads return after Close.
var ErrClosed = errors.New("read-ahead pool closed")

// errShort: an object is shorter than metadata says.
var errShort = errors.New("object shorter than expected")

// Options of a Pool. The zero value is the default.
type Options struct {
	// Bytes bounds the memory. What is needed now is loaded all the same; nothing is loaded ahead beyond it. Default 64 MiB.
	Bytes int64
	// GetBytes bounds one GET, but where the caller allows for larger ones. Default 4 MiB.
	GetBytes int64
	// JoinBytes is the gap between two ranges up to which it is always cheaper to read over it than to send another GET.
	// Wider ones, up to half of GetBytes, are joined if that turns out to be of use. Default 64 KiB.
	JoinBytes int64
	// AheadGets is how many GETs of what nobody waits for yet run at the same time at most; see gets. Default 16.
	AheadGets int
	// Stale is how long what was loaded ahead waits for its reader. Default 10 s.
	Stale time.Duration
	// ForgetPause is the least time between two Forgets of an object that count. Default 1 min.
	ForgetPause time.Duration
	// LoadTimeout bounds one GET. Default 60 s.
	LoadTimeout time.Duration
	Registerer  prometheus.Registerer // default: metrics are not registered
}

func (o Options) withDefaults() Options {
	if o.Bytes <= 0 {
		o.Bytes = 64 << 20
	}
	if o.GetBytes <= 0 {
		o.GetBytes = 4 << 20
	}
	if o.JoinBytes <= 0 {
		o.JoinBytes = 64 << 10
	}
	if o.AheadGets <= 0 {
		o.AheadGets = 16
	}
	if o.Stale <= 0 {
		o.Stale = 10 * time.Second
	}
	if o.ForgetPause <= 0 {
		o.ForgetPause = time.Minute
	}
	if o.LoadTimeout <= 0 {
		o.LoadTimeout = time.Minute
	}
	return o
}

// Pool is the memory that all readers share. A chunk is the answer to one GET. Those of one object never overlap, so a
// byte is loaded once, however many ask for it, as long as it stays. All methods may run concurrently.
//
// A chunk leaves when room is needed and no Hold has it: first those that were read to the end, the one unused for
// longest first; then those whose reader did not come for Options.Stale. For what a reader waits for, others' chunks
// that were loaded ahead go too, and if there are none the bound is exceeded: answers have a bound of their own.
type Pool struct {
	store   objstore.Getter
	opts    Options
	metrics *metrics
	gets    *gets
	manners courtesy

	ctx     context.Context // of the loads
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	objects map[string][]*chunk // by offset
	spent   list.List           // of *chunk: nobody's, and read to the end; first is first to go
	fresh   list.List           // of *chunk: nobody's, and not read to the end
	buffers buffers
	gap     gap
	used    int64 // bytes of chunks and idle buffers
	held    int64 // bytes of them that cannot go
	unread  int64 // bytes of the chunks in fresh
	waiting int64 // bytes that were loaded ahead and that no reader has come for

	forgotten map[string]time.Time // objects, and when; see Forget
}

// chunk is a range of an object in memory, or on its way.
type chunk struct {
	key  string
	from int64
	buf  []byte
	wide bool // read over a gap

	// Guarded by Pool.mu.
	holds int           // of Holds, and one of the load under way
	place *list.Element // in spent or fresh; nil while it is held
	fresh bool          // the place is in fresh
	read  int64         // bytes that readers are done with
	since time.Time     // when it was last held
	gone  bool          // not to be found any more
	early bool          // loaded ahead, and no reader has come

	needed chan struct{} // closed when early ends
	done   chan struct{}
	err    error // once done is closed
}

func (c *chunk) end() int64 { return c.from + int64(len(c.buf)) }

// New makes an empty pool of ranges of the store's objects.
func New(store objstore.Getter, opts Options) *Pool {
	opts = opts.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	p := &Pool{
		store: store, opts: opts, gets: newGets(opts.AheadGets, runtime.GOMAXPROCS(0)), ctx: ctx, stop: stop,
		objects: make(map[string][]*chunk), forgotten: make(map[string]time.Time), gap: newGap(opts.JoinBytes, opts.GetBytes/2),
	}
	p.metrics = newMetrics(opts.Registerer, p)
	return p
}

// Close ends the loads under way and waits for them.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.running.Wait()
	return nil
}

// Bytes is the memory that the pool holds.
func (p *Pool) Bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// Spare is how much of the bound is not taken by what Holds keep and by loads under way. Below zero, they exceed it.
func (p *Pool) Spare() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opts.Bytes - p.held
}

// Has tells whether a range is loaded or being loaded, all of it.
func (p *Pool) Has(key string, r objstore.Range) bool { return p.Missing(key, r) == 0 }

// Missing is how many bytes of a range are neither loaded nor being loaded.
func (p *Pool) Missing(key string, r objstore.Range) (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, gap := range p.missing(key, r) {
		n += gap.Length
	}
	return n
}

// Bound is Options.Bytes.
func (p *Pool) Bound() int64 { return p.opts.Bytes }

// GetBytes is Options.GetBytes.
func (p *Pool) GetBytes() int64 { return p.opts.GetBytes }

// getBytes is the size of GETs where they may have up to most bytes: more than GetBytes, or than twice as much where they are few at
// a time, only if there is room for that, beside what cannot go. p.mu is held.
func (p *Pool) getBytes(most int64) int64 {
	least := p.opts.GetBytes
	if p.gets.sparing(time.Now()) { // few at a time: with larger ones as much comes
		least = max(least, min(2*least, p.opts.Bytes/8))
	}
	return max(min(most, p.opts.Bytes/4*3-p.held-p.unread), least)
}

// Ahead begins to load ranges of an object that will be read soon, as far as there is room, and tells whether all of
// them are there or on their way. One GET has up to most bytes, if that is more than GetBytes and there is much room.
func (p *Pool) Ahead(key string, ranges []objstore.Range, most int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.plan(key, ranges, p.getBytes(most)) {
		// The rest is for what is needed at once: else it would evict what was loaded ahead, over and over.
		for p.waiting+r.Length > p.opts.Bytes/4*3 {
			if !p.dropStale() {
				return false
			}
		}
		if p.closed || !p.makeRoom(r.Length, true) {
			return false
		}
		p.begin(key, r, true)
	}
	return true
}

// mostForgotten bounds the objects that are remembered as forgotten.
const mostForgotten = 256

// Forget makes an object be read again by those who come: what is here of it is wrong. Again within
// Options.ForgetPause it does nothing: it is the store that has wrong bytes then, and readers of the rest of the object
// would lose what was loaded for them as often as somebody asks for these.
func (p *Pool) Forget(key string) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := p.forgotten[key]; ok && now.Sub(at) < p.opts.ForgetPause {
		return
	}
	for k, at := range p.forgotten {
		if len(p.forgotten) >= mostForgotten || now.Sub(at) >= p.opts.ForgetPause {
			delete(p.forgotten, k)
		}
	}
	p.forgotten[key] = now
	for _, c := range slices.Clone(p.objects[key]) {
		p.remove(c)
		if c.holds == 0 {
			p.hold(c)
			p.letGo(c)
		}
	}
}

// begin starts to load a range, of which nothing is there. p.mu is held.
func (p *Pool) begin(key string, r piece, ahead bool) *chunk {
	c := &chunk{key: key, from: r.Offset, buf: p.buffers.get(r.Length, &p.used), wide: r.wide, early: ahead, holds: 1,
		needed: make(chan struct{}), done: make(chan struct{})}
	p.held += int64(cap(c.buf))
	if ahead {
		p.waiting += r.Length
	}
	p.insert(c)
	p.running.Go(func() { p.load(c, ahead) })
	return c
}

// load does the GET of a chunk.
func (p *Pool) load(c *chunk, ahead bool) {
	c.err = p.get(c, ahead)
	p.mu.Lock()
	if c.err != nil {
		if p.closed {
			c.err = ErrClosed
		}
		p.remove(c)
	}
	p.letGo(c)
	p.mu.Unlock()
	close(c.done)
}

// get does it when it is its turn.
func (p *Pool) get(c *chunk, ahead bool) error {
	turned, err := ahead, error(nil)
	if ahead {
		err = p.gets.begin(p.ctx, c.needed)
	}
	if !ahead || errors.Is(err, errNeeded) { // somebody waits for it
		turned, err = p.gets.urge(p.ctx)
	}
	if err != nil {
		return err
	}
	size, took := 0, time.Duration(0)
	if turned {
		defer func() { p.gets.end(time.Now(), size, took) }()
	}
	if err = p.Pace(p.ctx, int64(len(c.buf))); err != nil {
		return err
	}
	began := time.Now() // what it was slowed down by says nothing of the store
	if err = p.read(c); err == nil {
		size, took = len(c.buf), time.Since(began)
	}
	return err
}

// Hurry says that readers who cannot wait, those at the tail, are being served by other ways: while they are, and the
// processors are busy, loads are slowed down, and those of a near store are few at a time.
func (p *Pool) Hurry() {
	now := time.Now()
	p.manners.hurry(now)
	p.gets.hurry(now)
}

// Pace waits as long as a load of so many bytes has to, for work that moves old records by other ways and is to be as
// courteous: loads and that work share one rate. It returns an error when ctx ends, or the pool is closed.
func (p *Pool) Pace(ctx context.Context, bytes int64) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	wait, look := p.manners.begin(time.Now(), bytes)
	if look {
		p.running.Go(func() { p.manners.watch(p.ctx) })
	}
	p.mu.Unlock()
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ctx.Done():
		return ErrClosed
	}
}

func (p *Pool) read(c *chunk) error {
	ctx, cancel := context.WithTimeout(p.ctx, p.opts.LoadTimeout)
	defer cancel()
	n, err := objstore.GetInto(ctx, p.store, c.key, c.from, c.buf)
	p.metrics.loaded.Add(float64(n))
	if err == nil && n < len(c.buf) {
		err = fmt.Errorf("%w: %d bytes of %d from %d", errShort, n, len(c.buf), c.from)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", c.key, err)
	}
	return nil
}

// letGo takes back one hold of a chunk. p.mu is held.
func (p *Pool) letGo(c *chunk) {
	if c.holds--; c.holds > 0 {
		return
	}
	p.held -= int64(cap(c.buf))
	if c.gone {
		p.buffers.put(c.buf, &p.used)
		c.buf = nil
		return
	}
	c.since = time.Now()
	if c.fresh = c.read < int64(len(c.buf)); c.fresh {
		c.place = p.fresh.PushBack(c)
		p.unread += int64(cap(c.buf))
	} else {
		c.place = p.spent.PushBack(c)
	}
}

// hold keeps a chunk where it is. p.mu is held.
func (p *Pool) hold(c *chunk) {
	if c.place != nil {
		if c.fresh {
			p.fresh.Remove(c.place)
			p.unread -= int64(cap(c.buf))
		} else {
			p.spent.Remove(c.place)
		}
		c.place = nil
	}
	if c.holds == 0 {
		p.held += int64(cap(c.buf))
	}
	c.holds++
}

// makeRoom evicts chunks until n more bytes fit, and tells whether they do. p.mu is held.
func (p *Pool) makeRoom(n int64, ahead bool) bool {
	for p.used+buffered(n) > p.opts.Bytes {
		switch {
		case p.used <= p.opts.Bytes && p.buffers.has(n): // one will be used again, and add nothing
			return true
		case p.buffers.drop(&p.used):
		case p.spent.Len() > 0:
			p.evict(p.spent.Front().Value.(*chunk))
		case p.dropStale():
		case p.fresh.Len() > 0 && !ahead:
			p.waste(p.fresh.Back().Value.(*chunk)) // the first will be needed before it
		default:
			return false
		}
	}
	return true
}

// dropStale evicts a chunk whose reader did not come, and tells whether there was one. p.mu is held.
func (p *Pool) dropStale() bool {
	if p.fresh.Len() == 0 || time.Since(p.fresh.Front().Value.(*chunk).since) <= p.opts.Stale {
		return false
	}
	p.waste(p.fresh.Front().Value.(*chunk))
	return true
}

// waste evicts a chunk that was not read to its end.
func (p *Pool) waste(c *chunk) {
	p.metrics.wasted.Add(float64(max(int64(len(c.buf))-c.read, 0)))
	p.evict(c)
}

// arrived says that a reader has come for a chunk, or that none will. p.mu is held.
func (p *Pool) arrived(c *chunk) {
	if c.early {
		c.early = false
		close(c.needed)
		p.waiting -= int64(len(c.buf))
	}
}

// evict forgets a chunk that nobody holds.
func (p *Pool) evict(c *chunk) {
	p.gap.evicted(int64(len(c.buf)), c.read, c.wide)
	p.remove(c)
	p.hold(c)
	p.letGo(c)
}
