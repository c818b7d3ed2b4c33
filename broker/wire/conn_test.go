package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline bounds everything in these tests that waits for the other side.
const deadline = 30 * time.Second

// fixture is a server on a loopback socket.
type fixture struct {
	t    *testing.T
	srv  *Server
	addr string
	logs lockedBuffer

	registry *prometheus.Registry
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func serve(t *testing.T, routes Routes, opts Options) *fixture {
	t.Helper()
	return serveAt(t, &Endpoint{Name: "PLAINTEXT"}, routes, opts)
}

func serveAt(t *testing.T, endpoint *Endpoint, routes Routes, opts Options) *fixture {
	t.Helper()
	f := &fixture{t: t}
	opts.Logger = slog.New(slog.NewTextHandler(&f.logs, nil))
	f.registry = prometheus.NewRegistry()
	opts.Registerer = f.registry
	var err error
	f.srv, err = NewServer(routes, opts)
	must(t, err)
	f.srv.frames.poison = true
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- f.srv.Serve(context.Background(), ln, endpoint) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = f.srv.Shutdown(ctx)
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return f
}

type client struct {
	t *testing.T
	net.Conn
}

func (f *fixture) dial() *client {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	must(f.t, err)
	f.t.Cleanup(func() { _ = conn.Close() })
	c := &client{f.t, conn}
	c.patient()
	return c
}

// patient gives the other side its time from now on.
func (c *client) patient() {
	c.t.Helper()
	must(c.t, c.SetDeadline(time.Now().Add(deadline)))
}

func frameOf(correlation int32, req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("tester")).AppendRequest(nil, req, correlation)
}

func (c *client) send(correlation int32, req kmsg.Request) {
	c.t.Helper()
	_, err := c.Write(frameOf(correlation, req))
	must(c.t, err)
}

// receive returns the correlation id and the rest of the next answer.
func (c *client) receive() (int32, []byte) {
	c.t.Helper()
	var head [8]byte
	_, err := io.ReadFull(c, head[:])
	must(c.t, err)
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err = io.ReadFull(c, body)
	must(c.t, err)
	return int32(binary.BigEndian.Uint32(head[4:])), body
}

func (c *client) expectClosed() {
	c.t.Helper()
	n, err := io.Copy(io.Discard, c)
	var timeout net.Error
	if n > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("want the connection closed, got %d bytes and %v", n, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(deadline):
		t.Fatal("nothing came in time")
		panic("unreachable")
	}
}

func produceRequest(size int) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version = 9
	topic := kmsg.NewProduceRequestTopic()
	topic.Partitions = []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, size)}}
	req.Topics = append(req.Topics, topic)
	return req
}

func heartbeatRequest() *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	return req
}

// answerAtOnce serves Heartbeat.
func answerAtOnce() Routes {
	return Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, _ *Conn, req kmsg.Request) kmsg.Response {
		return req.ResponseKind()
	})}}
}

// held is a handler whose requests wait until the test lets them go.
type held struct {
	begun  chan *heldRequest
	answer func(req kmsg.Request) kmsg.Response
}

type heldRequest struct {
	conn *Conn
	req  kmsg.Request
	free chan struct{}
	gone chan error // the error of the ctx that ended
}

func newHeld() *held {
	return &held{begun: make(chan *heldRequest, 1000), answer: func(req kmsg.Request) kmsg.Response { return req.ResponseKind() }}
}

func (h *held) handle(_ context.Context, c *Conn, req kmsg.Request) Pending {
	r := &heldRequest{conn: c, req: req, free: make(chan struct{}), gone: make(chan error, 1)}
	h.begun <- r
	return func(ctx context.Context) kmsg.Response {
		select {
		case <-r.free:
			return h.answer(req)
		case <-ctx.Done():
			r.gone <- ctx.Err()
			return nil
		}
	}
}

func (h *held) produceRoute() Route {
	return Route{Name: "Produce", Min: 3, Max: 13, Handler: h.handle, Order: Overlapping, Budgeted: true, Borrows: true}
}

func TestAnswersLeaveInTheOrderOfTheRequests(t *testing.T) {
	h := newHeld()
	c := serve(t, Routes{0: h.produceRoute()}, Options{}).dial()
	const n = 20
	var requests []*heldRequest
	for i := range n {
		c.send(int32(i), produceRequest(100))
		requests = append(requests, within(t, h.begun)) // begun although none before was answered
	}
	for _, r := range slices.Backward(requests) {
		close(r.free)
	}
	for i := range n {
		correlation, body := c.receive()
		if correlation != int32(i) || body[0] != 0 {
			t.Fatalf("answer %d: correlation %d, header ends in %d", i, correlation, body[0])
		}
	}
}

