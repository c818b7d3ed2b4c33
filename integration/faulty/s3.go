package faulty

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// S3 is a way to an S3 server that fails as S3 does. Requests keep their Host header, so signatures stay valid.
type S3 struct {
	URL   string
	Slow  atomic.Int64 // answers of 503 SlowDown
	Cut   atomic.Int64 // connections lost inside a request
	Lost  atomic.Int64 // requests that were done and whose answers were lost
	draws *draws
	one   atomic.Int64 // of so many requests fails each way; 0 for none
	proxy httputil.ReverseProxy
}

// NewS3 makes a way to the server at a URL, which lives until the test ends and fails nothing yet.
func NewS3(t testing.TB, server string, seed uint64) *S3 {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, ExpectContinueTimeout: time.Second}
	s := &S3{URL: "http://" + ln.Addr().String(), draws: newDraws(seed), proxy: httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ErrorLog:     log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
	serving := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- serving.Serve(ln) }()
	t.Cleanup(func() {
		_ = serving.Close()
		transport.CloseIdleConnections()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

// Fail makes one of so many requests fail in each of the ways; 0 for none.
func (s *S3) Fail(one int) { s.one.Store(int64(one)) }

const slowDown = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`

// ServeHTTP passes a request on, or breaks it.
func (s *S3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	way := -1
	if one := int(s.one.Load()); one > 0 {
		way = s.draws.of(one)
	}
	switch way {
	case 0:
		s.Slow.Add(1)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, slowDown)
	case 1:
		s.Cut.Add(1)
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		hangUp(w)
	case 2:
		s.Lost.Add(1)
		// The server does it whether the client waits or not.
		s.proxy.ServeHTTP(nowhere{make(http.Header)}, r.WithContext(context.WithoutCancel(r.Context())))
		hangUp(w)
	default:
		s.proxy.ServeHTTP(w, r)
	}
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// nowhere is where lost answers go.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
