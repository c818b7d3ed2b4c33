package workload

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var errCut = errors.New("the client has crashed")

// wire is all connections of one client. It counts the requests before they leave, and can cut all of them as the death
// of the client's process does: nothing more leaves, no goodbye either.
type wire struct {
	connect func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	open  []*conn
	isCut bool
	left  [128]atomic.Int64 // requests by key
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w.wasCut() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut}
	}
	inner, err := w.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isCut {
		inner.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut}
	}
	c := &conn{Conn: inner, wire: w}
	w.open = append(w.open, c)
	return c, nil
}

func (w *wire) wasCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isCut
}

func (w *wire) cut() {
	w.mu.Lock()
	w.isCut = true
	open := slices.Clone(w.open)
	w.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}

// sent is how many requests with this key have left, or begun to.
func (w *wire) sent(key kmsg.Key) int64 { return w.left[key].Load() }

type conn struct {
	net.Conn
	wire *wire
}

// Write counts by the key in the request's header. The client writes each request with one call.
func (c *conn) Write(request []byte) (int, error) {
	if len(request) >= 6 {
		if key := binary.BigEndian.Uint16(request[4:]); int(key) < len(c.wire.left) {
			c.wire.left[key].Add(1)
		}
	}
	return c.Conn.Write(request)
}

func (c *conn) Close() error {
	c.wire.mu.Lock()
	c.wire.open = slices.DeleteFunc(c.wire.open, func(o *conn) bool { return o == c })
	c.wire.mu.Unlock()
	return c.Conn.Close()
}
