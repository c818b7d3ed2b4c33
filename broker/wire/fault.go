package wire

import (
	"errors"
	"time"
)

// Why the broker closes a connection. The texts are the values of the reason label.
var (
	errFrameSize       = errors.New("frame_size")
	errUnknownAPI      = errors.New("unknown_api")
	errVersion         = errors.New("unsupported_version")
	errMalformed       = errors.New("malformed_request")
	errSlowReader      = errors.New("write_failed")
	errSlowSender      = errors.New("read_failed")
	errPanic           = errors.New("panic")
	errHandler         = errors.New("handler")
	errTLS             = errors.New("tls_handshake")
	errUnexpectedTLS   = errors.New("tls_without_tls")
	errUnauthenticated = errors.New("unauthenticated")
	errSlowStranger    = errors.New("authentication_timeout")
	errCrowdedOut      = errors.New("too_many_unauthenticated")
	errFailedLogin     = errors.New("authentication_failed")
	errSessionExpired  = errors.New("session_expired")
	faultsByReason     = []error{
		errFrameSize, errUnknownAPI, errVersion, errMalformed, errSlowReader, errSlowSender, errPanic, errHandler, errTLS,
		errUnexpectedTLS, errUnauthenticated, errSlowStranger, errCrowdedOut, errFailedLogin, errSessionExpired,
	}
)

// errPeerGone is the cause of an end that needs no log line.
var errPeerGone = errors.New("peer closed the connection")

// fail ends the connection at once, whatever is in flight. The first cause counts.
func (c *Conn) fail(cause error) {
	c.mu.Lock()
	first := c.alive.Err() == nil
	c.die(cause)
	c.room.Broadcast()
	c.mu.Unlock()
	if !first {
		return
	}
	_ = c.raw.SetDeadline(time.Unix(1, 0))
	c.report(cause)
}

// finish ends the connection when what has begun is answered: no more is read, and no more begins.
func (c *Conn) finish(cause error) {
	c.stopReading()
	c.report(cause)
}

// report counts and logs the first fault of the connection.
func (c *Conn) report(cause error) {
	if errors.Is(cause, errPeerGone) || errors.Is(cause, ErrServerClosed) || !c.reported.CompareAndSwap(false, true) {
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
		c.srv.log.Warn("closing client connection", "peer", c.remote, "listener", c.endpoint.Name, "client_id", c.ClientID(),
			"cause", cause, "others_not_logged", suppressed)
	}
}
