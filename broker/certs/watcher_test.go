package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestANewCertificateIsForNewConnections(t *testing.T) {
	d, ca := newDisk(t), newAuthority(t, "ca")
	d.put(ca, "first", later())
	w, s, log := watch(t, d, Options{})
	address := echo(t, s.Server(None))
	before, name, err := connect(t, address, client(t, ca, nil))
	if err != nil || name != "first" {
		t.Fatal(name, err)
	}
	must(t, w.Reload())
	if log.Len() > 0 {
		t.Errorf("files that did not change: %s", log)
	}
	d.put(ca, "second", later())
	must(t, w.Reload())
	if !strings.Contains(log.String(), "took new files of TLS") {
		t.Errorf("log: %s", log)
	}
	_, name, err = connect(t, address, client(t, ca, nil))
	if err != nil || name != "second" {
		t.Errorf("a connection after: %q, %v", name, err)
	}
	if err := say(before); err != nil {
		t.Errorf("the connection of before: %v", err)
	}
}

func TestFilesThatCannotBeUsedChangeNothing(t *testing.T) {
	ca := newAuthority(t, "ca")
	otherCertificate, otherKey := ca.sign(t, "other", later())
	expired, expiredKey := ca.sign(t, "late", time.Now().Add(-time.Hour))
	for _, tt := range []struct {
		name   string
		spoil  func(d *disk)
		reason string
	}{
		{"key of another", func(d *disk) { d.write(d.Key, otherKey) }, "private key does not match"},
		{"certificate of another", func(d *disk) { d.write(d.Certificate, otherCertificate) }, "private key does not match"},
		{"cut short", func(d *disk) { d.write(d.Certificate, otherCertificate[:len(otherCertificate)/2]) }, "certificate"},
		{"empty", func(d *disk) { d.write(d.Certificate, nil) }, "certificate"},
		{"gone", func(d *disk) { must(d.t, os.Remove(d.Key)) }, "no such file"},
		{"a directory", func(d *disk) { must(d.t, os.Remove(d.Key)); must(d.t, os.Mkdir(d.Key, 0o700)) }, "directory"},
		{"endless", func(d *disk) { d.write(d.Authority, make([]byte, mostBytes+1)) }, "has more than"},
		{"no authority", func(d *disk) { d.write(d.Authority, []byte("nothing")) }, "no certificate in it"},
		{"expired", func(d *disk) { d.write(d.Certificate, expired); d.write(d.Key, expiredKey) }, "it has expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(t)
			d.put(ca, "first", later())
			w, s, log := watch(t, d, Options{})
			kept := s.Server(Required)()
			tt.spoil(d)
			for range 5 {
				_ = w.look(false)
			}
			if got := strings.Count(log.String(), "cannot use new files"); got != 1 {
				t.Errorf("told of %d times:\n%s", got, log)
			}
			if s.Server(Required)() != kept {
				t.Error("the configuration changed")
			}
			err := w.Reload()
			if err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("error %v, want %s", err, tt.reason)
			}
			if all := log.String() + err.Error(); strings.Contains(all, "PRIVATE") || strings.Contains(all, string(otherKey[40:60])) {
				t.Errorf("shows a key: %s", all)
			}
			if tt.name == "a directory" {
				must(t, os.Remove(d.Key))
			}
			d.put(ca, "mended", later())
			if err := w.Reload(); err != nil || s.Server(Required)() == kept {
				t.Errorf("mended files: %v", err)
			}
		})
	}
}

// Files are replaced one after the other: what a look sees in between is no mistake.
func TestACertificateBesideTheKeyOfTheOldOneForAMomentIsNotToldOf(t *testing.T) {
	d, ca := newDisk(t), newAuthority(t, "ca")
	d.put(ca, "first", later())
	w, s, log := watch(t, d, Options{})
	certificate, key := ca.sign(t, "second", later())
	d.write(d.Certificate, certificate)
	_ = w.look(false)
	d.write(d.Key, key)
	_ = w.look(false)
	if strings.Contains(log.String(), "cannot") {
		t.Errorf("log: %s", log)
	}
	if got := s.Server(None)().Certificates[0].Leaf.Subject.CommonName; got != "second" {
		t.Errorf("in force is %q", got)
	}
}

func TestFilesThatCannotBeUsedAtTheStartAreAnError(t *testing.T) {
	d := newDisk(t)
	if _, err := NewWatcher(Options{}).Open("clients", d.Files); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no files: %v", err)
	}
	d.put(newAuthority(t, "ca"), "first", later())
	d.write(d.Key, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	if _, err := NewWatcher(Options{}).Open("clients", d.Files); err == nil || strings.Contains(err.Error(), "AAAA") {
		t.Errorf("broken key: %v", err)
	}
}

