package fuzztest

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// client asks one thing after the other.
type client struct {
	conn net.Conn
	last int32
}

func dial(address string) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn}, nil
}

func (c *client) close() { _ = c.conn.Close() }

func ask[Resp kmsg.Response](c *client, version int16, req kmsg.Request) (resp Resp, err error) {
	req.SetVersion(version)
	c.last++
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("other")).AppendRequest(nil, req, c.last)); err != nil {
		return resp, fmt.Errorf("ask %s: %w", nameOf(req.Key(), version), err)
	}
	b, err := readFrame(c.conn, patience)
	if err == nil && int32(binary.BigEndian.Uint32(b)) != c.last {
		err = fmt.Errorf("answer to %x", b[:4])
	}
	var answer kmsg.Response
	if err == nil {
		answer, err = decodeAnswer(frame{req.Key(), version, c.last}, b[4:])
	}
	if err != nil {
		return resp, fmt.Errorf("ask %s: %w", nameOf(req.Key(), version), err)
	}
	return answer.(Resp), nil
}
