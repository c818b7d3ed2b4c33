package wire

import (
	"crypto/tls"
	"fmt"
	"time"
)

// Anonymous is the principal of peers that nothing has authenticated, as Kafka names it.
const Anonymous = "User:ANONYMOUS"

// Session is who the peer of a connection is. It does not change; another takes its place when the peer authenticates
// anew.
type Session struct {
	Principal string    // type and name as in Kafka, "User:alice"
	Mechanism string    // of SASL, "" if it was not SASL
	Expires   time.Time // after which the peer must have authenticated anew (KIP-368); zero: never
}

var anonymous = &Session{Principal: Anonymous}

// Session returns who the peer is by now. Requests are handled by who it was when they began: handlers that work beside
// others of the connection (Overlapping ones) ask before they return their Pending. Of a zero Conn it is anonymous.
func (c *Conn) Session() *Session {
	if s := c.session.Load(); s != nil {
		return s
	}
	return anonymous
}

// Authenticate makes the peer who it has proved to be. Requests after the one that is handled are the new session's, and
// if that is the first, they may be of all kinds. Only handlers of Serial requests may call it.
func (c *Conn) Authenticate(s Session) {
	c.session.Store(&s)
	c.getToKnow()
}

// Endpoint is a listener: what all its connections have in common. The zero value is open to all, in plaintext.
type Endpoint struct {
	Name     string             // of the listener, as in Kafka: "PLAINTEXT"
	Protocol string             // "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL": for descriptions
	TLS      func() *tls.Config // nil: no TLS. Asked for each connection
	// Principal of a peer whose certificate was verified; default, and for "", Anonymous. An error closes the connection.
	// It is not asked where SASL is: who has logged in is who the login says.
	Principal      func(tls.ConnectionState) (string, error)
	Proved         func(c *Conn, refused error) // told of peers that certificates make known (nil), and of certificates that are refused
	SASL           bool                         // a peer is served once Conn.Authenticate was called; before, it may send what is Unauthenticated
	MaxConnections func() int                   // of the listener; default, and for 0, no limit of its own. As with Options.MaxConnections
	Zone           string                       // of clients of which nothing else tells it
}

var openToAll = &Endpoint{Name: "PLAINTEXT", Protocol: "PLAINTEXT"}

// Endpoint is the listener by which the peer came. Of a zero Conn it is one open to all.
func (c *Conn) Endpoint() *Endpoint {
	if c.endpoint == nil {
		return openToAll
	}
	return c.endpoint
}

// refuses tells whether a request does not begin: it came when its session had ended, which the clock at its arrival
// decides as in Kafka, or after something that ends the connection. What began before is answered.
func (c *Conn) refuses(r *request) bool {
	if c.refusing {
		return true
	}
	end := c.Session().Expires
	if end.IsZero() || !r.at.After(end) || r.route.Unauthenticated {
		return false
	}
	c.refusing = true
	c.finish(fmt.Errorf("%w: %s of %s came after %s, when it should have authenticated anew", errSessionExpired, r.route.Name,
		c.Session().Principal, end.UTC().Format(time.RFC3339)))
	return true
}

// Fail is for a peer that failed to log in. As in Kafka (connections.failed.authentication.delay.ms), the answer to the
// request that is handled waits for the delay, for as long as AuthenticationTimeout at most; then it is sent and the
// connection is closed. Nothing is read meanwhile, so that guessing passwords takes its time. Only handlers of Serial
// requests may call it.
func (c *Conn) Fail(delay time.Duration, cause error) {
	c.refusing = true
	c.refusal = min(delay, c.srv.opts.AuthenticationTimeout)
	c.finish(fmt.Errorf("%w: %v", errFailedLogin, cause))
}
