package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Conn is a client's connection. Three goroutines serve it: the reader takes frames off the socket and decodes them,
// the dispatcher begins requests as their Order allows, the writer waits for answers and sends them in order.
type Conn struct {
	id       int64
	srv      *Server
	nc       net.Conn
	remote   string
	host     string
	clientID atomic.Pointer[string]

	requests chan *request  // reader to dispatcher
	answers  chan *request  // dispatcher to writer
	begun    sync.WaitGroup // requests that were begun and are not answered

	// alive ends when the peer goes away or the connection is to be closed; the Pendings run under it.
	alive context.Context
	die   context.CancelCauseFunc

	mu       sync.Mutex
	room     sync.Cond
	inFlight int  // requests read and not answered
	bytes    int  // of them
	draining bool // reads nothing more
	replied  time.Time
}

type request struct {
	header
	route   Route
	body    kmsg.Request
	size    int
	budget  *Budget // of which taken is
	taken   int64
	arrived time.Time
	pending Pending
}

func newConn(s *Server, nc net.Conn, id int64) *Conn {
	c := &Conn{
		id: id, srv: s, nc: nc, remote: nc.RemoteAddr().String(),
		requests: make(chan *request, s.opts.MaxInFlight),
		answers:  make(chan *request, s.opts.MaxInFlight),
		replied:  time.Now(),
	}
	c.host = c.remote
	if host, _, err := net.SplitHostPort(c.remote); err == nil {
		c.host = host
	}
	c.clientID.Store(new(string))
	c.room.L = &c.mu
	c.alive, c.die = context.WithCancelCause(context.Background())
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6})
	}
	return c
}

// ID is unique among the connections of the server.
func (c *Conn) ID() int64 { return c.id }

// ClientHost is the address of the peer, without port.
func (c *Conn) ClientHost() string { return c.host }

// LocalAddr is the address on which the connection was accepted.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// ClientID is the client id of the latest request, "" if it had none. Clients do not change it in a connection.
func (c *Conn) ClientID() string { return *c.clientID.Load() }

// Abort closes the connection without answering what is in flight. The cause is logged.
func (c *Conn) Abort(cause error) { c.fail(fmt.Errorf("%w: %v", errHandler, cause)) }

// errPeerGone is the cause of an end that needs no log line.
var errPeerGone = errors.New("peer closed the connection")

// fail ends the connection; the first cause counts.
func (c *Conn) fail(cause error) {
	c.mu.Lock()
	first := c.alive.Err() == nil
	c.die(cause)
	c.room.Broadcast()
	c.mu.Unlock()
	if !first {
		return
	}
	_ = c.nc.SetDeadline(time.Unix(1, 0))
	if errors.Is(cause, errPeerGone) || errors.Is(cause, ErrServerClosed) {
		return
	}
	reason := "other"
	for _, fault := range faultsByReason {
		if errors.Is(cause, fault) {
			reason = fault.Error()
		}
	}
	c.srv.metrics.errors.WithLabelValues(reason).Inc()
	c.srv.log.Warn("closing client connection", "peer", c.remote, "client_id", c.ClientID(), "cause", cause)
}

func (c *Conn) kill() { c.fail(ErrServerClosed) }

