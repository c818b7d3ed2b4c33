package auth

import (
	"bytes"
	"context"
	"errors"
	"strings"
)

// OAUTHBEARER (RFC 7628) without channel binding: the client's token is a JWT of an identity provider. A token that is
// refused is answered with a reason as JSON; the client acknowledges it with one byte, and then the exchange fails.

// maxBearerToken leaves room for tokens that list many groups.
const maxBearerToken = 64 << 10

// invalidToken is the answer to a token that is refused (RFC 7628, section 3.2.2; RFC 6750, section 3.1).
const invalidToken = `{"status":"invalid_token"}`

const bearerSeparator = "\x01"

// bearer is an exchange of one step, or of two if the token is refused.
type bearer struct {
	tokens   *tokens
	refused  *Refused // and the client was told
	identity Identity
	ended    bool
}

// Step implements Exchange.
func (b *bearer) Step(ctx context.Context, message []byte) (reply []byte, done bool, err error) {
	if b.ended {
		return nil, false, &Refused{Cause: "a token after the end of the exchange"}
	}
	if b.refused != nil { // the acknowledgment, or whatever is in its place
		b.ended = true
		return nil, false, b.refused
	}
	token, authzid, err := parseBearer(message)
	if err != nil {
		b.ended = true
		return nil, false, err
	}
	claims, err := b.tokens.verify(ctx, token)
	if errors.Is(err, ErrUnavailable) {
		b.ended = true
		return nil, false, err
	}
	if err == nil && authzid != "" && authzid != claims.name {
		err = errors.New("asks for the rights of another user")
	}
	if err != nil {
		b.refused = &Refused{Claimed: claims.name, Text: invalidToken, Cause: printable(err.Error())}
		return []byte(invalidToken), false, nil
	}
	b.ended = true
	b.identity = Identity{Principal: principalType + claims.name, Mechanism: OAuthBearer, Expires: claims.expires}
	return []byte{}, true, nil
}

// Identity implements Exchange.
func (b *bearer) Identity() Identity { return b.identity }

// parseBearer takes a client's first message apart: "n,a=authzid," and pairs of names and values, of which one is
// "auth=Bearer TOKEN"; each ends in a separator, and so do all. The others are extensions (KIP-342), which mean nothing here. *Refused.
func parseBearer(message []byte) (token, authzid string, err error) {
	wrong := func(cause string) (string, string, error) { return "", "", &Refused{Cause: cause} }
	if len(message) > maxBearerToken {
		return wrong("token too long")
	}
	header, rest, ok := bytes.Cut(message, []byte(bearerSeparator))
	flag, header, ok2 := bytes.Cut(header, []byte(","))
	name, ok3 := bytes.CutSuffix(header, []byte(","))
	pairs, ok4 := bytes.CutSuffix(rest, []byte(bearerSeparator+bearerSeparator))
	if !ok || !ok2 || !ok3 || !ok4 || string(flag) != "n" && string(flag) != "y" {
		return wrong("message does not have the form of RFC 7628")
	}
	if len(name) > 0 {
		if authzid, ok = unescaped(string(name)); !ok {
			return wrong("authorization id is malformed")
		}
	}
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(string(pairs), bearerSeparator) {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || strings.ContainsFunc(key, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) || seen[key] {
			return wrong("pairs of names and values are malformed")
		}
		seen[key] = true
		if key != "auth" {
			continue
		}
		scheme, credentials, ok := strings.Cut(value, " ")
		if !ok || !strings.EqualFold(scheme, "bearer") || credentials == "" {
			return wrong("the scheme is not Bearer")
		}
		token = strings.TrimLeft(credentials, " ")
	}
	if token == "" {
		return wrong("no token")
	}
	return token, authzid, nil
}

// unescaped reads "a=" and a name in which commas and equals signs are escaped (RFC 5801, section 4).
func unescaped(field string) (string, bool) {
	escaped, ok := strings.CutPrefix(field, "a=")
	name := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(escaped)
	plain := strings.NewReplacer("=2C", "", "=3D", "").Replace(escaped)
	return name, ok && name != "" && !strings.ContainsAny(plain, "=,")
}