func TestSerialRequestsTakeEffectOneAtATime(t *testing.T) {
	bothWays(t, func(t *testing.T, way func(Routes) Routes) {
		produces, beats := newHeld(), newHeld()
		c := serve(t, way(Routes{
			0:  produces.produceRoute(),
			12: {Name: "Heartbeat", Max: 4, Handler: beats.handle},
		}), Options{}).dial()
		c.send(1, produceRequest(10))
		c.send(2, heartbeatRequest())
		c.send(3, heartbeatRequest())
		c.send(4, produceRequest(10))
		first := within(t, produces.begun)
		if len(beats.begun) != 0 {
			t.Fatal("a heartbeat began before the produce request ahead of it was answered")
		}
		close(first.free)
		for want := range int32(2) {
			if correlation, _ := c.receive(); correlation != want+1 {
				t.Fatalf("correlation %d, want %d", correlation, want+1)
			}
			beat := within(t, beats.begun)
			if len(beats.begun)+len(produces.begun) != 0 {
				t.Fatal("something began before the heartbeat ahead of it was answered")
			}
			close(beat.free)
		}
		if correlation, _ := c.receive(); correlation != 3 {
			t.Fatal("third answer is not the third request's")
		}
		close(within(t, produces.begun).free)
		if correlation, _ := c.receive(); correlation != 4 {
			t.Fatal("fourth answer is not the fourth request's")
		}
	})
}

func TestBadBytesCloseTheConnectionWithOneLogLine(t *testing.T) {
	beat := frameOf(1, heartbeatRequest())
	withSize := func(size uint32, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, size), rest...)
	}
	changed := func(at int, to ...byte) []byte {
		b := slices.Clone(beat)
		copy(b[at:], to)
		return b
	}
	cases := map[string]struct {
		bytes  []byte
		reason string
	}{
		"negative size":           {withSize(0xffffffff), "frame_size"},
		"size over the limit":     {withSize(100<<20 + 1), "frame_size"},
		"size below a header":     {withSize(7), "frame_size"},
		"control request too big": {append(withSize(17<<20), beat[4:]...), "frame_size"},
		"unknown key":             {changed(4, 0x03, 0xe7), "unknown_api"},
		"negative key":            {changed(4, 0xff, 0xff), "unknown_api"},
		"unknown version":         {changed(6, 0, 5), "unsupported_version"},
		"negative version":        {changed(6, 0xff, 0xff), "unsupported_version"},
		"body of another request": {append(withSize(14), 0, 12, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0, 9, 9, 9), "malformed_request"},
		"client id past the end":  {append(withSize(10), 0, 12, 0, 4, 0, 0, 0, 1, 0, 9), "malformed_request"},
		"text, as from a browser": {[]byte("GET / HTTP/1.1\r\n\r\n"), "frame_size"},
		"header without body":     {append(withSize(8), 0, 12, 0, 4, 0, 0, 0, 1), "malformed_request"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := serve(t, answerAtOnce(), Options{})
			c := f.dial()
			_, err := c.Write(tc.bytes)
			must(t, err)
			c.expectClosed()
			if logs := f.logs.String(); strings.Count(logs, "\n") != 1 || !strings.Contains(logs, tc.reason) {
				t.Errorf("want one line with %s, got %q", tc.reason, logs)
			}
		})
	}
}

func TestFrameThatEndsEarlyIsNoRequest(t *testing.T) {
	f := serve(t, answerAtOnce(), Options{})
	frame := frameOf(1, heartbeatRequest())
	for _, n := range []int{1, 3, 4, 11, 12, len(frame) - 1} {
		c := f.dial()
		_, err := c.Write(frame[:n])
		must(t, err)
		must(t, c.Conn.(*net.TCPConn).CloseWrite())
		c.expectClosed()
	}
}

func TestRequestInSmallPieces(t *testing.T) {
	c := serve(t, answerAtOnce(), Options{}).dial()
	frame := append(frameOf(1, heartbeatRequest()), frameOf(2, heartbeatRequest())...)
	for _, b := range frame {
		_, err := c.Write([]byte{b})
		must(t, err)
	}
	for want := range int32(2) {
		if correlation, _ := c.receive(); correlation != want+1 {
			t.Fatalf("correlation %d", correlation)
		}
	}
}

