package runneltest

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestAPortIsGivenBackWhileNobodyAccepts: the end of a test does not wait for a broker that takes no connections.
func TestAPortIsGivenBackWhileNobodyAccepts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p, err := openPort(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(p)
	if _, err := n.Listen(ctx, "tcp", p.addr()); err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = eventually(ctx, "the connection waits to be taken", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.conns) == 1
	})
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		p.close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
		t.Fatal("the address is not given back")
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client's connection is not reset: %v", err)
	}
	n.cut()
}
