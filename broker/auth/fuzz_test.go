package auth

import (
	"strings"
	"testing"
)

// FuzzParseCredential: what is read is written as it was.
func FuzzParseCredential(f *testing.F) {
	for _, m := range []Mechanism{ScramSHA256, ScramSHA512} {
		c, err := NewCredential(m, "p", MinIterations)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.Encode(), m == ScramSHA512)
	}
	f.Add("iterations=4096,salt=,stored_key=,server_key=", false)
	f.Fuzz(func(t *testing.T, text string, long bool) {
		m := ScramSHA256
		if long {
			m = ScramSHA512
		}
		c, err := ParseCredential(m, text)
		if err == nil && c.Encode() != text {
			t.Errorf("%q is read as %q", text, c.Encode())
		}
		formOf(text)
	})
}

// FuzzScram: no pair of tokens gets a peer in that has no password.
func FuzzScram(f *testing.F) {
	users := newPeople(f)
	users.set(f, "u", "p", ScramSHA256)
	m := mechanisms(f, users, ScramSHA256)
	f.Add("n,,n=u,r=abc", "c=biws,r=,p=AAAA")
	f.Add("y,a=u,n=u,r=abc,x=y", "c=eSxhPXUs,r=,x=y,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, first, second string) {
		e, err := m.Start("SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		reply, done, err := e.Step(t.Context(), []byte(first))
		if done || err == nil && !strings.HasPrefix(string(reply), "r=") {
			t.Fatalf("%q: %q, %v", first, reply, done)
		}
		nonce, _, _ := strings.Cut(string(reply), ",")
		second = strings.Replace(second, "r=", nonce, 1)
		if _, done, err := e.Step(t.Context(), []byte(second)); done || err == nil || e.Identity() != (Identity{}) {
			t.Fatalf("%q and %q: logged in", first, second)
		}
	})
}

// FuzzPlain: what is taken apart is put together again to the same.
func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x00u\x00p"))
	f.Add([]byte("u\x00u\x00p"))
	f.Fuzz(func(t *testing.T, token []byte) {
		user, password, err := parsePlain(token)
		if err != nil {
			return
		}
		if s := string(token); s != "\x00"+user+"\x00"+password && s != user+"\x00"+user+"\x00"+password || CheckName(user) != nil {
			t.Errorf("%q is %q and %q", token, user, password)
		}
	})
}
