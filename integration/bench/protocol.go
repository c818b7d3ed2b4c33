package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// client is one connection that speaks the protocol and does nothing else, so that thousands of them cost little beside
// the broker on the same cores.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

// dial connects. The connection ends with ctx.
func dial(ctx context.Context, address string) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 512)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// frame is a request as it goes over the wire.
func frame(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 1)
}

// send writes a frame and reads the size of the answer.
func (c *client) send(frame []byte) (size int, err error) {
	if _, err := c.conn.Write(frame); err != nil {
		return 0, err
	}
	head, err := c.in.Peek(4)
	if err != nil {
		return 0, err
	}
	size = int(int32(binary.BigEndian.Uint32(head)))
	if _, err := c.in.Discard(4); err != nil {
		return 0, err
	}
	if size < 5 {
		return 0, fmt.Errorf("an answer of %d bytes", size)
	}
	return size, nil
}

// ask waits for the answer to a request.
func (c *client) ask(req kmsg.Request) (kmsg.Response, error) {
	if err := c.conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return nil, err
	}
	size, err := c.send(frame(req))
	if err != nil {
		return nil, err
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	body = body[4:] // the correlation id
	if resp.IsFlexible() {
		body = body[1:]
	}
	return resp, resp.ReadFrom(body)
}

// topicName is that of one of many.
func topicName(i int) string { return fmt.Sprintf("topic-%04d", i) }

// createTopics makes topics in one request and returns their ids.
func createTopics(ctx context.Context, address string, topics, partitions int) (ids [][16]byte, took time.Duration, err error) {
	c, err := dial(ctx, address)
	if err != nil {
		return nil, 0, err
	}
	defer c.close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 60_000
	for i := range topics {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = topicName(i), int32(partitions), 1
		req.Topics = append(req.Topics, t)
	}
	start := time.Now()
	resp, err := c.ask(req)
	if err != nil {
		return nil, 0, fmt.Errorf("create topics: %w", err)
	}
	took = time.Since(start)
	for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
		err = errors.Join(err, kerr.ErrorForCode(t.ErrorCode))
		ids = append(ids, t.TopicID)
	}
	if err == nil && len(ids) != topics {
		err = fmt.Errorf("%d topics of %d", len(ids), topics)
	}
	return ids, took, err
}
