package sim

import (
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// conn is one side of a connection. Everything but addresses is under the network's mu.
type conn struct {
	id            int64
	host          *Host
	peer          *conn
	local, remote netip.AddrPort
	in, out       *pipe

	closed  bool      // by this side, with Close
	gone    bool      // the host has crashed
	dead    error     // what calls get from now on
	resetAt time.Time // when the news arrive that the connection is reset; zero: never

	readBy, writeBy time.Time // deadlines; zero: none
}

// pipe is one direction of a connection: bytes in order, and when which of them arrive.
type pipe struct {
	route route
	cond  *sync.Cond // something changed for who reads or writes
	timer *time.Timer
	due   time.Time // when timer fires; zero: it does not

	buf   []byte
	marks []mark
	ended bool      // nothing follows what is in buf
	endAt time.Time // when the end arrives
}

// mark says when bytes arrive that were written together.
type mark struct {
	bytes int
	at    time.Time
}

func (n *Network) connect(from *Host, l *listener) (near, far *conn) {
	n.nextID++
	near = &conn{id: 2 * n.nextID, host: from, local: netip.AddrPortFrom(from.ip, from.ephemeral()), remote: l.at}
	far = &conn{id: 2*n.nextID + 1, host: l.host, local: near.remote, remote: near.local}
	near.peer, far.peer = far, near
	near.out = n.pipe(route{from.name, l.host.name})
	near.in = n.pipe(route{l.host.name, from.name})
	far.in, far.out = near.out, near.in
	n.conns[near.id], n.conns[far.id] = near, far
	return near, far
}

func (n *Network) pipe(r route) *pipe {
	p := &pipe{route: r, cond: sync.NewCond(&n.mu)}
	p.timer = time.AfterFunc(time.Hour, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		p.due = time.Time{}
		p.cond.Broadcast()
	})
	p.timer.Stop()
	return p
}

// await waits for news of a pipe, or one of the times given. Caller holds mu.
func (p *pipe) await(times ...time.Time) {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if !first.IsZero() && (p.due.IsZero() || first.Before(p.due)) {
		p.due = first
		p.timer.Reset(time.Until(first))
	}
	p.cond.Wait()
}

func (c *conn) wake() {
	c.in.cond.Broadcast()
	c.out.cond.Broadcast()
}

// arrived counts the bytes that can be read, and returns when more will be; zero: not known.
func (p *pipe) arrived(n *Network) (bytes int, next time.Time) {
	if n.held(p.route) {
		return 0, time.Time{}
	}
	now := time.Now()
	for _, m := range p.marks {
		if m.at.After(now) {
			return bytes, m.at
		}
		bytes += m.bytes
	}
	if p.ended {
		next = p.endAt
	}
	return bytes, next
}

// take removes bytes from the front.
func (p *pipe) take(b []byte, arrived int) int {
	n := copy(b, p.buf[:arrived])
	p.buf = p.buf[:copy(p.buf, p.buf[n:])] // its memory is used again; little is left as a rule
	for left := n; left > 0; {
		if m := &p.marks[0]; m.bytes > left {
			m.bytes -= left
			break
		}
		left -= p.marks[0].bytes
		p.marks = slices.Delete(p.marks, 0, 1)
	}
	return n
}

// state is what ends every call on the connection, if anything does. Caller holds mu.
func (c *conn) state(op string, by time.Time) error {
	now := time.Now()
	switch {
	case c.closed:
		return c.host.fail(op, net.ErrClosed)
	case c.dead != nil:
		return c.host.fail(op, c.dead)
	case !c.resetDue().IsZero() && !now.Before(c.resetAt):
		c.die(syscall.ECONNRESET)
		return c.host.fail(op, c.dead)
	case !by.IsZero() && !now.Before(by):
		return c.host.fail(op, os.ErrDeadlineExceeded)
	}
	return nil
}

// resetDue is when the news arrive that the connection is reset; zero: never, or they are held up.
func (c *conn) resetDue() time.Time {
	if c.host.net.held(c.in.route) {
		return time.Time{}
	}
	return c.resetAt
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		if err := c.state("read", c.readBy); err != nil {
			return 0, err
		}
		if len(b) == 0 {
			return 0, nil
		}
		arrived, next := c.in.arrived(n)
		switch {
		case arrived > 0:
			c.in.cond.Broadcast() // there is room
			return c.in.take(b, arrived), nil
		case c.in.ended && !next.IsZero() && !next.After(time.Now()):
			return 0, io.EOF
		}
		c.in.await(next, c.readBy, c.resetDue())
	}
}

