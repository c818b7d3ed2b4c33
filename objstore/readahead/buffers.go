package readahead

// Memory comes in multiples of bufferStep, so that a buffer fits the next range of about the same size. Small ranges
// have memory of their own size, which is not used again.
const (
	bufferStep  = 256 << 10
	leastReused = bufferStep / 2
)

// buffered is how many bytes a buffer for n bytes takes.
func buffered(n int64) int64 {
	if n < leastReused {
		return n
	}
	return (n + bufferStep - 1) / bufferStep * bufferStep
}

// buffers are idle ones, by size. Fresh memory would have to be cleared, and mostly faulted in, for every range.
type buffers struct {
	idle map[int64][][]byte // by buffered size
}

// find returns the size of an idle buffer for n bytes, 0 if there is none.
func (b *buffers) find(n int64) int64 {
	if n < leastReused {
		return 0
	}
	for size := buffered(n); size <= 2*buffered(n); size += bufferStep { // no more than twice of what is needed
		if len(b.idle[size]) > 0 {
			return size
		}
	}
	return 0
}

func (b *buffers) has(n int64) bool { return b.find(n) > 0 }

// get returns n bytes, of any content, and adds to used what is new.
func (b *buffers) get(n int64, used *int64) []byte {
	if size := b.find(n); size > 0 {
		list := b.idle[size]
		buf := list[len(list)-1]
		list[len(list)-1] = nil
		b.idle[size] = list[:len(list)-1]
		return buf[:n]
	}
	*used += buffered(n)
	return make([]byte, n, buffered(n))
}

// put takes back what get returned.
func (b *buffers) put(buf []byte, used *int64) {
	size := int64(cap(buf))
	if size < leastReused {
		*used -= size
		return
	}
	if b.idle == nil {
		b.idle = make(map[int64][][]byte)
	}
	b.idle[size] = append(b.idle[size], buf)
}

// drop gives up an idle buffer, and tells whether there was one.
func (b *buffers) drop(used *int64) bool {
	for size, list := range b.idle {
		if len(list) == 0 {
			delete(b.idle, size)
			continue
		}
		list[len(list)-1] = nil
		b.idle[size] = list[:len(list)-1]
		*used -= size
		return true
	}
	return false
}
