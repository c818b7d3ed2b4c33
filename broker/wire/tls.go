package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// recordTypeHandshake is the first byte of what a client of TLS sends (RFC 8446, 5.1).
const recordTypeHandshake = 22

// shakeHands makes the connection one of TLS if its endpoint says so, on the connection's own goroutine and in the time
// that the peer has to become known. False: it is to be closed.
func (c *Conn) shakeHands() bool {
	if c.endpoint.TLS == nil {
		return !c.isDraining()
	}
	config := c.endpoint.TLS()
	if config == nil {
		c.fail(fmt.Errorf("%w: listener %s has no certificate", errTLS, c.endpoint.Name))
		return false
	}
	secure := tls.Server(c.nc, config)
	if err := secure.Handshake(); err != nil { //nolint:noctx // deadlines end it, and a ctx would take another goroutine
		c.handshakeFailed(err)
		return false
	}
	c.nc = secure
	if c.endpoint.SASL {
		return true
	}
	session, err := c.certified(secure.ConnectionState())
	if err != nil {
		c.proved(err)
		c.report(fmt.Errorf("%w: %v", errTLS, err))
		return false
	}
	c.Authenticate(session)
	if session.Principal != Anonymous {
		c.proved(nil)
	}
	return true
}

// proved tells what became of the certificate of a peer.
func (c *Conn) proved(refused error) {
	if c.endpoint.Proved != nil {
		c.endpoint.Proved(c, refused)
	}
}

// isOfCertificate tells whether a handshake failed because of the certificate of the peer, or as it had none.
func isOfCertificate(err error) bool {
	var invalid *tls.CertificateVerificationError
	return errors.As(err, &invalid) || strings.Contains(err.Error(), "client didn't provide a certificate") // crypto/tls has no type for it
}

// certified is who a peer is by its certificate.
func (c *Conn) certified(state tls.ConnectionState) (Session, error) {
	if c.endpoint.Principal == nil || len(state.VerifiedChains) == 0 {
		return *anonymous, nil
	}
	principal, err := c.endpoint.Principal(state)
	if err != nil {
		return Session{}, fmt.Errorf("principal of the certificate: %w", err)
	}
	if principal == "" {
		return *anonymous, nil
	}
	return Session{Principal: principal}, nil
}

// handshakeFailed says why, unless the peer just went away, as probes of load balancers do.
func (c *Conn) handshakeFailed(err error) {
	var notTLS tls.RecordHeaderError
	switch {
	case c.isDraining() || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET):
		c.fail(errPeerGone)
	case errors.Is(err, os.ErrDeadlineExceeded): // fail has set the deadline
	case errors.As(err, &notTLS):
		c.report(fmt.Errorf("%w: the peer does not speak TLS, and listener %s does: %v", errTLS, c.endpoint.Name, err))
	default:
		if isOfCertificate(err) {
			c.proved(err)
		}
		c.report(fmt.Errorf("%w: %v", errTLS, err))
	}
}

// closeWrite ends the stream of answers, and tells whether the network can do that.
func (c *Conn) closeWrite() bool {
	if secure, ok := c.nc.(*tls.Conn); ok && secure.CloseWrite() != nil {
		return false
	}
	half, ok := c.raw.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

// recordBytes is how much a record of TLS holds (RFC 8446, 5.1).
const recordBytes = 16 << 10

var recordBuffers = sync.Pool{New: func() any { return new([recordBytes]byte) }}

// writeRecords writes slices in full records of TLS. What lies between the full ones in large slices is gathered: each
// write is a record and a call to the kernel at least.
func writeRecords(w io.Writer, slices net.Buffers) error {
	buf := recordBuffers.Get().(*[recordBytes]byte)
	defer recordBuffers.Put(buf)
	have := 0
	for _, b := range slices {
		for len(b) > 0 {
			if have == 0 && len(b) >= recordBytes {
				whole := len(b) / recordBytes * recordBytes
				if _, err := w.Write(b[:whole]); err != nil {
					return err
				}
				b = b[whole:]
				continue
			}
			n := copy(buf[have:], b)
			have, b = have+n, b[n:]
			if have == recordBytes {
				if _, err := w.Write(buf[:]); err != nil {
					return err
				}
				have = 0
			}
		}
	}
	if have == 0 {
		return nil
	}
	_, err := w.Write(buf[:have])
	return err
}
