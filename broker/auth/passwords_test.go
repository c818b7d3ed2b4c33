package auth

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

func TestRememberedPasswordsGoWithTheCredential(t *testing.T) {
	users := newPeople(t)
	users.set(t, "u", "old", ScramSHA512)
	m := mechanisms(t, users, Plain)
	try := func(password string) bool {
		t.Helper()
		_, err := login(t.Context(), m, client(Plain, "u", password))
		return err == nil
	}
	if !try("old") || len(m.checker.right) != 1 || !m.checker.remembered("u", "old") {
		t.Fatal("the right password is not remembered")
	}
	if m.checker.remembered("u", "new") || m.checker.remembered("v", "old") {
		t.Error("what was not right is remembered")
	}
	users.set(t, "u", "new", ScramSHA512)
	if try("old") || !try("new") {
		t.Error("a changed password")
	}
	users.alter(t, metastore.ConfigChange{
		ConfigResource: metastore.ConfigResource{Kind: metastore.Credentials, Name: "u"}, Unset: []string{string(ScramSHA512)},
	})
	if try("new") || len(m.checker.right) != 0 {
		t.Error("a user who is gone")
	}
}

func TestOnlySoManyPasswordsAreRemembered(t *testing.T) {
	p := newPasswords(newLookup(newPeople(t), nil), 1)
	for i := range maxRemembered + 10 {
		p.remember(fmt.Sprint(i), [32]byte{1})
	}
	if n := len(p.right); n != maxRemembered {
		t.Errorf("%d", n)
	}
}

func TestChecksOfPasswordsWaitForEachOther(t *testing.T) {
	users := newPeople(t)
	users.set(t, "u", "p", ScramSHA256)
	m, err := New(users, Options{Enabled: []Mechanism{Plain}, Derivations: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.checker.slots.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := login(ctx, m, client(Plain, "u", "p")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("while another is checked: %v", err)
	}
	m.checker.slots.Release(1)
	if _, err := login(t.Context(), m, client(Plain, "u", "p")); err != nil {
		t.Error(err)
	}
	m.checker.slots.TryAcquire(1)
	if _, err := login(ctx, m, client(Plain, "u", "p")); err != nil {
		t.Errorf("one that is remembered waits: %v", err)
	}
}

func BenchmarkScramLogin(b *testing.B) {
	users := newPeople(b)
	users.set(b, "u", "p", ScramSHA256, ScramSHA512)
	m := mechanisms(b, users, ScramSHA256, ScramSHA512, Plain)
	for _, by := range []Mechanism{ScramSHA256, ScramSHA512, Plain} { // with what the client does for SCRAM
		b.Run(string(by), func(b *testing.B) {
			for b.Loop() {
				if _, err := login(b.Context(), m, client(by, "u", "p")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("PLAIN-wrong", func(b *testing.B) {
		for b.Loop() {
			if _, err := login(b.Context(), m, client(Plain, "u", "x")); err == nil {
				b.Fatal("logged in")
			}
		}
	})
}
