package node

import (
	"context"
	"net"
	"time"
)

// Network is the network of a broker, TCP in all but simulations.
type Network interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// machine is the network of this machine.
type machine struct {
	net.ListenConfig
	net.Dialer
}

func newMachine() *machine { return &machine{Dialer: net.Dialer{KeepAlive: 10 * time.Second}} }
