package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/auth"
	"github.com/runnel-io/runnel/broker/wire"
)

// login is how far a connection has come in authenticating. Requests that belong to it are one at a time.
type login struct {
	exchange  auth.Exchange // nil: none is under way
	mechanism string
	again     *wire.Session // whom it is to prove anew, nil if it is the first
	began     time.Time     // the latest that was again
}

// leastBetweenLogins is how often a client may authenticate on one connection, as in Kafka.
const leastBetweenLogins = time.Second

// tokenWait bounds how long one token may take to be looked at.
const tokenWait = 10 * time.Second

// authenticated tells whether the client of the connection has come in by SASL.
func authenticated(c *wire.Conn) bool { return c.Session().Mechanism != "" }

func (l *login) mayBeginAgain(s *wire.Session, now time.Time) bool {
	return !s.Expires.IsZero() && (l.began.IsZero() || now.Sub(l.began) >= leastBetweenLogins)
}

func (l *login) begin(e auth.Exchange, mechanism string, s *wire.Session, again bool, now time.Time) {
	l.exchange, l.mechanism, l.again = e, mechanism, nil
	if again {
		l.again, l.began = s, now
	}
}

// loginError is an authentication that failed, with what the client is told.
type loginError struct{ text, cause string }

func (e *loginError) Error() string { return "authentication failed: " + e.cause }

// token takes a token of the client. lifetime is that of the session, if it is there with the answer. A *loginError is an
// authentication that failed; other errors leave open whether it would have.
func (b *Broker) token(ctx context.Context, c *wire.Conn, l *login, token []byte) (reply []byte, lifetime time.Duration, err error) {
	if l.again != nil && l.again.Mechanism != l.mechanism {
		text := fmt.Sprintf("SASL mechanism '%s' requested by client is not supported for re-authentication of mechanism '%s'", l.mechanism, l.again.Mechanism)
		return nil, 0, b.failLogin(c, l, l.again.Principal, text, "another mechanism than before")
	}
	ctx, cancel := context.WithTimeout(ctx, tokenWait)
	defer cancel()
	reply, done, err := l.exchange.Step(ctx, token)
	if refused, ok := errors.AsType[*auth.Refused](err); ok {
		return nil, 0, b.failLogin(c, l, claimed(refused), cmp.Or(refused.Text, l.usualText()), refused.Cause)
	}
	if err != nil {
		b.recordLogin(c, "", l.mechanism, err.Error())
		return nil, 0, err
	}
	if !done {
		return reply, 0, nil
	}
	lifetime, err = b.finishLogin(c, l)
	return reply, lifetime, err
}

// finishLogin makes the session of an exchange that is done. The client has been told neither.
func (b *Broker) finishLogin(c *wire.Conn, l *login) (lifetime time.Duration, err error) {
	who := l.exchange.Identity()
	if l.again != nil && l.again.Principal != who.Principal {
		text := fmt.Sprintf("Cannot change principals during re-authentication from %s: %s", l.again.Principal, who.Principal)
		return 0, b.failLogin(c, l, who.Principal, text, "re-authentication of "+l.again.Principal+" as "+who.Principal)
	}
	now := b.Now()
	lifetime = b.Settings.Load().ConnectionsMaxReauth
	if !who.Expires.IsZero() {
		left := max(who.Expires.Sub(now), time.Millisecond)
		if lifetime == 0 || left < lifetime {
			lifetime = left
		}
	}
	session := wire.Session{Principal: who.Principal, Mechanism: string(who.Mechanism)}
	if lifetime > 0 {
		session.Expires = now.Add(lifetime)
	}
	c.Authenticate(session)
	l.exchange, l.again = nil, nil
	b.Audit.Record(audit.Event{
		Kind: audit.Authentication, Principal: who.Principal, Host: c.ClientHost(), ClientID: c.ClientID(), Listener: c.Endpoint().Name,
		Action: "SaslAuthenticate", Detail: string(who.Mechanism),
	})
	return lifetime, nil
}

func (l *login) usualText() string {
	during := "authentication"
	if l.again != nil {
		during = "re-authentication"
	}
	return "Authentication failed during " + during + " due to invalid credentials with SASL mechanism " + l.mechanism
}

func (b *Broker) failLogin(c *wire.Conn, l *login, who, text, cause string) error {
	b.recordLogin(c, who, l.mechanism, cause)
	return &loginError{text: text, cause: l.mechanism + ": " + cause}
}

// recordLogin records an authentication that did not succeed.
func (b *Broker) recordLogin(c *wire.Conn, who, mechanism, cause string) {
	if mechanism != "" {
		cause = mechanism + ": " + cause
	}
	b.Audit.Record(audit.Event{
		Kind: audit.Authentication, Principal: cmp.Or(who, c.Session().Principal), Host: c.ClientHost(), ClientID: c.ClientID(), Listener: c.Endpoint().Name,
		Action: "SaslAuthenticate", Failed: true, Detail: cause,
	})
}

// endLogin lets the answer under way be the last one.
func (b *Broker) endLogin(c *wire.Conn, cause error) {
	c.Fail(b.Settings.Load().FailedAuthenticationDelay, cause)
}

// rawToken takes a token that came without headers, after SaslHandshake v0. As in Kafka, a failure has no answer.
func (b *Broker) rawToken(c *wire.Conn, l *login, token []byte) ([]byte, error) {
	reply, _, err := b.token(context.Background(), c, l, token)
	if err != nil {
		b.endLogin(c, err)
	}
	return reply, err
}

// claimed is the principal that a client said it was, "" if it said nothing that could be one.
func claimed(r *auth.Refused) string {
	if r.Claimed == "" {
		return ""
	}
	return "User:" + r.Claimed
}

// printableName is a name of the client's choice for a log.
func printableName(name string) string {
	const most = 64
	if len(name) > most {
		name = name[:most]
	}
	return strconv.QuoteToASCII(name)
}
