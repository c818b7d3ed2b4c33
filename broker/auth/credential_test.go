package auth

import (
	"errors"
	"strings"
	"testing"
)

func TestCredentialsAreReadStrictly(t *testing.T) {
	c, err := NewCredential(ScramSHA256, "p", 5000)
	if err != nil {
		t.Fatal(err)
	}
	good := c.Encode()
	if read, err := ParseCredential(ScramSHA256, good); err != nil || read.Encode() != good || !read.matches(ScramSHA256, "p") || read.matches(ScramSHA256, "q") {
		t.Errorf("%s: %v", good, err)
	}
	for _, bad := range []string{
		"", "x", good + ",", good + "\n", " " + good,
		strings.Replace(good, "5000", "4095", 1), strings.Replace(good, "5000", "16385", 1), strings.Replace(good, "5000", "05000", 1), strings.Replace(good, "5000", "+5000", 1),
		strings.Replace(good, "salt=", "salt=\n", 1), strings.Replace(good, "salt=", "pepper=", 1),
		strings.Replace(good, "stored_key=", "stored_key=AAAA", 1),
		strings.Join(strings.Split(good, ",")[:3], ","),
	} {
		if _, err := ParseCredential(ScramSHA256, bad); !errors.Is(err, ErrCredential) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, other := range []Mechanism{ScramSHA512, Plain, "x"} {
		if _, err := ParseCredential(other, good); !errors.Is(err, ErrCredential) {
			t.Errorf("as %s: %v", other, err)
		}
	}
}

func TestCredentialsThatAreNotMade(t *testing.T) {
	salted, salt := make([]byte, 64), []byte("salt")
	for name, err := range map[string]error{
		"few iterations":  second(SaltedCredential(ScramSHA512, salted, salt, MinIterations-1)),
		"many iterations": second(SaltedCredential(ScramSHA512, salted, salt, MaxIterations+1)),
		"no salt":         second(SaltedCredential(ScramSHA512, salted, nil, MinIterations)),
		"long salt":       second(SaltedCredential(ScramSHA512, salted, make([]byte, 256), MinIterations)),
		"other hash":      second(SaltedCredential(ScramSHA256, salted, salt, MinIterations)),
	} {
		if !errors.Is(err, ErrCredential) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewCredential(Plain, "p", MinIterations); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

func second[A any](_ A, err error) error { return err }

func TestNames(t *testing.T) {
	for _, good := range []string{"alice", "CN=alice,O=example", "a b", "Ærø", "日本", "alice@example.com", strings.Repeat("x", 255), "User:a"} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("x", 256), "a\x00", "a\nb", "\x7f", "\u0085", "\xff", "\u200e", "\u00ad", "\ue000", "ا1"} {
		if err := CheckName(bad); err == nil {
			t.Errorf("%q is a name", bad)
		}
	}
}
