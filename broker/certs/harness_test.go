package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

var serial = big.NewInt(0)

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(200 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// sign makes a certificate for 127.0.0.1 and its key.
func (a *authority) sign(t testing.TB, name string, until time.Time) (certificate, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-48 * time.Hour),
		NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, own.Public(), a.key)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(own)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// disk is the files of a server.
type disk struct {
	Files
	t testing.TB
}

func newDisk(t testing.TB) *disk {
	dir := t.TempDir()
	return &disk{Files{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}, t}
}

func (d *disk) write(name string, data []byte) {
	d.t.Helper()
	must(d.t, os.WriteFile(name, data, 0o600))
}

// put writes a certificate of an authority for a name, which is believed, too.
func (d *disk) put(a *authority, name string, until time.Time) {
	d.t.Helper()
	certificate, key := a.sign(d.t, name, until)
	d.write(d.Certificate, certificate)
	d.write(d.Key, key)
	d.write(d.Authority, a.pem)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// later is when certificates of tests end.
func later() time.Time { return time.Now().Add(60 * 24 * time.Hour) }

// watch makes a Watcher of files whose log is kept.
func watch(t testing.TB, d *disk, opts Options) (w *Watcher, s *Source, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	opts.Logger = slog.New(slog.NewTextHandler(log, nil))
	w = NewWatcher(opts)
	s, err := w.Open("clients", d.Files)
	must(t, err)
	return w, s, log
}

// echo serves TLS, configured anew for each connection, until the test ends.
func echo(t testing.TB, config func() *tls.Config) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = raw.Close() })
			conn := tls.Server(raw, config())
			go func() {
				defer raw.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return ln.Addr().String()
}

// say sends a byte and wants it back.
func say(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte{7}); err != nil {
		return err
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if answer[0] != 7 {
		return errors.New("another byte came back")
	}
	return nil
}

// client is the configuration of one that believes an authority, and has a certificate of another if that is not nil.
func client(t testing.TB, believed, by *authority) *tls.Config {
	t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AddCert(believed.certificate)
	if by != nil {
		own, err := tls.X509KeyPair(by.sign(t, "alice", later()))
		must(t, err)
		c.Certificates = []tls.Certificate{own}
	}
	return c
}

// connect dials, says something and returns the name of the server's certificate.
func connect(t testing.TB, address string, config *tls.Config) (*tls.Conn, string, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := say(conn); err != nil {
		return nil, "", err
	}
	return conn, conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}
