package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/runnel-io/runnel/integration/slows3"
)

// distance is the median of a small PUT to S3 Standard.
var distance = slows3.Standard.Put.P50

// farAway is a way to a server on which every answer takes the same time, and none holds up another.
type farAway struct {
	ln    net.Listener
	delay time.Duration

	mu      sync.Mutex
	to      string
	conns   []net.Conn
	closed  bool
	working sync.WaitGroup
}

func openFarAway(ctx context.Context, delay time.Duration) (*farAway, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &farAway{ln: ln, delay: delay}, nil
}

func (f *farAway) address() string { return f.ln.Addr().String() }

// lead says where the way leads, and opens it.
func (f *farAway) lead(to string) {
	f.to = to
	f.working.Go(func() {
		for {
			from, err := f.ln.Accept()
			if err != nil {
				return
			}
			f.working.Go(func() { f.carry(from) })
		}
	})
}

func (f *farAway) close() error {
	err := f.ln.Close()
	f.mu.Lock()
	f.closed = true
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.working.Wait()
	return err
}

func (f *farAway) keep(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
	return !f.closed
}

func (f *farAway) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", f.to)
	if err != nil {
		return
	}
	defer to.Close()
	if !f.keep(from) || !f.keep(to) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		defer to.Close()
		_, _ = to.(*net.TCPConn).ReadFrom(from)
	})
	both.Go(func() {
		defer from.Close()
		f.late(from, to)
	})
	both.Wait()
}

// answer is what came at once, and when it is to arrive.
type answer struct {
	bytes []byte
	due   time.Time
}

// late passes answers on in order, each so much later than it came.
func (f *farAway) late(from, to net.Conn) {
	under := make(chan answer, 1024)
	var sending sync.WaitGroup
	sending.Go(func() {
		for a := range under {
			time.Sleep(time.Until(a.due))
			if _, err := from.Write(a.bytes); err != nil && !errors.Is(err, net.ErrClosed) {
				_ = to.Close()
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := to.Read(buf)
		if n > 0 {
			under <- answer{append([]byte(nil), buf[:n]...), time.Now().Add(f.delay)}
		}
		if err != nil {
			break
		}
	}
	close(under)
	sending.Wait()
}
