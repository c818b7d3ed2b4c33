package wire

import "time"

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
// others of the connection (Overlapping ones) ask before they return their Pending.
func (c *Conn) Session() *Session { return c.session.Load() }

// Authenticate makes the peer who it has proved to be. Requests after the one that is handled are the new session's.
func (c *Conn) Authenticate(s Session) { c.session.Store(&s) }

// Endpoint is a listener: what all its connections have in common.
type Endpoint struct {
	Name string // of the listener, as in Kafka: "PLAINTEXT"
}

// Endpoint is the listener by which the peer came.
func (c *Conn) Endpoint() *Endpoint { return c.endpoint }
