package slows3

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// Proxy stands in front of an S3 server. Requests keep their Host header, so signatures stay valid.
type Proxy struct {
	draws *Draws
	proxy httputil.ReverseProxy

	mu   sync.Mutex
	puts []time.Duration
}

// arrival is when a request came and how long it is to take.
type arrival struct{ until time.Time }

type arrivalKey struct{}

// New makes a proxy to the server at a URL.
func New(server *url.URL, draws *Draws) *Proxy {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 256, DisableCompression: true, ExpectContinueTimeout: time.Second,
		WriteBufferSize: 128 << 10, ReadBufferSize: 128 << 10,
	}
	return &Proxy{draws: draws, proxy: httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(server)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: hold,
		ErrorLog:       log.New(discard{}, "", 0),
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// ServeHTTP passes a request on and holds its answer.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var takes time.Duration
	if r.Method == http.MethodPut {
		takes = p.draws.Put(r.ContentLength)
	} else {
		takes = p.draws.Get()
	}
	p.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), arrivalKey{}, arrival{now.Add(takes)})))
	if r.Method == http.MethodPut {
		p.mu.Lock()
		p.puts = append(p.puts, time.Since(now))
		p.mu.Unlock()
	}
}

// Puts returns how long each PUT took that ended since the last call, in the order of their ends.
func (p *Proxy) Puts() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	puts := p.puts
	p.puts = nil
	return puts
}

// hold waits before the head of the answer is sent. A server slower than what was drawn is not made slower still.
func hold(answer *http.Response) error {
	a, ok := answer.Request.Context().Value(arrivalKey{}).(arrival)
	if !ok {
		return errors.New("answer to an unknown request")
	}
	timer := time.NewTimer(time.Until(a.until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-answer.Request.Context().Done():
		return answer.Request.Context().Err()
	}
}

// Serve answers on a listener until ctx ends.
func (p *Proxy) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
