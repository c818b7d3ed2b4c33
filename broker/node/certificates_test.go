package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// signer is an authority of tests.
type signer struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	s := &signer{t: t, key: newECKey(t), file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	if err == nil {
		s.certificate, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.write(s.file, "CERTIFICATE", der)
	return s
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *signer) write(name, kind string, der []byte) {
	s.t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// files puts a certificate for 127.0.0.1 and its key into files.
func (s *signer) files(certificate, key, name string) {
	s.t.Helper()
	own := newECKey(s.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(60 * 24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		Subject: pkix.Name{CommonName: name, Organization: []string{"Example, Inc."}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.certificate, own.Public(), s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(key, "PRIVATE KEY", raw)
	s.write(certificate, "CERTIFICATE", der)
}

// client is the configuration of a client that believes the authority; with a name it has a certificate of that.
func (s *signer) client(name string) *tls.Config {
	s.t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AddCert(s.certificate)
	if name != "" {
		dir := s.t.TempDir()
		certificate, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
		s.files(certificate, key, name)
		own, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			s.t.Fatal(err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	}
	return c
}
