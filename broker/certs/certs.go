// Package certs makes TLS configurations of PEM files, which it looks at again while the broker runs, and of the certificates
// of clients the names of their principals.
package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Files are what a server shows and whom it believes.
type Files struct {
	Certificate string // the server's, with those between it and its authority behind it; PEM
	Key         string // of Certificate; PEM
	Authority   string // certificates of those who sign clients'; PEM; "": none
}

// ClientAuth is what a server asks of clients.
type ClientAuth uint8

// A certificate that is shown is verified with both Requested and Required.
const (
	None ClientAuth = iota
	Requested
	Required
)

// Source is a certificate as its files have it: read once when it is made, and anew by its Watcher. Connections keep what they
// began with.
type Source struct {
	use   string
	files Files

	current atomic.Pointer[material]

	// The Watcher's, by one goroutine at a time.
	refused string    // what was wrong with the files last time, and a digest of what was in them; "" if nothing was
	told    bool      // and that was logged
	warned  time.Time // of the end of the certificate
}

// material is what was in the files, and what it is to a server.
type material struct {
	raw         [3][]byte // certificate, key, authority
	certificate tls.Certificate
	authority   *x509.CertPool // nil: none
	expires     time.Time      // the first of the certificate and those behind it
	servers     [3]*tls.Config // by ClientAuth
}

// Server returns what a wire.Endpoint asks for each connection. It is the same *tls.Config until the files change, so that
// sessions can be resumed; those of before cannot, as who may come has changed. Requested and Required need an Authority.
func (s *Source) Server(auth ClientAuth) func() *tls.Config {
	return func() *tls.Config { return s.current.Load().servers[auth] }
}

// Expires is when the certificate in force ends, or the first of those behind it.
func (s *Source) Expires() time.Time { return s.current.Load().expires }

// mostBytes bounds a file: bundles of all public authorities have some 250 KiB.
const mostBytes = 4 << 20

func (f *Files) read() (raw [3][]byte, err error) {
	for i, name := range []string{f.Certificate, f.Key, f.Authority} {
		if name == "" {
			continue
		}
		if raw[i], err = readFile(name); err != nil {
			return raw, err
		}
	}
	return raw, nil
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, mostBytes+1))
	if err == nil && len(data) > mostBytes {
		err = fmt.Errorf("%s has more than %d bytes", name, mostBytes)
	}
	return data, err
}

func equal(a, b [3][]byte) bool {
	return bytes.Equal(a[0], b[0]) && bytes.Equal(a[1], b[1]) && bytes.Equal(a[2], b[2])
}

// digest tells contents of files apart, and keeps none of them.
func digest(raw [3][]byte) string {
	h := sha256.New()
	for _, data := range raw {
		fmt.Fprintf(h, "%d ", len(data))
		h.Write(data)
	}
	return string(h.Sum(nil))
}

var (
	errExpired    = errors.New("it has expired")
	errNoContents = errors.New("no certificate in it")
)

// load makes what is in force of what is in the files. No error shows what is in a key.
func (f *Files) load(raw [3][]byte) (*material, error) {
	m := &material{raw: raw}
	var err error
	if m.certificate, err = tls.X509KeyPair(raw[0], raw[1]); err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Certificate, f.Key, err)
	}
	for i, der := range m.certificate.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: number %d in it: %w", f.Certificate, i+1, err)
		}
		if i == 0 || c.NotAfter.Before(m.expires) {
			m.expires = c.NotAfter
		}
	}
	if f.Authority != "" {
		m.authority = x509.NewCertPool()
		if !m.authority.AppendCertsFromPEM(raw[2]) {
			return nil, fmt.Errorf("authority %s: %w", f.Authority, errNoContents)
		}
	}
	for auth := range m.servers {
		m.servers[auth] = m.server(ClientAuth(auth))
	}
	return m, nil
}

// suites are those of TLS 1.2 whose keys are forgotten after the connection and whose ciphers authenticate. Those of TLS 1.3 are
// all so, and not to be chosen.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// server is the configuration of a server. Go's never renegotiate.
func (m *material) server(auth ClientAuth) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites, Certificates: []tls.Certificate{m.certificate}, ClientCAs: m.believed()}
	switch auth {
	case Requested:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case Required:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c
}