func TestNullClientIDAndTaggedFieldsInTheHeader(t *testing.T) {
	c := serve(t, answerAtOnce(), Options{}).dial()
	body := heartbeatRequest().AppendTo(nil)
	frame := []byte{0, 0, 0, 0, 0, 12, 0, 4, 0, 0, 0, 9, 0xff, 0xff, 1, 99, 3, 'a', 'b', 'c'}
	frame = append(frame, body...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	_, err := c.Write(frame)
	must(t, err)
	if correlation, _ := c.receive(); correlation != 9 {
		t.Fatalf("correlation %d", correlation)
	}
}

func TestApiVersionsOfAnUnknownVersionIsAnsweredInVersion0(t *testing.T) {
	c := serve(t, Routes{18: {Name: "ApiVersions", Max: 4, Handler: answerAtOnce()[12].Handler}}, Options{}).dial()
	for _, version := range []byte{5, 99} {
		_, err := c.Write([]byte{0, 0, 0, 13, 0, 18, 0, version, 0, 0, 0, 7, 0xff, 0xff, 1, 2, 3})
		must(t, err)
		correlation, body := c.receive()
		resp := kmsg.NewPtrApiVersionsResponse()
		resp.SetVersion(0)
		must(t, resp.ReadFrom(body))
		if correlation != 7 || resp.ErrorCode != 35 || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MaxVersion != 4 {
			t.Fatalf("correlation %d, %+v", correlation, resp)
		}
		if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
			t.Fatalf("%d bytes left over", len(body)-len(again))
		}
	}
	// The connection goes on, and the header of the answer has no tagged fields at flexible versions either.
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 3
	c.send(8, req)
	_, body := c.receive()
	if want := req.ResponseKind().AppendTo(nil); !bytes.Equal(body, want) {
		t.Fatalf("body %x, want %x", body, want)
	}
}

func TestWaitingEndsWhenThePeerGoesAway(t *testing.T) {
	h := newHeld()
	c := serve(t, Routes{12: {Name: "Heartbeat", Max: 4, Handler: h.handle}}, Options{}).dial()
	c.send(1, heartbeatRequest())
	r := within(t, h.begun)
	if r.conn.ClientID() != "tester" || r.conn.ClientHost() != "127.0.0.1" {
		t.Errorf("client %q at %q", r.conn.ClientID(), r.conn.ClientHost())
	}
	must(t, c.Close())
	within(t, r.gone)
}

func TestProduceThatArrivedIsBegunAlthoughThePeerLeft(t *testing.T) {
	h := newHeld()
	h.answer = func(kmsg.Request) kmsg.Response { return nil }
	c := serve(t, Routes{0: h.produceRoute()}, Options{}).dial()
	var all []byte
	for i := range 50 {
		all = append(all, frameOf(int32(i), produceRequest(100))...)
	}
	_, err := c.Write(all)
	must(t, err)
	must(t, c.Close())
	for range 50 {
		within(t, h.begun)
	}
}

func TestPanicClosesTheConnectionAlone(t *testing.T) {
	bothWays(t, func(t *testing.T, way func(Routes) Routes) {
		routes := answerAtOnce()
		routes[13] = Route{Name: "LeaveGroup", Max: 5, Handler: func(context.Context, *Conn, kmsg.Request) Pending { panic("in the handler") }}
		routes[14] = Route{Name: "SyncGroup", Max: 5, Handler: Blocking(func(context.Context, *Conn, kmsg.Request) kmsg.Response { panic("in the pending") })}
		f := serve(t, way(routes), Options{})
		other := f.dial()
		for _, req := range []kmsg.Request{kmsg.NewPtrLeaveGroupRequest(), kmsg.NewPtrSyncGroupRequest()} {
			c := f.dial()
			c.send(1, req)
			c.expectClosed()
		}
		for _, text := range []string{"in the handler", "in the pending", "goroutine"} {
			if !strings.Contains(f.logs.String(), text) {
				t.Errorf("log has no %q", text)
			}
		}
		other.send(1, heartbeatRequest())
		other.receive()
	})
}

func TestAbortClosesTheConnection(t *testing.T) {
	bothWays(t, func(t *testing.T, way func(Routes) Routes) {
		f := serve(t, way(Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, c *Conn, _ kmsg.Request) kmsg.Response {
			c.Abort(errors.New("not like this"))
			return nil
		})}}), Options{})
		c := f.dial()
		c.send(1, heartbeatRequest())
		c.expectClosed()
		if !strings.Contains(f.logs.String(), "not like this") {
			t.Errorf("logs: %s", f.logs.String())
		}
	})
}

func TestSegmentsAreWrittenAsTheyAre(t *testing.T) {
	next := make(chan [][]byte, 1)
	c := serve(t, Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, _ *Conn, req kmsg.Request) kmsg.Response {
		return segmented{req.ResponseKind(), <-next}
	})}}, Options{}).dial()
	for i, size := range []int{3 << 20, 3 << 20, 0, 1, gathered - 20, gathered - 14, gathered - 13, gathered - 12, gathered, 3 << 20, 5} {
		parts := [][]byte{[]byte("one "), {}, []byte("two "), bytes.Repeat([]byte("x"), size)}
		next <- parts
		c.send(int32(i), heartbeatRequest())
		correlation, body := c.receive()
		if want := "\x00one two " + strings.Repeat("x", size); correlation != int32(i) || string(body) != want {
			t.Fatalf("correlation %d, %d bytes after %d", correlation, len(body), size)
		}
		if string(parts[0]) != "one " || string(parts[2]) != "two " {
			t.Fatalf("the segments were written to: %q", parts[:3])
		}
	}
}

type segmented struct {
	kmsg.Response
	parts [][]byte
}

func (s segmented) AppendSegments(dst [][]byte) [][]byte { return append(dst, s.parts...) }