// drain lets the reader stop where it is.
func (c *Conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.room.Broadcast()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// serve returns when the connection is closed and its handlers have returned. base is the ctx of Handlers.
func (c *Conn) serve(base context.Context) {
	stop := context.AfterFunc(base, c.kill)
	var wg sync.WaitGroup
	wg.Go(func() { c.dispatch(base) })
	wg.Go(c.write)
	err := c.read(base)
	close(c.requests)
	if err != nil {
		c.fail(err)
	}
	wg.Wait()
	stop()
	if c.alive.Err() == nil {
		c.linger()
	}
	c.fail(ErrServerClosed)
	_ = c.nc.Close()
}

// linger lets the peer read the last answers: closing a socket that holds unread bytes resets it, and a reset may
// overtake them.
func (c *Conn) linger() {
	tcp, ok := c.nc.(*net.TCPConn)
	if !ok || tcp.CloseWrite() != nil {
		return
	}
	_ = tcp.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	_, _ = io.Copy(io.Discard, io.LimitReader(tcp, 64<<20))
}

// read takes frames until the connection ends (an error) or drains (nil).
func (c *Conn) read(base context.Context) error {
	br := bufio.NewReaderSize(c.nc, 8<<10)
	for {
		if !c.waitForFrame(br) {
			return c.endOfReading(br)
		}
		prefix, _ := br.Peek(4)
		size := int(int32(binary.BigEndian.Uint32(prefix)))
		if size < headerPrefix || size > c.srv.opts.MaxRequestBytes {
			return fmt.Errorf("%w: %d bytes, allowed are %d to %d", errFrameSize, size, headerPrefix, c.srv.opts.MaxRequestBytes)
		}
		if !c.makeRoom(size) {
			return c.alive.Err()
		}
		r, err := c.readRequest(base, br, size)
		if err != nil || r == nil {
			c.giveBack(size)
			return err
		}
		c.requests <- r // has room: inFlight is bounded
	}
}

// waitForFrame tells whether the size of a frame is there, after waiting for as long as the connection is not idle.
func (c *Conn) waitForFrame(br *bufio.Reader) bool {
	for {
		c.mu.Lock()
		if c.inFlight > 0 {
			c.replied = time.Now()
		}
		idleAt := c.replied.Add(c.srv.opts.IdleTimeout)
		c.mu.Unlock()
		c.setReadDeadline(idleAt)
		_, err := br.Peek(4)
		if err == nil {
			return !c.isDraining()
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || c.isDraining() || c.alive.Err() != nil {
			return false
		}
		c.mu.Lock()
		idle := c.inFlight == 0 && !time.Now().Before(c.replied.Add(c.srv.opts.IdleTimeout))
		c.mu.Unlock()
		if idle {
			return false
		}
	}
}

// endOfReading is what to make of a connection that brings no further frame.
func (c *Conn) endOfReading(br *bufio.Reader) error {
	switch {
	case c.isDraining():
		return nil
	case br.Buffered() > 0:
		return fmt.Errorf("%w: connection ended inside a frame", errSlowSender)
	}
	return errPeerGone
}

// readRequest reads and decodes one frame. It returns nil if the connection drains before the frame is there.
func (c *Conn) readRequest(base context.Context, br *bufio.Reader, size int) (*request, error) {
	c.setReadDeadline(time.Now().Add(c.stall(size)))
	var fixed [4 + headerPrefix]byte
	if _, err := io.ReadFull(br, fixed[:]); err != nil {
		return nil, c.readFailed(err)
	}
	r := &request{header: parseHeader(fixed[4:]), size: size}
	if err := c.findRoute(r); err != nil {
		return nil, err
	}
	start, err := c.pay(r)
	if err != nil {
		return nil, err
	}
	rest, err := readGrowing(br, size-headerPrefix, start)
	if err != nil {
		c.release(r)
		return nil, c.readFailed(err)
	}
	c.srv.metrics.bytesIn.Add(float64(4 + size))
	r.arrived = time.Now()
	if r.pending != nil {
		return r, nil
	}
	clientID, body, err := decode(r.header, rest)
	if err != nil {
		c.release(r)
		return nil, err
	}
	if clientID != c.ClientID() {
		c.clientID.Store(&clientID)
	}
	r.body = body
	c.srv.metrics.requests.WithLabelValues(r.route.Name).Inc()
	return r, nil
}

// pay takes the frame's bytes from the budget of its kind and returns how many may be allocated before any arrived.
func (c *Conn) pay(r *request) (start int, err error) {
	const free = 16 << 10
	switch {
	case r.route.Budgeted:
		start, r.budget = 1<<20, c.srv.opts.Budget
	case r.size > c.srv.opts.MaxControlBytes:
		return 0, fmt.Errorf("%w: %d bytes for %s, allowed are %d", errFrameSize, r.size, r.route.Name, c.srv.opts.MaxControlBytes)
	case r.size > free:
		start, r.budget = free, c.srv.opts.ControlBudget
	default:
		return free, nil
	}
	if r.taken, err = r.budget.acquire(c.alive, int64(r.size)); err != nil {
		return 0, err
	}
	c.setReadDeadline(time.Now().Add(c.stall(r.size)))
	return start, nil
}

// findRoute looks up the handler. ApiVersions of an unknown version is answered here.
func (c *Conn) findRoute(r *request) error {
	route, ok := c.srv.routes[r.key]
	if !ok {
		return fmt.Errorf("%w: key %d version %d", errUnknownAPI, r.key, r.version)
	}
	r.route = route
	if r.version >= route.Min && r.version <= route.Max {
		return nil
	}
	if r.key != apiVersionsKey {
		return fmt.Errorf("%w: %s version %d, served are %d to %d", errVersion, route.Name, r.version, route.Min, route.Max)
	}
	r.pending = Ready(unsupportedApiVersions(route))
	return nil
}

func (c *Conn) readFailed(err error) error {
	if c.isDraining() {
		return nil
	}
	return fmt.Errorf("%w: connection ended inside a frame: %v", errSlowSender, err)
}

// stall is how long a frame of so many bytes may take.
func (c *Conn) stall(size int) time.Duration {
	return c.srv.opts.StallTimeout + time.Duration(size/(256<<10))*time.Second
}

func (c *Conn) setReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.draining && c.alive.Err() == nil {
		_ = c.nc.SetReadDeadline(t)
	}
}

func (c *Conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// makeRoom waits until a request of size bytes may be read, and accounts for it. False: nothing is to be read any more.
func (c *Conn) makeRoom(size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.inFlight >= c.srv.opts.MaxInFlight || (c.inFlight > 0 && c.bytes+size > c.srv.opts.MaxConnectionBytes) {
		if c.draining || c.alive.Err() != nil {
			return false
		}
		c.room.Wait()
	}
	if c.draining || c.alive.Err() != nil {
		return false
	}
	c.inFlight++
	c.bytes += size
	return true
}

func (c *Conn) giveBack(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	c.bytes -= size
	c.replied = time.Now()
	c.room.Signal()
}

func (c *Conn) release(r *request) {
	if r.taken > 0 {
		r.budget.release(r.taken)
		r.taken = 0
	}
}

// dispatch begins requests. When the peer is gone, Overlapping ones that arrived are begun all the same: a producer
// with acks=0 sends and leaves.
func (c *Conn) dispatch(base context.Context) {
	defer close(c.answers)
	previous := Overlapping
	for r := range c.requests {
		if r.route.Order == Serial || previous == Serial {
			c.begun.Wait()
		}
		previous = r.route.Order
		c.begun.Add(1)
		if r.pending == nil {
			r.pending = c.begin(base, r)
		}
		c.answers <- r
	}
}

func (c *Conn) begin(base context.Context, r *request) (pending Pending) {
	pending = Ready(nil)
	if c.alive.Err() != nil && (r.route.Order == Serial || base.Err() != nil) {
		return pending
	}
	defer c.recovered(r)
	return r.route.Handler(base, c, r.body)
}

// recovered turns a panic into the end of the connection.
func (c *Conn) recovered(r *request) {
	if p := recover(); p != nil {
		c.srv.log.Error("panic in a request handler", "api", r.route.Name, "version", r.version, "panic", p, "stack", string(debug.Stack()))
		c.fail(fmt.Errorf("%w in %s version %d", errPanic, r.route.Name, r.version))
	}
}

// write sends answers in order.
func (c *Conn) write() {
	var buf []byte
	for r := range c.answers {
		resp := c.await(r)
		r.body = nil
		if resp != nil && c.alive.Err() == nil {
			buf = c.send(buf, r, resp)
		}
		c.srv.metrics.seconds.WithLabelValues(r.route.Name).Observe(time.Since(r.arrived).Seconds())
		c.release(r)
		c.giveBack(r.size)
		c.begun.Done()
	}
}

func (c *Conn) await(r *request) (resp kmsg.Response) {
	defer c.recovered(r)
	return r.pending(c.alive)
}

// send writes an answer and returns the buffer for the next.
func (c *Conn) send(buf []byte, r *request, resp kmsg.Response) []byte {
	defer c.recovered(r)
	frame := net.Buffers(encode(buf, r.correlation, resp))
	head, size := frame[0], 0
	for _, b := range frame {
		size += len(b)
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.stall(size))); err != nil {
		c.fail(errPeerGone)
		return nil
	}
	if c.alive.Err() != nil { // fail may have set its deadline before ours
		return nil
	}
	if _, err := frame.WriteTo(c.nc); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.fail(fmt.Errorf("%w: the peer does not read its answers: %v", errSlowReader, err))
		} else {
			c.fail(errPeerGone)
		}
		return nil
	}
	c.srv.metrics.bytesOut.Add(float64(size))
	if cap(head) > 64<<10 {
		return nil
	}
	return head
}