// Write implements net.Conn. It keeps a copy of b.
func (c *conn) Write(b []byte) (int, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trace.note(func(line []byte) []byte {
		line = strconv.AppendInt(append(line, "write "...), c.id, 10)
		line = append(append(append(append(line, ' '), c.host.name...), '>'), c.peer.host.name...)
		line = strconv.AppendInt(append(line, ' '), int64(len(b)), 10)
		return appendSum(append(line, ' '), crc32.ChecksumIEEE(b))
	})
	for written := 0; ; {
		if err := c.state("write", c.writeBy); err != nil {
			return written, err
		}
		if c.out.ended {
			return written, c.host.fail("write", syscall.EPIPE)
		}
		if c.peer.refuses() {
			// Nobody reads any more: the bytes are answered with a reset.
			c.resetAfter(n.latency(c.out.route) + n.latency(c.in.route))
			return len(b), nil
		}
		some := min(len(b)-written, window-len(c.out.buf))
		if some > 0 {
			c.out.send(b[written:written+some], time.Now().Add(n.latency(c.out.route)))
			written += some
		}
		if written == len(b) {
			return written, nil
		}
		c.out.await(c.writeBy, c.resetDue())
	}
}

// refuses tells whether what is sent to this side is answered with a reset: nobody reads it, and the host is there to say so.
func (c *conn) refuses() bool {
	n := c.host.net
	if n.held(c.in.route) {
		return false
	}
	if c.gone {
		return !n.hosts[c.host.name].down
	}
	return c.closed || c.dead != nil
}

func (p *pipe) send(b []byte, at time.Time) {
	if last := len(p.marks) - 1; last >= 0 && !at.After(p.marks[last].at) {
		p.marks[last].bytes += len(b)
	} else {
		p.marks = append(p.marks, mark{bytes: len(b), at: at})
	}
	p.buf = append(p.buf, b...)
	p.cond.Broadcast()
}

// end lets the other side read what is under way, and then the end.
func (p *pipe) end(at time.Time) {
	if p.ended {
		return
	}
	if last := len(p.marks) - 1; last >= 0 && at.Before(p.marks[last].at) {
		at = p.marks[last].at
	}
	p.ended, p.endAt = true, at
	p.cond.Broadcast()
}

// die ends all calls on this side with an error.
func (c *conn) die(err error) {
	if c.dead == nil {
		c.dead = err
	}
	c.forget()
	c.wake()
}

// resetAfter lets this side learn, a while from now, that the connection is reset.
func (c *conn) resetAfter(d time.Duration) {
	if c.resetAt.IsZero() {
		c.resetAt = time.Now().Add(d)
		c.wake()
	}
}

// forget drops the connection from the network once both sides are done with it.
func (c *conn) forget() {
	done := func(c *conn) bool { return c.closed || c.dead != nil }
	if done(c) && done(c.peer) {
		delete(c.host.net.conns, c.id)
		delete(c.host.net.conns, c.peer.id)
		c.in.timer.Stop()
		c.out.timer.Stop()
	}
}

// Close implements net.Conn. What was written still arrives, unless something that came was not read: then, as with TCP,
// the connection is reset.
func (c *conn) Close() error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	return c.close()
}

func (c *conn) close() error {
	if c.closed {
		return c.host.fail("close", net.ErrClosed)
	}
	n := c.host.net
	c.closed = true
	if c.dead == nil {
		n.trace.notef("close %d", c.id)
		at := n.latency(c.out.route)
		if len(c.in.buf) > 0 {
			c.peer.resetAfter(at)
		} else {
			c.out.end(time.Now().Add(at))
		}
	}
	c.forget()
	c.wake()
	return nil
}

// CloseWrite lets the other side read the end of the stream; this side can read on.
func (c *conn) CloseWrite() error {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := c.state("close", time.Time{}); err != nil {
		return err
	}
	c.out.end(time.Now().Add(n.latency(c.out.route)))
	return nil
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *conn) setDeadlines(read, write *time.Time) error {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return c.host.fail("set deadline", net.ErrClosed)
	}
	if read != nil {
		c.readBy = *read
		c.in.cond.Broadcast()
	}
	if write != nil {
		c.writeBy = *write
		c.out.cond.Broadcast()
	}
	return nil
}
