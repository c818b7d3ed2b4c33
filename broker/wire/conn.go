package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Conn is a client's connection. Two goroutines serve it: the reader takes frames off the socket and decodes them, the
// dispatcher begins requests as their Order allows, and waits for the answers to Serial ones and sends them. With the
// first Overlapping request comes a third, the writer, which does so for these, in order.
type Conn struct {
	id       int64
	srv      *Server
	nc       net.Conn
	remote   string
	host     string
	clientID atomic.Pointer[string]
	endpoint *Endpoint
	session  atomic.Pointer[Session]

	requests chan *request  // reader to dispatcher
	begun    sync.WaitGroup // requests that were begun and are not answered

	// alive ends when the peer goes away or the connection is to be closed; the Pendings run under it.
	alive context.Context
	die   context.CancelCauseFunc

	// Attached is what Handlers keep with the connection, and only they: they are called one at a time, so that they may
	// use it without a lock; Pendings may not.
	Attached any

	// Whoever answers has these. It is one at a time: a Serial request is begun when those before it are answered.
	held    int64  // bytes of the AnswerBudget
	buf     []byte // for the next answer
	large   bool   // the last answer was too large for buf to be kept
	retired bool   // sends nothing more

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
	frame   []byte // that body lies in, if it is to be used again
	size    int
	grant   grant
	arrived time.Time
	pending Pending
}

func newConn(s *Server, nc net.Conn, id int64, endpoint *Endpoint) *Conn {
	c := &Conn{
		id: id, srv: s, nc: nc, remote: nc.RemoteAddr().String(), endpoint: endpoint,
		requests: make(chan *request, s.opts.MaxInFlight),
		replied:  time.Now(),
	}
	c.host = c.remote
	if host, _, err := net.SplitHostPort(c.remote); err == nil {
		c.host = host
	}
	c.clientID.Store(new(string))
	c.session.Store(anonymous)
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

// ClientPort is the port of the peer, "" if it has none.
func (c *Conn) ClientPort() string {
	_, port, _ := net.SplitHostPort(c.remote)
	return port
}

// LocalAddr is the address on which the connection was accepted.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// ClientID is the client id of the latest request, "" if it had none. Clients do not change it in a connection.
func (c *Conn) ClientID() string { return *c.clientID.Load() }

// Abort closes the connection without answering what is in flight. The cause is logged.
func (c *Conn) Abort(cause error) { c.fail(fmt.Errorf("%w: %v", errHandler, cause)) }

// Retire tells the peer to go elsewhere: after the answers before this one its stream ends, and nothing is answered any
// more. What the peer sends until it hangs up is handled, where Abort would lose it. Only a Pending may call it.
func (c *Conn) Retire() {
	if c.retired {
		return
	}
	c.retired = true
	if !c.closeWrite() {
		c.fail(errPeerGone)
	}
}

// closeWrite ends the stream of answers, and tells whether the network can do that.
func (c *Conn) closeWrite() bool {
	half, ok := c.nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

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
	if suppressed, ok := c.srv.complaints.next(time.Now()); ok {
		c.srv.log.Warn("closing client connection", "peer", c.remote, "client_id", c.ClientID(), "cause", cause, "others_not_logged", suppressed)
	}
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
	if !c.closeWrite() {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.nc, 64<<20))
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

// Hold takes up to n bytes for the answer to a request from the budget that all connections share, and waits until at
// least `least` of them are there. They are given back when the answer is sent. It bounds what peers that do not read
// their answers keep in memory. Only the Pending of a Serial request may call it, on its own goroutine.
func (c *Conn) Hold(ctx context.Context, n, least int64) (int64, error) {
	got, err := c.srv.opts.AnswerBudget.acquireSome(ctx, n, min(n, least))
	if err != nil {
		return 0, err
	}
	c.held += got
	return got, nil
}

func (c *Conn) letGo() {
	if c.held > 0 {
		c.srv.opts.AnswerBudget.release(c.held)
		c.held = 0
	}
}
