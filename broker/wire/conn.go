package wire

import (
	"bufio"
	"container/list"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/socket"
)

// Conn is a client's connection. Two goroutines serve it: the reader takes frames off the socket and decodes them, the
// dispatcher begins requests as their Order allows, and waits for the answers to Serial ones and sends them. With the
// first Overlapping request comes a third, the writer, which does so for these, in order. A Prompt request that comes
// alone never leaves the reader.
type Conn struct {
	id       int64
	srv      *Server
	raw      net.Conn // as it was accepted
	nc       net.Conn // what requests and answers go through: raw made quick, or TLS above that
	remote   string
	host     string
	clientID atomic.Pointer[string]
	endpoint *Endpoint
	session  atomic.Pointer[Session]

	door      *door
	place     *list.Element // among the door's strangers; the server's mu guards it
	release   func()        // of Connections
	mustProve bool          // the peer is served once it is known

	requests chan *request  // reader to dispatcher
	begun    sync.WaitGroup // requests that were begun and are not answered
	refusing bool           // the dispatcher begins no more
	refusal  time.Duration  // how long the answer waits that tells the peer that it failed to log in

	// alive ends when the peer goes away or the connection is to be closed; the Pendings run under it.
	alive     context.Context
	die       context.CancelCauseFunc
	reported  atomic.Bool
	stopped   chan struct{} // closed when nothing more is read
	hurry     chan struct{} // closed when the server shuts down
	hurryOnce sync.Once

	// Attached is what Handlers keep with the connection, and only they: they are called one at a time, so that they may
	// use it without a lock; Pendings may not.
	Attached any

	// Whoever answers has these. It is one at a time: a Serial request is begun when those before it are answered.
	held    int64     // bytes of the AnswerBudget
	buf     []byte    // for the next answer
	large   bool      // the last answer was too large for buf to be kept
	retired bool      // sends nothing more
	writeBy time.Time // the deadline that writes have

	beginning int       // size of the request that is being begun; the dispatcher's
	readBy    time.Time // the deadline that reads have; the reader's

	mu       sync.Mutex
	room     sync.Cond
	inFlight int  // requests read and not answered
	bytes    int  // of them
	draining bool // reads nothing more
	replied  time.Time
	known    bool // the peer is served
	patience *time.Timer
	tokens   func([]byte) ([]byte, error) // takes frames until the peer is known
	muting   time.Duration                // from the next answer on
	muted    time.Time                    // nothing is read until then
}

type request struct {
	header
	route   *served
	body    kmsg.Request
	frame   []byte // that body lies in, if it is to be used again
	size    int
	early   bool // came before its peer was known
	grant   grant
	arrived time.Time
	at      time.Time // the same by the clock of sessions, if the session had an end then
	pending Pending
}

var noClientID = new(string)

func newConn(s *Server, nc net.Conn, id int64, door *door) *Conn {
	endpoint := door.endpoint
	c := &Conn{
		id: id, srv: s, raw: nc, nc: socket.Quick(nc), remote: nc.RemoteAddr().String(), endpoint: endpoint, door: door,
		mustProve: endpoint.SASL || endpoint.TLS != nil,
		stopped:   make(chan struct{}), hurry: make(chan struct{}),
		replied: time.Now(),
	}
	c.known = !c.mustProve
	c.host = hostOf(c.remote)
	c.clientID.Store(noClientID)
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
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

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

func (c *Conn) kill() { c.fail(ErrServerClosed) }

// drain lets the reader stop where it is, as the server shuts down.
func (c *Conn) drain() {
	c.hurryOnce.Do(func() { close(c.hurry) }) // first: who reads looks at it when it is stopped
	c.stopReading()
}

// stopReading lets the reader stop where it is.
func (c *Conn) stopReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return
	}
	c.draining = true
	close(c.stopped)
	c.room.Broadcast()
	_ = c.raw.SetReadDeadline(time.Unix(1, 0))
}

// serve returns when the connection is closed and its handlers have returned. It begins after a while. base is the ctx
// of Handlers.
func (c *Conn) serve(base context.Context, wait time.Duration) {
	stop := context.AfterFunc(base, c.kill)
	c.start(wait)
	if c.shakeHands() {
		c.converse(base)
	}
	stop()
	if c.turnedAway() {
		reset(c.raw)
	} else if c.alive.Err() == nil {
		c.linger()
	}
	c.stopPatience()
	c.fail(ErrServerClosed)
	_ = c.raw.Close()
}

// turnedAway tells whether the server shut down before the peer had a request there. For whoever reads the connection.
func (c *Conn) turnedAway() bool {
	select {
	case <-c.hurry:
		return c.requests == nil
	default:
		return false
	}
}

// reset makes the peer of a connection see what it would have seen a moment later, when nobody listens any more: a refusal,
// upon which clients try elsewhere. The orderly end of a stream that they have read nothing of tells franz-go that it speaks to
// something else than a broker, and librdkafka logs likewise.
func reset(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = nc.Close()
}

// start waits, and begins the time that the peer has to become known.
func (c *Conn) start(wait time.Duration) {
	if wait > 0 {
		c.pause(wait, c.stopped)
		c.srv.beginAfterDelay(c)
	}
	if c.mustProve {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.patience = time.AfterFunc(c.srv.opts.AuthenticationTimeout, c.losePatience)
	}
}

// pause waits for so long, unless the connection ends or the channel says that there is no time.
func (c *Conn) pause(d time.Duration, until <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-until:
	case <-c.alive.Done():
	}
}

// converse reads requests and answers them until the connection ends or drains. The dispatcher starts with the first one:
// many connections never bring any.
func (c *Conn) converse(base context.Context) {
	var dispatcher sync.WaitGroup
	err := c.read(base, func() {
		c.requests = make(chan *request, c.srv.opts.MaxInFlight)
		dispatcher.Go(func() { c.dispatch(base) })
	})
	if c.requests != nil {
		close(c.requests)
	}
	if err != nil {
		c.fail(err)
	}
	dispatcher.Wait()
}

// linger lets the peer read the last answers: closing a socket that holds unread bytes resets it, and a reset may
// overtake them.
func (c *Conn) linger() {
	if !c.closeWrite() {
		return
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.raw, 64<<20))
}

// setReadDeadline is for the reader.
func (c *Conn) setReadDeadline(t time.Time) {
	c.readBy = t
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.draining && c.alive.Err() == nil {
		_ = c.raw.SetReadDeadline(t)
	}
}

// wakeBy makes a read return at t or earlier, for a reader that looks then whether it is time: a deadline that is there and
// will do is left alone, since to move a timer with each request of a thousand connections is much of what one costs.
func (c *Conn) wakeBy(t, now time.Time) {
	if !c.readBy.After(now) || c.readBy.After(t) {
		c.setReadDeadline(t)
	}
}

// allowTime gives the peer the time that a frame of so many bytes may take, if it is not there yet.
func (c *Conn) allowTime(br *bufio.Reader, size int) {
	if br.Buffered() < size {
		c.setReadDeadline(time.Now().Add(c.stall(size)))
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
	c.startMute(c.replied)
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
