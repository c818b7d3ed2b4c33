package node

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/runnel-io/runnel/broker/certs"
	"github.com/runnel-io/runnel/broker/config"
)

// abroad is a listener whose connections come from another machine.
type abroad struct{ net.Listener }

func (l abroad) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &foreign{conn}, nil
}

type foreign struct{ net.Conn }

func (*foreign) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 40000}
}

// serveAdmin runs an admin server of a broker that is not ready, and returns its address.
func serveAdmin(t *testing.T, c *config.Admin, source *certs.Source, fromAbroad bool) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if fromAbroad {
		ln = abroad{ln}
	}
	ready := new(readiness)
	ready.set(componentMetastore, errors.New("connect to 10.1.2.3: refused"))
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- newAdminServer(c, source, ready, registry, slog.New(slog.DiscardHandler)).run(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return address
}

// get asks the admin server; authorization is that header.
func get(t *testing.T, url, authorization string, config *tls.Config) (status int, body string, err error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestWhoMaySeeMetricsAndReasons(t *testing.T) {
	const token = "0123456789abcdef"
	ours, theirs := newSigner(t), newSigner(t)
	dir := t.TempDir()
	files := certs.Files{Certificate: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem"), Authority: ours.file}
	ours.files(files.Certificate, files.Key, "admin")
	source, err := certs.NewWatcher(certs.Options{}).Open("admin", files)
	if err != nil {
		t.Fatal(err)
	}
	secured := &config.Admin{Token: token, Certificate: files.Certificate, Key: files.Key, ClientAuthority: ours.file}
	for _, tt := range []struct {
		name          string
		config        *config.Admin
		tls           *tls.Config // nil: HTTP
		here          bool
		authorization string
		metrics       int // status
	}{
		{"on this machine", &config.Admin{}, nil, true, "", 200},
		{"on this machine, beside a token", &config.Admin{Token: token}, nil, true, "", 200},
		{"from abroad", &config.Admin{}, nil, false, "", 403},
		{"any token where there is none", &config.Admin{}, nil, false, "Bearer ", 403},
		{"open to all", &config.Admin{OpenMetrics: true}, nil, false, "", 200},
		{"without the token", &config.Admin{Token: token}, nil, false, "", 401},
		{"token", &config.Admin{Token: token}, nil, false, "Bearer " + token, 200},
		{"token, scheme in lower case", &config.Admin{Token: token}, nil, false, "bearer " + token, 200},
		{"wrong token", &config.Admin{Token: token}, nil, false, "Bearer " + token + "0", 401},
		{"empty token", &config.Admin{Token: token}, nil, false, "Bearer ", 401},
		{"another scheme", &config.Admin{Token: token}, nil, false, "Basic " + token, 401},
		{"no scheme", &config.Admin{Token: token}, nil, false, token, 401},
		{"TLS without certificate", secured, ours.client(""), false, "", 401},
		{"TLS with token", secured, ours.client(""), false, "Bearer " + token, 200},
		{"certificate", secured, ours.client("prometheus"), false, "", 200},
		{"certificate without its being asked for", &config.Admin{Certificate: "c"}, ours.client("prometheus"), false, "", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base, files := "http://", (*certs.Source)(nil)
			if tt.tls != nil {
				base, files = "https://", source
			}
			base += serveAdmin(t, tt.config, files, !tt.here)
			status, body, err := get(t, base+"/metrics", tt.authorization, tt.tls)
			if err != nil || status != tt.metrics || strings.Contains(body, "go_goroutines") != (status == 200) || strings.Contains(body, token) {
				t.Errorf("metrics: %d, %v, %.200s", status, err, body)
			}
			status, body, err = get(t, base+"/readyz", tt.authorization, tt.tls)
			if err != nil || status != 503 || strings.Contains(body, "10.1.2.3") != (tt.metrics == 200) {
				t.Errorf("readyz: %d, %v, %q", status, err, body)
			}
			if status, body, err = get(t, base+"/livez", "", tt.tls); err != nil || status != 200 || body != "ok\n" {
				t.Errorf("livez: %d, %v, %q", status, err, body)
			}
		})
	}
	t.Run("certificate of another authority", func(t *testing.T) {
		c := theirs.client("prometheus")
		c.RootCAs = ours.client("").RootCAs
		if status, _, err := get(t, "https://"+serveAdmin(t, secured, source, false)+"/metrics", "", c); err == nil {
			t.Errorf("answered with %d", status)
		}
	})
	t.Run("HTTP where there is TLS", func(t *testing.T) {
		status, body, err := get(t, "http://"+serveAdmin(t, secured, source, true)+"/metrics", "", nil)
		if err == nil && status == 200 || strings.Contains(body, "go_goroutines") {
			t.Errorf("answered with %d", status)
		}
	})
}

// TestTheAdminServerWaitsForNoBody: a stranger who announces a body and does not send it holds no connection.
func TestTheAdminServerWaitsForNoBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		a := newAdminServer(&config.Admin{}, nil, new(readiness), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		served := make(chan error, 1)
		go func() { served <- a.http.Serve(&onePipe{conn: ours}) }()
		go func() {
			_, _ = io.WriteString(theirs, "GET /livez HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
		}()
		begun := time.Now()
		if _, err := io.Copy(io.Discard, theirs); err != nil || time.Since(begun) > 10*time.Second {
			t.Errorf("closed after %v: %v", time.Since(begun), err)
		}
		_ = a.http.Close()
		<-served
	})
}

// onePipe is a listener to which one connection comes.
type onePipe struct{ conn net.Conn }

func (l *onePipe) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (l *onePipe) Close() error   { return nil }
func (l *onePipe) Addr() net.Addr { return &net.TCPAddr{} }
