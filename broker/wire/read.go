package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// read takes frames until the connection ends (an error) or drains (nil). It calls begin before the first one is handed on.
func (c *Conn) read(base context.Context, begin func()) error {
	br := bufio.NewReaderSize(c.nc, 8<<10)
	for {
		if !c.waitForFrame(br) {
			return c.endOfReading(br)
		}
		early, tokens, ok := c.step()
		if !ok {
			return c.alive.Err()
		}
		prefix, _ := br.Peek(4)
		size := int(int32(binary.BigEndian.Uint32(prefix)))
		if err := c.checkSize(prefix, size, early, tokens != nil); err != nil {
			return err
		}
		if !c.makeRoom(size) {
			return c.alive.Err()
		}
		var r *request
		var err error
		if tokens != nil {
			r, err = c.readToken(br, size, tokens)
		} else {
			r, err = c.readRequest(br, size, early)
		}
		if err != nil || r == nil {
			c.giveBack(size)
			return err
		}
		if c.requests == nil {
			begin()
		}
		if r.route.Prompt && c.isAlone() {
			c.serveHere(base, r)
			continue
		}
		c.requests <- r // has room: inFlight is bounded
	}
}

// isAlone tells whether the request that was just read is the only one in flight. The dispatcher and the writer then have
// nothing to do, and whoever reads may use what is theirs: they gave it back under mu, and take it up with the next request.
func (c *Conn) isAlone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight == 1
}

// checkSize tells whether a frame is too large, or no frame at all.
func (c *Conn) checkSize(prefix []byte, size int, early, token bool) error {
	least, most := headerPrefix, c.srv.opts.MaxRequestBytes
	if early {
		most = min(most, c.srv.opts.MaxUnauthenticatedBytes)
	}
	if token {
		least = 0
	}
	switch {
	case size >= least && size <= most:
		return nil
	case prefix[0] == recordTypeHandshake && prefix[1] == 3 && c.endpoint.TLS == nil:
		return fmt.Errorf("%w: the peer speaks TLS, and listener %s does not", errUnexpectedTLS, c.endpoint.Name)
	}
	return fmt.Errorf("%w: %d bytes, allowed are %d to %d", errFrameSize, size, least, most)
}

