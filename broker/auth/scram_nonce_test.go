package auth

import (
	"crypto/pbkdf2"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
)

// lastMessage is that of a client with a password, which says what it likes as channel binding and nonce, and the signature that
// it expects of the server.
func lastMessage(t *testing.T, m Mechanism, bare, challenge, password, binding, nonce string) (final, want string) {
	t.Helper()
	fields := strings.Split(challenge, ",")
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[1], "s="))
	if err != nil {
		t.Fatal(err)
	}
	iterations, err := strconv.Atoi(strings.TrimPrefix(fields[2], "i="))
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(m.hasher(), password, salt, iterations, m.hasher()().Size())
	if err != nil {
		t.Fatal(err)
	}
	without := "c=" + base64.StdEncoding.EncodeToString([]byte(binding)) + ",r=" + nonce
	signed := bare + "," + challenge + "," + without
	proof := mac(m.hasher(), storedKey(m.hasher(), salted), signed)
	for i, b := range mac(m.hasher(), salted, "Client Key") {
		proof[i] ^= b
	}
	b64 := base64.StdEncoding.EncodeToString
	return without + ",p=" + b64(proof), "v=" + b64(mac(m.hasher(), mac(m.hasher(), salted, "Server Key"), signed))
}

// TestANonceAfterTheClientsOwn: librdkafka before 2.6.1, such as that of Debian 12, answers with its own nonce before the server's,
// and comes in, as in Kafka. Whatever lacks the server's nonce does not, nor what proves another password.
func TestANonceAfterTheClientsOwn(t *testing.T) {
	const own = "rOprNGfwEbeRWgbNEkqO"
	for _, m := range []Mechanism{ScramSHA256, ScramSHA512} {
		users := newPeople(t)
		users.set(t, "alice", "pencil", m)
		all := mechanisms(t, users, m)
		for name, tc := range map[string]struct {
			user, password, binding string
			nonce                   func(server string) string
			in                      bool
		}{
			"the server's":                  {"alice", "pencil", "n,,", func(s string) string { return s }, true},
			"the client's and the server's": {"alice", "pencil", "n,,", func(s string) string { return own + s }, true},
			"another password":              {"alice", "pen", "n,,", func(s string) string { return own + s }, false},
			"another binding":               {"alice", "pencil", "y,,", func(s string) string { return own + s }, false},
			"the client's alone":            {"alice", "pencil", "n,,", func(string) string { return own }, false},
			"the client's twice":            {"alice", "pencil", "n,,", func(string) string { return own + own }, false},
			"the server's part alone":       {"alice", "pencil", "n,,", func(s string) string { return strings.TrimPrefix(s, own) }, false},
			"something after it":            {"alice", "pencil", "n,,", func(s string) string { return s + own }, false},
			"a user who does not exist":     {"nobody", "pencil", "n,,", func(s string) string { return own + s }, false},
		} {
			exchange := begin(t, all, m)
			bare := "n=" + tc.user + ",r=" + own
			challenge, _, err := exchange.Step(t.Context(), []byte("n,,"+bare))
			if err != nil {
				t.Fatal(err)
			}
			r, _, _ := strings.Cut(string(challenge), ",")
			final, want := lastMessage(t, m, bare, string(challenge), tc.password, tc.binding, tc.nonce(strings.TrimPrefix(r, "r=")))
			reply, done, err := exchange.Step(t.Context(), []byte(final))
			if got := exchange.Identity().Principal; (err == nil && done && got == "User:alice") != tc.in || !tc.in && got != "" {
				t.Errorf("%s, %s: %q, done %t, %v", m, name, got, done, err)
			}
			if tc.in && string(reply) != want {
				t.Errorf("%s, %s: the server proves itself with %q, want %q", m, name, reply, want)
			}
			if _, done, err := exchange.Step(t.Context(), []byte(final)); err == nil || done {
				t.Errorf("%s, %s: the last message is taken twice", m, name)
			}
		}
		// What proved a password once proves nothing in another exchange.
		first := begin(t, all, m)
		bare := "n=alice,r=" + own
		challenge, _, err := first.Step(t.Context(), []byte("n,,"+bare))
		if err != nil {
			t.Fatal(err)
		}
		r, _, _ := strings.Cut(string(challenge), ",")
		final, _ := lastMessage(t, m, bare, string(challenge), "pencil", "n,,", own+strings.TrimPrefix(r, "r="))
		second := begin(t, all, m)
		if _, _, err := second.Step(t.Context(), []byte("n,,"+bare)); err != nil {
			t.Fatal(err)
		}
		if _, done, err := second.Step(t.Context(), []byte(final)); err == nil || done {
			t.Errorf("%s: the proof of one exchange is taken in another", m)
		}
	}
}
