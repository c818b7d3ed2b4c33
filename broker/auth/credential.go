package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// Bounds of iterations, as Kafka has them.
const (
	MinIterations     = 4096
	MaxIterations     = 16384
	DefaultIterations = 4096
)

// maxSalt is the longest salt, in bytes.
const maxSalt = 255

// newSaltBytes is the length of salts that are made here.
const newSaltBytes = 24

// hasher is the hash of a mechanism of SCRAM, nil for other mechanisms.
func (m Mechanism) hasher() func() hash.Hash {
	switch m {
	case ScramSHA256:
		return sha256.New
	case ScramSHA512:
		return sha512.New
	}
	return nil
}

// Credential is what a password of a user is checked against (RFC 5802, section 3). It does not hold the password, but who
// knows it can try passwords out.
type Credential struct {
	Iterations int
	Salt       []byte
	StoredKey  []byte
	ServerKey  []byte
}

// ErrCredential: a credential that no login could use.
var ErrCredential = errors.New("unacceptable credential")

// NewCredential makes a credential of a mechanism of SCRAM for a password, with a new salt.
func NewCredential(m Mechanism, password string, iterations int) (Credential, error) {
	if m.hasher() == nil {
		return Credential{}, fmt.Errorf("%w: %q has none", ErrUnsupported, m)
	}
	salt := make([]byte, newSaltBytes)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(m.hasher(), password, salt, iterations, m.hasher()().Size())
	if err != nil {
		return Credential{}, fmt.Errorf("derive keys of a password: %w", err)
	}
	return SaltedCredential(m, salted, salt, iterations)
}

// SaltedCredential makes a credential for a password that was derived with the salt already.
func SaltedCredential(m Mechanism, salted, salt []byte, iterations int) (Credential, error) {
	h := m.hasher()
	switch {
	case h == nil:
		return Credential{}, fmt.Errorf("%w: %q has none", ErrUnsupported, m)
	case iterations < MinIterations:
		return Credential{}, fmt.Errorf("%w: too few iterations", ErrCredential)
	case iterations > MaxIterations:
		return Credential{}, fmt.Errorf("%w: too many iterations", ErrCredential)
	case len(salt) == 0 || len(salt) > maxSalt:
		return Credential{}, fmt.Errorf("%w: the salt must have 1 to %d bytes", ErrCredential, maxSalt)
	case len(salted) != h().Size():
		return Credential{}, fmt.Errorf("%w: a salted password of %s has %d bytes", ErrCredential, m, h().Size())
	}
	return Credential{Iterations: iterations, Salt: salt, StoredKey: storedKey(h, salted), ServerKey: mac(h, salted, "Server Key")}, nil
}

func storedKey(h func() hash.Hash, salted []byte) []byte {
	sum := h()
	sum.Write(mac(h, salted, "Client Key"))
	return sum.Sum(nil)
}

func mac(h func() hash.Hash, key []byte, parts ...string) []byte {
	sum := hmac.New(h, key)
	for _, p := range parts {
		sum.Write([]byte(p))
	}
	return sum.Sum(nil)
}

// Encode is the credential as the commit log holds it.
func (c Credential) Encode() string {
	b64 := base64.StdEncoding.EncodeToString
	return "iterations=" + strconv.Itoa(c.Iterations) + ",salt=" + b64(c.Salt) + ",stored_key=" + b64(c.StoredKey) + ",server_key=" + b64(c.ServerKey)
}

// ParseCredential reads what Encode wrote for a mechanism, and nothing else. ErrCredential.
func ParseCredential(m Mechanism, text string) (Credential, error) {
	h := m.hasher()
	fields := strings.Split(text, ",")
	if h == nil || len(fields) != 4 {
		return Credential{}, fmt.Errorf("%w: not the form of one", ErrCredential)
	}
	iterations, err := parseIterations(fields[0])
	if err != nil {
		return Credential{}, err
	}
	c := Credential{Iterations: iterations}
	for i, field := range []struct {
		name        string
		least, most int
		value       *[]byte
	}{{"salt", 1, maxSalt, &c.Salt}, {"stored_key", h().Size(), h().Size(), &c.StoredKey}, {"server_key", h().Size(), h().Size(), &c.ServerKey}} {
		encoded, ok := strings.CutPrefix(fields[i+1], field.name+"=")
		decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !ok || err != nil || strings.ContainsAny(encoded, "\r\n") || len(decoded) < field.least || len(decoded) > field.most {
			return Credential{}, fmt.Errorf("%w: %s", ErrCredential, field.name)
		}
		*field.value = decoded
	}
	return c, nil
}

func parseIterations(field string) (int, error) {
	digits, ok := strings.CutPrefix(field, "iterations=")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || strconv.Itoa(n) != digits || n < MinIterations || n > MaxIterations {
		return 0, fmt.Errorf("%w: iterations", ErrCredential)
	}
	return n, nil
}

// matches tells whether the password is the credential's. It costs as many hashes as there are iterations.
func (c Credential) matches(m Mechanism, password string) bool {
	h := m.hasher()
	salted, err := pbkdf2.Key(h, password, c.Salt, c.Iterations, h().Size())
	return err == nil && hmac.Equal(storedKey(h, salted), c.StoredKey)
}
