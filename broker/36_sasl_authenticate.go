package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
)

// SaslAuthenticate (36), versions 0 to 2 (KIP-152): a token of the mechanism that SaslHandshake chose, and its answer. v1 tells
// with the last one how long the session lasts (KIP-368). An authentication that fails is SASL_AUTHENTICATION_FAILED, with a text
// that does not tell which part was wrong, and ends the connection after connections.failed.authentication.delay.ms. A
// re-authentication must be by the same mechanism, and prove the same principal.

var errNoHandshake = errors.New("SaslAuthenticate without SaslHandshake")

func (b *Broker) saslAuthenticate(_ context.Context, c *wire.Conn, req kmsg.Request) wire.Pending {
	asked := req.(*kmsg.SASLAuthenticateRequest)
	resp := respond[*kmsg.SASLAuthenticateResponse](req)
	l := &attached(c).login
	illegal := func(text string) wire.Pending {
		resp.ErrorCode, resp.ErrorMessage = failure(refuse(kerr.IllegalSaslState, text))
		return wire.Ready(resp)
	}
	switch {
	case !c.Endpoint().SASL:
		return illegal("SaslAuthenticate on a listener without SASL")
	case l.exchange == nil && authenticated(c):
		return illegal("SaslAuthenticate request received after successful authentication")
	case l.exchange == nil:
		b.endLogin(c, errNoHandshake)
		return illegal(errNoHandshake.Error())
	}
	return func(ctx context.Context) kmsg.Response {
		reply, lifetime, err := b.token(ctx, c, l, asked.SASLAuthBytes)
		switch failed := (*loginError)(nil); {
		case errors.As(err, &failed):
			b.endLogin(c, err)
			resp.ErrorCode, resp.ErrorMessage = failure(refuse(kerr.SaslAuthenticationFailed, failed.text))
		case err != nil:
			c.Abort(err)
			return nil
		default:
			resp.SASLAuthBytes, resp.SessionLifetimeMillis = reply, lifetime.Milliseconds()
		}
		return resp
	}
}
