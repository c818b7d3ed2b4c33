package auth

import (
	"context"
	"fmt"
	"hash"
	"strings"

	"github.com/xdg-go/scram"
)

// SCRAM (RFC 5802, RFC 7677), without channel binding, as Kafka has it. Names and passwords are taken as they are, without
// SASLprep, as Kafka's clients send them. Delegation tokens (KIP-48), which come as an extension, are not served.

// maxScramToken is far more than a name and nonces need.
const maxScramToken = 4 << 10

// saslScram is an exchange of two steps.
type saslScram struct {
	mechanism    Mechanism
	conversation *scram.ServerConversation
	challenge    challenge
	claimed      string
	ended, valid bool
}

func newScram(l *lookup, m Mechanism) (*saslScram, error) {
	s := &saslScram{mechanism: m}
	server, err := scram.HashGeneratorFcn(func() hash.Hash { return m.hasher()() }).NewServer(func(user string) (scram.StoredCredentials, error) {
		c, _ := l.credential(m, user)
		s.challenge.credential = c
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(c.Salt), Iters: c.Iterations}, StoredKey: c.StoredKey, ServerKey: c.ServerKey,
		}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", m, err)
	}
	s.conversation = server.NewConversation()
	return s, nil
}

// Step implements Exchange.
func (s *saslScram) Step(_ context.Context, token []byte) (reply []byte, done bool, err error) {
	if s.ended {
		return nil, false, s.refused("a token after the end of the exchange")
	}
	first := s.claimed == ""
	if len(token) > maxScramToken {
		err = s.refused("token too long")
	} else if first {
		reply, err = s.first(string(token))
	} else {
		reply, err = s.final(string(token))
	}
	s.ended = !first || err != nil
	return reply, s.ended && err == nil, err
}

func (s *saslScram) first(token string) ([]byte, error) {
	if err := checkClientFirst(token); err != "" {
		return nil, s.refused(err)
	}
	reply, err := s.conversation.Step(token)
	if err != nil {
		return nil, s.refused("first message is malformed") // the library's text quotes it, and it may be a token of PLAIN
	}
	name, authzid := s.conversation.Username(), s.conversation.AuthzID()
	if err := CheckName(name); err != nil {
		return nil, s.refused(err.Error())
	}
	s.claimed = name
	if authzid != "" && authzid != name {
		return nil, &Refused{Claimed: name, Text: otherAuthorization, Cause: "asks for the rights of another user"}
	}
	s.challenge.split(token)
	s.challenge.reply = reply
	return []byte(reply), nil
}

// checkClientFirst refuses what the library would take: a nonce that is none, and delegation tokens.
func checkClientFirst(token string) string {
	fields := strings.Split(token, ",")
	if len(fields) < 4 {
		return "first message has too few fields"
	}
	nonce := strings.TrimPrefix(fields[3], "r=")
	if nonce == "" || strings.ContainsFunc(nonce, func(r rune) bool { return r < '!' || r > '~' }) {
		return "first message has no nonce"
	}
	for _, extension := range fields[4:] {
		if strings.HasPrefix(strings.ToLower(extension), "tokenauth=") {
			return "delegation tokens are not served"
		}
	}
	return ""
}

func (s *saslScram) final(token string) ([]byte, error) {
	var reply string
	if s.challenge.isLong(token) {
		reply, s.valid = s.challenge.verify(s.mechanism, token)
	} else {
		var err error
		reply, err = s.conversation.Step(token)
		s.valid = err == nil && s.conversation.Valid()
	}
	if !s.valid {
		return nil, s.refused("no proof of the password")
	}
	return []byte(reply), nil
}

func (s *saslScram) refused(cause string) error { return &Refused{Claimed: s.claimed, Cause: cause} }

// Identity implements Exchange.
func (s *saslScram) Identity() Identity {
	if !s.valid {
		return Identity{}
	}
	return Identity{Principal: principalType + s.claimed, Mechanism: s.mechanism}
}

const otherAuthorization = "Authentication failed: Client requested an authorization id that is different from username"

// printable is a text for a log that may hold what a peer sent.
func printable(text string) string {
	const most = 200
	if len(text) > most {
		text = text[:most]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
