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
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("server closed")

// Server serves connections of one or more listeners.
type Server struct {
	routes  map[int16]*served
	tokens  *served // what tokens count as
	opts    Options
	log     *slog.Logger
	metrics *metrics
	frames  *frames
	large   sync.Pool // of []byte, for answers that are large

	complaints complaints
	strangers  *Budget // for larger frames of peers that are not known yet

	mu        sync.Mutex
	closing   bool
	nextID    int64
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	doors     map[*Endpoint]*door
	delayed   int       // connections that wait for their beginning
	full      time.Time // of the last log line about MaxConnections
	serving   sync.WaitGroup
}

// NewServer makes a server. Every route must be for a key whose requests it knows to check.
func NewServer(routes Routes, opts Options) (*Server, error) {
	for key, route := range routes {
		if _, ok := shapes[key]; !ok {
			return nil, fmt.Errorf("API key %d (%s) has no shape in package wire", key, route.Name)
		}
		if route.Unauthenticated && route.Order != Serial {
			return nil, fmt.Errorf("API key %d (%s) is for peers that are not known, and not serial", key, route.Name)
		}
		if route.Prompt && route.Order != Serial {
			return nil, fmt.Errorf("API key %d (%s) is answered by who reads, and not serial", key, route.Name)
		}
	}
	opts = opts.withDefaults()
	frames := newFrames(opts.FrameBytes)
	all := make(map[int16]*served, len(routes))
	for key, route := range routes {
		all[key] = &served{Route: route}
	}
	return &Server{
		routes: all, tokens: &served{Route: rawRoute}, opts: opts, log: opts.Logger, metrics: newMetrics(opts.Registerer, frames), frames: frames,
		strangers: NewBudget(strangersBytes),
		listeners: make(map[net.Listener]struct{}), conns: make(map[*Conn]struct{}), doors: make(map[*Endpoint]*door),
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
	err := s.accept(ctx, ln, s.doorOf(endpoint), &conns)
	if !errors.Is(err, ErrServerClosed) {
		cancel()
	}
	conns.Wait()
	stop()
	cancel()
	s.removeListener(ln)
	return err
}

func (s *Server) accept(ctx context.Context, ln net.Listener, door *door, conns *sync.WaitGroup) error {
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
		c, wait := s.admit(nc, door)
		if c == nil {
			_ = nc.Close()
			continue
		}
		conns.Go(func() {
			defer s.removeConn(c)
			c.serve(ctx, wait)
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
