package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// pipes is a listener within a bubble of virtual time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// virtually runs a test against a server in virtual time; dial connects to it. Routes are made there, too, as channels
// belong to the bubble that made them.
func virtually(t *testing.T, endpoint *Endpoint, routes func() Routes, opts Options, test func(t *testing.T, f *fixture, dial func() *client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{t: t, registry: prometheus.NewRegistry()}
		opts.Logger, opts.Registerer = slog.New(slog.NewTextHandler(&f.logs, nil)), f.registry
		var err error
		f.srv, err = NewServer(routes(), opts)
		must(t, err)
		ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- f.srv.Serve(context.Background(), ln, endpoint) }()
		test(t, f, func() *client {
			here, there := net.Pipe()
			t.Cleanup(func() { _ = here.Close() })
			ln.conns <- there
			return &client{t, here}
		})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = f.srv.Shutdown(ctx)
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// elapsed checks how much virtual time has passed.
func elapsed(t *testing.T, since time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(since); got < want || got > want+leastMutedWait {
		t.Errorf("%v have passed, want %v", got, want)
	}
}
