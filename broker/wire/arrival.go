package wire

import (
	"io"
	"sync/atomic"
	"time"
)

// arrival is a frame that has its bytes of a Budget and is being read.
type arrival struct {
	from   io.Reader
	since  time.Time
	bytes  atomic.Int64
	giveUp func() // closes the connection
}

// Read implements io.Reader.
func (a *arrival) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	a.bytes.Add(int64(n))
	return n, err
}

// late tells whether the frame arrives more slowly than may be while others wait.
func (a *arrival) late(now time.Time, patience time.Duration) bool {
	age := now.Sub(a.since)
	return age > patience && a.bytes.Load() < int64(age.Seconds()*leastRate)
}

// arrives wraps the source of a frame; the caller ends the arrival.
func (b *Budget) arrives(from io.Reader, giveUp func()) *arrival {
	a := &arrival{from: from, since: time.Now(), giveUp: giveUp}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading[a] = struct{}{}
	return a
}

func (b *Budget) arrived(a *arrival) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.reading, a)
}

// RequestBytes is the size of the request that is being begun, without its size field. For Handlers, not for Pendings.
func (c *Conn) RequestBytes() int { return c.beginning }
