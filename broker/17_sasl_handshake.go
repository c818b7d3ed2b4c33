package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
)

// SaslHandshake (17), versions 0 and 1: chooses the mechanism by which the client authenticates, and is told which there
// are. After v0 the tokens come as frames without headers, after v1 in SaslAuthenticate (KIP-152). A client whose session ends at some
// time may begin anew on the same connection, once a second (KIP-368). Where there is no SASL, and at any other time, it is
// ILLEGAL_SASL_STATE.

var errHandshakeTwice = errors.New("SaslHandshake in place of SaslAuthenticate")

func (b *Broker) saslHandshake(_ context.Context, c *wire.Conn, req kmsg.Request) wire.Pending {
	asked := req.(*kmsg.SASLHandshakeRequest)
	resp := respond[*kmsg.SASLHandshakeResponse](req)
	l := &attached(c).login
	session, again := c.Session(), authenticated(c)
	switch {
	case !c.Endpoint().SASL, again && !l.mayBeginAgain(session, b.Now()), again && asked.Version == 0:
		resp.ErrorCode = kerr.IllegalSaslState.Code
		return wire.Ready(resp)
	case l.exchange != nil:
		resp.ErrorCode = kerr.IllegalSaslState.Code
		b.endLogin(c, errHandshakeTwice)
		return wire.Ready(resp)
	}
	for _, m := range b.Authentication.Enabled() {
		resp.SupportedMechanisms = append(resp.SupportedMechanisms, string(m))
	}
	exchange, err := b.Authentication.Start(asked.Mechanism)
	if err != nil {
		resp.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		b.recordLogin(c, "", "", "mechanism "+printableName(asked.Mechanism)+" is not enabled")
		b.endLogin(c, err)
		return wire.Ready(resp)
	}
	l.begin(exchange, asked.Mechanism, session, again, b.Now())
	if asked.Version == 0 {
		c.RawSASL(func(token []byte) ([]byte, error) { return b.rawToken(c, l, token) })
	}
	return wire.Ready(resp)
}
