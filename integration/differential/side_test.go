package differential

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	answerTimeout = 20 * time.Second
	clientID      = "differential"
)

// side is one broker during one script, and what it has answered.
type side struct {
	name, addr, script string
	start              time.Time // the same on both sides
	versions           map[int16][]int16
	version            int16               // of the loop that each runs
	prefix             string              // of labels, likewise
	node               int32               // the broker's own id
	aliases            map[string]string   // placeholders
	topics             map[[16]byte]string // names
	main               *conn
	open               []*conn
	steps              []step
}

// step is one answer, with a placeholder for whatever differs by nature.
type step struct {
	label  string
	fields map[string]string
}

// failure ends a script: something that must work did not.
type failure struct{ err error }

func (s *side) fatalf(format string, args ...any) {
	panic(failure{fmt.Errorf("after %q: "+format, append([]any{s.last()}, args...)...)})
}

func (s *side) last() string {
	if len(s.steps) == 0 {
		return "the start"
	}
	return s.steps[len(s.steps)-1].label
}

// guard runs a script to its end or its failure, and closes its connections.
func (s *side) guard(run func(*side)) (err error) {
	defer func() {
		for _, c := range s.open {
			c.nc.Close()
		}
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.err
		default:
			panic(r)
		}
	}()
	s.main = s.dial()
	s.learnNode()
	run(s)
	return nil
}

func (s *side) learnNode() {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	brokers := quiet[*kmsg.MetadataResponse](s, 1, req).Brokers
	if len(brokers) != 1 {
		s.fatalf("%d brokers in the cluster, want 1", len(brokers))
	}
	s.node = brokers[0].NodeID
}

// each runs a part of a script at the lowest, a middle and the highest common version of an API.
func (s *side) each(key kmsg.Key, run func(v int16)) {
	s.at(key, s.versions[int16(key)], run)
}

// at runs a part of a script at versions of an API.
func (s *side) at(_ kmsg.Key, versions []int16, run func(v int16)) {
	for _, v := range versions {
		s.version, s.prefix = v, fmt.Sprintf("v%d/", v)
		run(v)
	}
	s.version, s.prefix = -1, ""
}

// named makes a name that only this script and version use.
func (s *side) named(what string) string {
	if s.prefix == "" {
		return s.script + "-" + what
	}
	return fmt.Sprintf("%s-%s-v%d", s.script, what, s.version)
}

// at is a timestamp, the same on both sides, hours before the test.
func (s *side) past(millis int64) int64 {
	return s.start.Add(-6*time.Hour).Truncate(time.Hour).UnixMilli() + millis
}

// until polls for what happens by and by.
func (s *side) until(what string, done func() bool) {
	deadline := time.Now().Add(2 * answerTimeout)
	for !done() {
		if time.Now().After(deadline) {
			s.fatalf("waited in vain for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ask sends a request and takes down the answer.
func ask[R kmsg.Response](s *side, label string, v int16, req kmsg.Request) R {
	return askOn[R](s.main, label, v, req)
}

func askOn[R kmsg.Response](c *conn, label string, v int16, req kmsg.Request) R {
	c.send(v, req)
	return receive[R](c, label)
}

// quiet sends a request whose answer is not compared.
func quiet[R kmsg.Response](s *side, v int16, req kmsg.Request) R {
	s.main.send(v, req)
	resp, err := s.main.read()
	if err != nil {
		s.fatalf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp.(R)
}

// receive takes down the answer to the oldest request of a connection that has none. If the connection was closed
// instead, that is the answer, and the response is as it would be made: with its defaults.
func receive[R kmsg.Response](c *conn, label string) R {
	req := c.waiting[0]
	resp, err := c.read()
	switch {
	case errors.Is(err, errClosed):
		c.s.record(label, map[string]string{"connection": "closed"})
		c.reopen()
		return req.ResponseKind().(R)
	case err != nil:
		c.s.fatalf("%s: %s: %w", label, kmsg.NameForKey(req.Key()), err)
	}
	c.s.record(label, c.s.flatten(resp))
	return resp.(R)
}

func (s *side) record(label string, fields map[string]string) {
	s.steps = append(s.steps, step{s.prefix + label, fields})
}

// conn is a connection to the broker; requests on it may overlap.
type conn struct {
	s       *side
	nc      net.Conn
	next    int32
	waiting []kmsg.Request
}

var errClosed = errors.New("the broker closed the connection")

func (s *side) dial() *conn {
	c := &conn{s: s}
	c.reopen()
	return c
}

func (c *conn) reopen() {
	if c.nc != nil {
		c.nc.Close()
	}
	nc, err := net.Dial("tcp", c.s.addr)
	if err != nil {
		c.s.fatalf("%w", err)
	}
	c.nc, c.waiting = nc, nil
	c.s.open = append(c.s.open, c)
}

// send sends a request at a version and does not wait.
func (c *conn) send(v int16, req kmsg.Request) {
	req.SetVersion(v)
	c.next++
	c.waiting = append(c.waiting, req)
	c.write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, c.next))
}

func (c *conn) write(frame []byte) {
	_ = c.nc.SetDeadline(time.Now().Add(answerTimeout))
	_, _ = c.nc.Write(frame) // if that fails, so does the read
}

func (c *conn) read() (kmsg.Response, error) {
	req := c.waiting[0]
	c.waiting = c.waiting[1:]
	body, err := c.frame()
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		if len(body) == 0 || body[0] != 0 {
			return nil, fmt.Errorf("tagged fields in the header of an answer")
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("decode %d bytes: %w", len(body), err)
	}
	return resp, nil
}

// frame reads an answer's frame after its correlation id.
func (c *conn) frame() ([]byte, error) {
	_ = c.nc.SetDeadline(time.Now().Add(answerTimeout))
	var head [8]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil, err
		}
		return nil, errClosed
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:4])-4)
	_, err := io.ReadFull(c.nc, body)
	return body, err
}
