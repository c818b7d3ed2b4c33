package auth

import (
	"bytes"
	"context"
	"errors"
)

// PLAIN (RFC 4616): authorization id, name and password between zero bytes. There are no users of its own: the password is
// checked against the verifiers of SCRAM.

// maxPlainToken bounds what is hashed for peers that nobody knows.
const maxPlainToken = 4 << 10

const wrongPassword = "Authentication failed: Invalid username or password"

// plain is an exchange of one step.
type plain struct {
	checker  *passwords
	identity Identity
	ended    bool
}

// Step implements Exchange.
func (p *plain) Step(ctx context.Context, token []byte) (reply []byte, done bool, err error) {
	if p.ended {
		return nil, false, &Refused{Cause: "a token after the end of the exchange"}
	}
	p.ended = true
	user, password, err := parsePlain(token)
	if err != nil {
		return nil, false, err
	}
	ok, err := p.checker.check(ctx, user, password)
	switch {
	case err != nil:
		return nil, false, errors.Join(ErrUnavailable, err)
	case !ok:
		return nil, false, &Refused{Claimed: user, Text: wrongPassword, Cause: "wrong name or password"}
	}
	p.identity = Identity{Principal: principalType + user, Mechanism: Plain}
	return []byte{}, true, nil
}

// parsePlain takes a token apart. *Refused.
func parsePlain(token []byte) (user, password string, err error) {
	if len(token) > maxPlainToken {
		return "", "", &Refused{Cause: "token too long"}
	}
	parts := bytes.Split(token, []byte{0})
	if len(parts) != 3 {
		return "", "", &Refused{Cause: "token does not have three parts"}
	}
	user, password = string(parts[1]), string(parts[2])
	if err := CheckName(user); err != nil {
		return "", "", &Refused{Text: wrongPassword, Cause: err.Error()}
	}
	if password == "" {
		return "", "", &Refused{Claimed: user, Text: "Authentication failed: password not specified", Cause: "no password"}
	}
	if authzid := string(parts[0]); authzid != "" && authzid != user {
		return "", "", &Refused{Claimed: user, Text: otherAuthorization, Cause: "asks for the rights of another user"}
	}
	return user, password, nil
}

// Identity implements Exchange.
func (p *plain) Identity() Identity { return p.identity }