func TestRunLooksByItself(t *testing.T) {
	d, ca := newDisk(t), newAuthority(t, "ca")
	d.put(ca, "first", later())
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := watch(t, d, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		d.put(ca, "second", time.Now().Add(365*24*time.Hour))
		time.Sleep(5*time.Second + 1)
		synctest.Wait()
		if got := s.Server(None)().Certificates[0].Leaf.Subject.CommonName; got != "second" {
			t.Errorf("in force is %q", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestCertificatesThatEndSoonAreToldOfOnceADay(t *testing.T) {
	d, ca := newDisk(t), newAuthority(t, "ca")
	now := time.Now()
	d.put(ca, "first", now.Add(31*24*time.Hour))
	registry := prometheus.NewRegistry()
	w, s, log := watch(t, d, Options{Now: func() time.Time { return now }, Registerer: registry})
	count := func() int { return strings.Count(log.String(), "certificate expires soon") }
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 0}, {25 * time.Hour, 1}, {time.Hour, 1}, {22 * time.Hour, 1}, {2 * time.Hour, 2}, {40 * 24 * time.Hour, 3}} {
		now = now.Add(step.after)
		_ = w.look(false)
		if got := count(); got != step.want {
			t.Fatalf("%v later: told of %d times, want %d", step.after, got, step.want)
		}
	}
	d.put(ca, "second", now.Add(60*24*time.Hour))
	must(t, w.Reload())
	_ = w.look(false)
	if got := count(); got != 3 {
		t.Errorf("with a new one: told of %d times", got)
	}
	families, err := registry.Gather()
	must(t, err)
	found := false
	for _, f := range families {
		if f.GetName() == "runnel_certs_expiry_timestamp_seconds" {
			found = f.GetMetric()[0].GetGauge().GetValue() == float64(s.Expires().Unix())
		}
	}
	if !found {
		t.Errorf("no metric tells of %v", s.Expires())
	}
}

func TestClientAuthentication(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	d := newDisk(t)
	d.put(ours, "server", later())
	_, s, _ := watch(t, d, Options{})
	for _, tt := range []struct {
		name string
		auth ClientAuth
		by   *authority
		ok   bool
	}{
		{"none, none shown", None, nil, true}, {"none, one shown", None, theirs, true},
		{"requested, none shown", Requested, nil, true}, {"requested, ours", Requested, ours, true}, {"requested, theirs", Requested, theirs, false},
		{"required, none shown", Required, nil, false}, {"required, ours", Required, ours, true}, {"required, theirs", Required, theirs, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := echo(t, s.Server(tt.auth))
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				c := client(t, ours, tt.by)
				if tt.by != nil { // even though the server does not name its authority
					own := c.Certificates[0]
					c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
				}
				c.MinVersion, c.MaxVersion = version, version
				if _, _, err := connect(t, address, c); (err == nil) != tt.ok {
					t.Errorf("%s: %v", tls.VersionName(version), err)
				}
			}
		})
	}
}

// A session of before must not let somebody in whose authority is not believed any more.
func TestNobodyResumesASessionWithAnAuthorityOfBefore(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		d := newDisk(t)
		d.put(ours, "server", later())
		w, s, _ := watch(t, d, Options{})
		address := echo(t, s.Server(Required))
		c := client(t, ours, ours)
		c.MinVersion, c.MaxVersion, c.ClientSessionCache = version, version, tls.NewLRUClientSessionCache(4)
		for i := range 2 {
			conn, _, err := connect(t, address, c)
			if err != nil || conn.ConnectionState().DidResume != (i == 1) {
				t.Fatalf("connection %d: %v", i, err)
			}
			_ = conn.Close()
		}
		d.write(d.Authority, theirs.pem)
		must(t, w.Reload())
		if _, _, err := connect(t, address, c); err == nil {
			t.Errorf("%s: resumed", tls.VersionName(version))
		}
	}
}

func TestOldVersionsAndWeakSuitesAreRefused(t *testing.T) {
	ca, d := newAuthority(t, "ca"), newDisk(t)
	d.put(ca, "server", later())
	_, s, _ := watch(t, d, Options{})
	address := echo(t, s.Server(None))
	for _, tt := range []struct {
		name   string
		most   uint16
		suites []uint16
		ok     bool
	}{
		{"TLS 1.1", tls.VersionTLS11, nil, false}, {"TLS 1.2", tls.VersionTLS12, nil, true}, {"TLS 1.3", tls.VersionTLS13, nil, true},
		{"CBC", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}, false},
		{"GCM", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}, true},
	} {
		c := client(t, ca, nil)
		c.MinVersion, c.MaxVersion, c.CipherSuites = tls.VersionTLS10, tt.most, tt.suites
		if _, _, err := connect(t, address, c); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestEqualsAuthenticateEachOtherByTheFilesOfTheMoment(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	a, b := newDisk(t), newDisk(t)
	a.put(ours, "a", later())
	b.put(ours, "b", later())
	watcherA, sourceA, _ := watch(t, a, Options{})
	watcherB, sourceB, _ := watch(t, b, Options{})
	server, _ := sourceA.Mutual()
	_, dial := sourceB.Mutual()
	address := echo(t, func() *tls.Config { return server })
	try := func() error {
		c := dial()
		c.ServerName = "127.0.0.1"
		_, _, err := connect(t, address, c)
		return err
	}
	if err := try(); err != nil {
		t.Errorf("of one authority: %v", err)
	}
	b.put(theirs, "b", later())
	b.write(b.Authority, ours.pem)
	must(t, watcherB.Reload())
	if err := try(); err == nil {
		t.Error("a client of another authority is let in")
	}
	a.write(a.Authority, theirs.pem)
	must(t, watcherA.Reload())
	if err := try(); err != nil {
		t.Errorf("once its authority is believed: %v", err)
	}
	b.write(b.Authority, theirs.pem)
	must(t, watcherB.Reload())
	if err := try(); err == nil {
		t.Error("the server's authority is not the client's any more")
	}
}
