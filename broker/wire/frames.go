package wire

import (
	"io"
	"math/bits"
	"sync"
)

// frames is memory for frames that is used again. What lies idle is bounded, and what was idle for longest goes first.
// All methods may run concurrently.
type frames struct {
	limit int64 // of idle bytes

	mu     sync.Mutex
	idle   int64
	uses   uint64
	sizes  [frameClasses]frameClass
	poison bool // for tests: what comes back is overwritten
}

// frameClass holds idle buffers of one size.
type frameClass struct {
	buffers [][]byte
	used    uint64 // when one was taken or came back, in uses
}

const (
	// Buffers have 4 sizes from each power of two to the next, so that at most a fifth of one is not used.
	leastFrame    = 1 << 10
	mostFrame     = 128 << 20
	frameClasses  = (27-10)*4 + 1
	classesPerTwo = 4
)

func newFrames(limit int64) *frames { return &frames{limit: limit} }

// frameClassOf returns the class of the smallest buffers that hold n bytes, and their size. Class -1 is of sizes that
// are not kept.
func frameClassOf(n int) (class, size int) {
	if n <= leastFrame {
		return 0, leastFrame
	}
	if n > mostFrame {
		return -1, n
	}
	power := bits.Len(uint(n-1)) - 1 // 2^power < n <= 2^(power+1)
	step := 1 << power / classesPerTwo
	steps := (n - 1<<power + step - 1) / step // 1 to 4
	return (power-10)*classesPerTwo + steps, 1<<power + steps*step
}

// take returns an idle buffer for n bytes, or nil.
func (f *frames) take(n int) []byte {
	class, _ := frameClassOf(n)
	if class < 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &f.sizes[class]
	last := len(c.buffers) - 1
	if last < 0 {
		return nil
	}
	buf := c.buffers[last]
	c.buffers[last] = nil
	c.buffers = c.buffers[:last]
	f.idle -= int64(cap(buf))
	f.uses++
	c.used = f.uses
	return buf[:n]
}

// get returns a buffer for n bytes, a new one if none is idle.
func (f *frames) get(n int) []byte {
	if buf := f.take(n); buf != nil {
		return buf
	}
	_, size := frameClassOf(n)
	return make([]byte, n, size)
}

// put takes back what get or take returned, to which nobody refers any more.
func (f *frames) put(buf []byte) {
	class, size := frameClassOf(cap(buf))
	if f.poison {
		buf = buf[:cap(buf)]
		for i := range buf {
			buf[i] = 0xDB
		}
	}
	if class < 0 || size != cap(buf) || int64(size) > f.limit {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &f.sizes[class]
	f.uses++
	c.used = f.uses
	for f.idle += int64(size); f.idle > f.limit; {
		f.drop()
	}
	c.buffers = append(c.buffers, buf)
}

// drop lets go of a buffer of the class that was used least recently. Caller holds mu.
func (f *frames) drop() {
	oldest := -1
	for i := range f.sizes {
		if len(f.sizes[i].buffers) > 0 && (oldest < 0 || f.sizes[i].used < f.sizes[oldest].used) {
			oldest = i
		}
	}
	c := &f.sizes[oldest]
	last := len(c.buffers) - 1
	f.idle -= int64(cap(c.buffers[last]))
	c.buffers[last] = nil
	c.buffers = c.buffers[:last]
}

// bytes returns how much lies idle.
func (f *frames) bytes() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.idle
}

// trustedFrame is how much memory a frame gets before any of it arrived.
const trustedFrame = 2 << 20

// read reads n bytes into a buffer that is to be put back. A peer that only announces a large frame is not to make us
// allocate it: the buffer grows sixteenfold as bytes really arrive, unless one lies idle, so that at most a fifteenth of
// a frame is copied.
func (f *frames) read(r io.Reader, n int) ([]byte, error) {
	buf := f.take(n)
	if buf == nil {
		first := n
		for first > trustedFrame {
			first = (first + 15) / 16
		}
		buf = f.get(first)
	}
	for have := 0; ; {
		got, err := io.ReadFull(r, buf[have:])
		have += got
		if err != nil {
			f.put(buf)
			return nil, err
		}
		if have == n {
			return buf, nil
		}
		larger := f.get(min(n, 16*have))
		copy(larger, buf)
		f.put(buf)
		buf = larger
	}
}
