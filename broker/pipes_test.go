package broker

import (
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// pipes is a listener in memory, for virtual time.
type pipes struct {
	accepts chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newPipes() *pipes { return &pipes{accepts: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.accepts <- far
	return near
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepts:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// bareClient sends frames and reads answers, and looks into none.
type bareClient struct {
	conn  net.Conn
	frame []byte
	size  [4]byte
}

func newBareClient(conn net.Conn) *bareClient { return &bareClient{conn: conn} }

func (c *bareClient) send(req kmsg.Request) error {
	c.frame = kmsg.NewRequestFormatter(kmsg.FormatterClientID("bare")).AppendRequest(c.frame[:0], req, 1)
	if _, err := c.conn.Write(c.frame); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.conn, c.size[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c.conn, int64(binary.BigEndian.Uint32(c.size[:])))
	return err
}
