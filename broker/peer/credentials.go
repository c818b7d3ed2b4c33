package peer

import (
	"bytes"
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// LeastSecret is the length that a shared secret must have, in bytes.
const LeastSecret = 16

const (
	// A server shows the public key made of the secret to whoever connects, who may then try secrets out at leisure:
	// hence the length, and a slow derivation (OWASP's count for PBKDF2 with SHA-256), paid once at start.
	secretRounds = 600_000
	secretSalt   = "runnel peer port, version 1"
)

var errStranger = errors.New("the other side does not hold the cluster's shared secret")

// FromSecret makes credentials of a secret that all brokers share: each side proves that it holds the Ed25519 key which
// the secret yields. secret has LeastSecret bytes or more, of an entropy to match.
func FromSecret(secret string) (*Credentials, error) {
	if len(secret) < LeastSecret {
		return nil, fmt.Errorf("shared secret of %d bytes: needs %d or more", len(secret), LeastSecret)
	}
	seed, err := pbkdf2.Key(sha256.New, secret, []byte(secretSalt), secretRounds, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive key of shared secret: %w", err)
	}
	return FromKey(ed25519.NewKeyFromSeed(seed))
}

// FromKey is FromSecret for brokers that share a key instead.
func FromKey(key ed25519.PrivateKey) (*Credentials, error) {
	certificate, err := selfSigned(key)
	if err != nil {
		return nil, fmt.Errorf("make certificate of shared key: %w", err)
	}
	public := key.Public().(ed25519.PublicKey)
	known := func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errStranger
		}
		shown, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
		if !ok || !bytes.Equal(shown, public) {
			return errStranger
		}
		return nil // TLS 1.3 has proved that it holds the private key
	}
	client := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate},
		InsecureSkipVerify: true, //nolint:gosec // names and chains mean nothing here: VerifyConnection compares the key
		VerifyConnection:   known,
	}
	return &Credentials{
		server: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate},
			ClientAuth: tls.RequireAnyClientCert, VerifyConnection: known,
		},
		client: func() *tls.Config { return client },
	}, nil
}

// selfSigned makes a certificate that only carries the key. It does not expire: a secret is changed by changing it.
func selfSigned(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "runnel"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// FromConfigs makes credentials of the two sides of TLS. Both must demand and verify a certificate of the other side, the client
// also its name. client is asked for each connection, and what it returns is not kept.
func FromConfigs(server *tls.Config, client func() *tls.Config) *Credentials {
	server = server.Clone()
	server.MinVersion = tls.VersionTLS13
	return &Credentials{server: server, client: client}
}
