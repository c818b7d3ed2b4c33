// Package wire carries the Kafka protocol over TCP: listeners and connections, frames, headers, and the order in which
// the requests of a connection are handled. What the requests mean is up to the handlers.
package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Server. The zero value of a field means its default.
type Options struct {
	Logger     *slog.Logger          // default: slog.DiscardHandler
	Registerer prometheus.Registerer // default: metrics are not registered
	Budget     *Budget               // for Budgeted routes; default: a Budget of 512 MiB

	MaxRequestBytes    int           // socket.request.max.bytes; default 100 MiB. Larger frames close the connection
	MaxControlBytes    int           // the same for routes that are not Budgeted; default 16 MiB
	ControlBudget      *Budget       // for frames above 16 KiB of routes that are not Budgeted; default 256 MiB
	FrameBytes         int64         // idle memory kept for frames of routes that Borrow; default 32 MiB, negative is none
	AnswerBudget       *Budget       // for what Conn.Hold takes; default 128 MiB
	MaxConnections     func() int    // asked for each connection; default 10,000. Those above it are closed at once
	MaxInFlight        int           // requests per connection that are read but not answered; default 64
	MaxConnectionBytes int           // bytes of such requests, unless it is a single one; default 32 MiB
	IdleTimeout        time.Duration // connections.max.idle.ms; default 10 minutes, negative is never
	StallTimeout       time.Duration // for a frame to arrive or leave, plus 1 s per 256 KiB; default 30 s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Budget == nil {
		o.Budget = NewBudget(512 << 20)
	}
	if o.ControlBudget == nil {
		o.ControlBudget = NewBudget(256 << 20)
	}
	if o.AnswerBudget == nil {
		o.AnswerBudget = NewBudget(128 << 20)
	}
	if o.FrameBytes == 0 {
		o.FrameBytes = 32 << 20
	}
	setDefault(&o.MaxRequestBytes, 100<<20)
	setDefault(&o.MaxControlBytes, 16<<20)
	o.MaxControlBytes = min(o.MaxControlBytes, o.MaxRequestBytes)
	if o.MaxConnections == nil {
		o.MaxConnections = func() int { return 10_000 }
	}
	setDefault(&o.MaxInFlight, 64)
	setDefault(&o.MaxConnectionBytes, 32<<20)
	if o.IdleTimeout < 0 {
		o.IdleTimeout = 100 * 365 * 24 * time.Hour
	}
	setDefault(&o.IdleTimeout, 10*time.Minute)
	setDefault(&o.StallTimeout, 30*time.Second)
	return o
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("server closed")

// Server serves connections of one or more listeners.
type Server struct {
	routes  Routes
	opts    Options
	log     *slog.Logger
	metrics *metrics
	frames  *frames
	large   sync.Pool // of []byte, for answers that are large

	complaints complaints

	mu        sync.Mutex
	closing   bool
	nextID    int64
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	full      time.Time // of the last log line about MaxConnections
	serving   sync.WaitGroup
}

// NewServer makes a server. Every route must be for a key whose requests it knows to check.
func NewServer(routes Routes, opts Options) (*Server, error) {
	for key, route := range routes {
		if _, ok := shapes[key]; !ok {
			return nil, fmt.Errorf("API key %d (%s) has no shape in package wire", key, route.Name)
		}
	}
	opts = opts.withDefaults()
	frames := newFrames(opts.FrameBytes)
	return &Server{
		routes: routes, opts: opts, log: opts.Logger, metrics: newMetrics(opts.Registerer, frames), frames: frames,
		listeners: make(map[net.Listener]struct{}), conns: make(map[*Conn]struct{}),
	}, nil
}

// Serve accepts connections from ln, which it owns, as of an endpoint, and returns when they have ended. It returns ErrServerClosed after
// Shutdown. If ctx ends, everything stops at once, answers or not.
func (s *Server) Serve(ctx context.Context, ln net.Listener, endpoint *Endpoint) error {
	if !s.addListener(ln) {
		_ = ln.Close()
		return ErrServerClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	var conns sync.WaitGroup
	err := s.accept(ctx, ln, endpoint, &conns)
	if !errors.Is(err, ErrServerClosed) {
		cancel()
	}
	conns.Wait()
	stop()
	cancel()
	s.removeListener(ln)
	return err
}

func (s *Server) accept(ctx context.Context, ln net.Listener, endpoint *Endpoint, conns *sync.WaitGroup) error {
	const firstWait, maxWait = 5 * time.Millisecond, time.Second
	wait := firstWait
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			wait = firstWait
		case s.isClosing():
			return ErrServerClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		default: // out of file descriptors, or the peer was gone already
			s.log.Warn("cannot accept a connection", "error", err, "retry_in", wait)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, maxWait)
			continue
		}
		c := s.newConn(nc, endpoint)
		if c == nil {
			_ = nc.Close()
			continue
		}
		conns.Go(func() {
			defer s.removeConn(c)
			c.serve(ctx)
		})
	}
}

// Shutdown stops accepting and reading, lets what was read be answered, and closes the connections. If ctx ends first,
// connections are closed as they are, and its error is returned. Serve returns after.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for ln := range s.listeners {
		_ = ln.Close()
	}
	for _, c := range s.inOrder() {
		c.drain()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for _, c := range s.inOrder() {
		c.kill()
	}
	s.mu.Unlock()
	<-done // handlers end with their ctx
	return ctx.Err()
}

// inOrder are the connections as they came, so that simulations can repeat what they do. Caller holds mu.
func (s *Server) inOrder() []*Conn {
	return slices.SortedFunc(maps.Keys(s.conns), func(a, b *Conn) int { return cmp.Compare(a.id, b.id) })
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *Server) addListener(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[ln] = struct{}{}
	s.serving.Add(1)
	return true
}

func (s *Server) removeListener(ln net.Listener) {
	_ = ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
	s.serving.Done()
}

// newConn registers a connection, or returns nil if there is no place for it.
func (s *Server) newConn(nc net.Conn, endpoint *Endpoint) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil
	}
	if limit := s.opts.MaxConnections(); len(s.conns) >= limit {
		if now := time.Now(); now.Sub(s.full) > 10*time.Second {
			s.full = now
			s.log.Warn("too many connections", "limit", limit, "peer", nc.RemoteAddr().String())
		}
		s.metrics.errors.WithLabelValues("too_many_connections").Inc()
		return nil
	}
	s.nextID++
	c := newConn(s, nc, s.nextID, endpoint)
	s.conns[c] = struct{}{}
	s.metrics.connections.Inc()
	return c
}

func (s *Server) removeConn(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.metrics.connections.Dec()
}