// waitForFrame tells whether the size of a frame is there, after waiting for as long as the connection is not idle.
func (c *Conn) waitForFrame(br *bufio.Reader) bool {
	for {
		if !c.sitOutMute(br) {
			return false
		}
		now := time.Now()
		c.wakeBy(c.waits(now), now)
		_, err := br.Peek(4)
		if err == nil {
			muted, draining := c.hears()
			if muted {
				continue
			}
			return !draining
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || c.isDraining() || c.alive.Err() != nil {
			return false
		}
		c.mu.Lock()
		idle := c.inFlight == 0 && !time.Now().Before(c.idleAt())
		c.mu.Unlock()
		if idle {
			return false
		}
	}
}

// waits notes that the reader waits for a frame, and returns until when.
func (c *Conn) waits(now time.Time) (idleAt time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight > 0 {
		c.replied = now
	}
	return c.idleAt()
}

// hears tells whether what came may be read now, or ever.
func (c *Conn) hears() (muted, draining bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, muted = c.muteEnds()
	return muted, c.draining
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
func (c *Conn) readRequest(br *bufio.Reader, size int, early bool) (*request, error) {
	c.allowTime(br, 4+size)
	fixed, err := br.Peek(4 + headerPrefix)
	if err != nil {
		return nil, c.readFailed(err)
	}
	r := &request{header: parseHeader(fixed[4:]), size: size, early: early}
	_, _ = br.Discard(len(fixed)) // what was peeked is there
	if err := c.findRoute(r); err != nil {
		return nil, err
	}
	rest, err := c.readFrame(br, r, size-headerPrefix)
	if err != nil || rest == nil {
		return nil, err
	}
	if r.pending != nil {
		return r, nil
	}
	clientID, body, err := decode(r.header, rest)
	if err != nil {
		c.doneWithFrame(r)
		r.grant.release()
		return nil, err
	}
	if string(clientID) != c.ClientID() {
		id := string(clientID)
		c.clientID.Store(&id)
	}
	r.body = body
	r.route.in(c.srv.metrics).requests.Inc()
	return r, nil
}

// readFrame reads what follows what was read of a frame, n bytes. It returns nil if the connection drains before.
func (c *Conn) readFrame(br *bufio.Reader, r *request, n int) ([]byte, error) {
	start, err := c.pay(r)
	if err != nil {
		return nil, err
	}
	if r.grant.budget != nil { // it may have waited
		c.allowTime(br, n)
	}
	rest, err := c.readBody(br, r, n, start)
	if err != nil {
		r.grant.release()
		return nil, c.readFailed(err)
	}
	if r.route.Borrows && !r.early {
		r.frame = rest
	}
	c.srv.metrics.bytesIn.Add(float64(4 + r.size))
	r.arrived = time.Now()
	if !c.Session().Expires.IsZero() {
		r.at = c.srv.opts.Now()
	}
	return rest, nil
}

// pay takes the frame's bytes from the budget of its kind and returns how many may be allocated before any arrived.
func (c *Conn) pay(r *request) (start int, err error) {
	const free = 16 << 10
	var budget *Budget
	switch {
	case r.early && r.size <= free:
		return earlyFrame, nil
	case r.early:
		start, budget = earlyFrame, c.srv.strangers
	case r.route.Budgeted:
		start, budget = trustedFrame, c.srv.opts.Budget
	case r.size > c.srv.opts.MaxControlBytes:
		return 0, fmt.Errorf("%w: %d bytes for %s, allowed are %d", errFrameSize, r.size, r.route.Name, c.srv.opts.MaxControlBytes)
	case r.size > free:
		start, budget = free, c.srv.opts.ControlBudget
	default:
		return free, nil
	}
	if r.grant, err = budget.take(c.alive, int64(r.size)); err != nil {
		return 0, err
	}
	return start, nil
}

// readBody reads n bytes. A frame that has bytes of a budget is given up if it does not get on
// while others wait for them.
func (c *Conn) readBody(br *bufio.Reader, r *request, n, start int) ([]byte, error) {
	read := func(from io.Reader) ([]byte, error) { return readGrowing(from, n, start) }
	if r.route.Borrows && !r.early {
		read = func(from io.Reader) ([]byte, error) { return c.srv.frames.read(from, n) }
	}
	if r.grant.budget == nil {
		return read(br)
	}
	a := r.grant.budget.arrives(br, func() {
		c.fail(fmt.Errorf("%w: others wait, and a frame of %d bytes does not get on", errSlowSender, r.size))
	})
	defer r.grant.budget.arrived(a)
	return read(a)
}

// doneWithFrame gives the memory of a request back, to which nobody refers any more.
func (c *Conn) doneWithFrame(r *request) {
	r.body = nil
	if r.frame != nil {
		c.srv.frames.put(r.frame)
		r.frame = nil
	}
}

// findRoute looks up the handler. ApiVersions of an unknown version is answered here.
func (c *Conn) findRoute(r *request) error {
	route, ok := c.srv.routes[r.key]
	if !ok {
		return fmt.Errorf("%w: key %d version %d", errUnknownAPI, r.key, r.version)
	}
	if r.early && !route.Unauthenticated {
		return fmt.Errorf("%w: %s before the peer has authenticated", errUnauthenticated, route.Name)
	}
	r.route = route
	if r.version >= route.Min && r.version <= route.Max {
		return nil
	}
	if r.key != apiVersionsKey {
		return fmt.Errorf("%w: %s version %d, served are %d to %d", errVersion, route.Name, r.version, route.Min, route.Max)
	}
	r.pending = Ready(unsupportedAPIVersions(route.Route))
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
