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
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// S3 is a way to an S3 server that fails as S3 does. Requests keep their Host header, so signatures stay valid.
type S3 struct {
	URL       string
	Slow      atomic.Int64 // answers of 503 SlowDown
	Cut       atomic.Int64 // connections lost inside a request
	Lost      atomic.Int64 // requests that were done and whose answers were lost
	Truncated atomic.Int64 // answers that ended before their end
	Late      atomic.Int64 // requests that waited
	draws     *draws
	plan      atomic.Pointer[plan]
	proxy     httputil.ReverseProxy
}

// plan is what fails: one of so many requests in each of the ways; 0 for none.
type plan struct {
	one  int
	ways []Way
}

// Way is how a request fails.
type Way int

// The ways in which requests fail.
const (
	SlowDown Way = iota // 503
	CutOff              // the connection is lost inside the request
	Unheard             // it is done, and the answer is lost
	Short               // the answer's body ends early, with its connection
	Slowly              // it waits for one to three seconds
)

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
	s := &S3{URL: "http://" + ln.Addr().String(), draws: newDraws(seed)}
	s.Fail(0)
	s.proxy = httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ErrorLog:     log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
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

// Fail makes one of so many requests fail in each of the ways in which no answer is wrong or late; 0 for none.
func (s *S3) Fail(one int) { s.FailIn(one, SlowDown, CutOff, Unheard) }

// FailIn makes one of so many requests fail in each of some ways; 0 for none.
func (s *S3) FailIn(one int, ways ...Way) { s.plan.Store(&plan{one, ways}) }

const slowDown = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`

// ServeHTTP passes a request on, or breaks it.
func (s *S3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	way := Way(-1)
	if p := s.plan.Load(); p.one > 0 {
		if drawn := s.draws.of(max(p.one, len(p.ways))); drawn < len(p.ways) {
			way = p.ways[drawn]
		}
	}
	switch way {
	case SlowDown:
		s.Slow.Add(1)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, slowDown)
	case CutOff:
		s.Cut.Add(1)
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		hangUp(w)
	case Unheard:
		s.Lost.Add(1)
		// The server does it whether the client waits or not.
		s.proxy.ServeHTTP(nowhere{make(http.Header)}, r.WithContext(context.WithoutCancel(r.Context())))
		hangUp(w)
	case Short:
		s.serveShort(w, r)
	case Slowly:
		s.Late.Add(1)
		s.wait(r.Context(), time.Second+time.Duration(s.draws.of(2000))*time.Millisecond)
		s.proxy.ServeHTTP(w, r)
	default:
		s.proxy.ServeHTTP(w, r)
	}
}

// wait returns early if the client goes.
func (s *S3) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// serveShort answers a request, and ends the connection at half of the body that the answer announced. An answer without a
// body arrives.
func (s *S3) serveShort(w http.ResponseWriter, r *http.Request) {
	short := &half{ResponseWriter: w}
	s.proxy.ServeHTTP(short, r)
	if short.length > 0 {
		s.Truncated.Add(1)
		_ = http.NewResponseController(w).Flush() // the first half arrives
		hangUp(w)
	}
}

// half passes the first half of a body on.
type half struct {
	http.ResponseWriter
	length, left int64
}

// WriteHeader implements http.ResponseWriter.
func (h *half) WriteHeader(status int) {
	h.length, _ = strconv.ParseInt(h.Header().Get("Content-Length"), 10, 64)
	h.left = h.length / 2
	h.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (h *half) Write(b []byte) (int, error) {
	n := min(int64(len(b)), h.left)
	h.left -= n
	if n > 0 {
		if _, err := h.ResponseWriter.Write(b[:n]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// Unwrap is for http.ResponseController.
func (h *half) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// hangUp closes the connection without an answer, or without the rest of it.
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
