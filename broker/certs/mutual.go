package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

var errNoCertificate = errors.New("the other side shows no certificate")

// Mutual returns the two sides of connections between equals, with TLS 1.3: both show the certificate and believe the Authority
// alone, and a client that the certificate of the server has the name by which it was reached. The server's follows the files
// although it is given once; the client's is to be asked for each connection.
func (s *Source) Mutual() (server *tls.Config, client func() *tls.Config) {
	server = &tls.Config{
		MinVersion:       tls.VersionTLS13,
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &s.current.Load().certificate, nil },
		ClientAuth:       tls.RequireAnyClientCert,
		VerifyConnection: s.verifyClient,
	}
	return server, func() *tls.Config {
		m := s.current.Load()
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{m.certificate}, RootCAs: m.believed()}
	}
}

// believed is the authority, or nobody, where nil would be all that the system believes.
func (m *material) believed() *x509.CertPool {
	if m.authority == nil {
		return x509.NewCertPool()
	}
	return m.authority
}

// verifyClient does what crypto/tls does by itself with authorities that do not change. It is asked about resumed sessions, too.
func (s *Source) verifyClient(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errNoCertificate
	}
	options := x509.VerifyOptions{
		Roots: s.current.Load().believed(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := state.PeerCertificates[0].Verify(options); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return nil
}
