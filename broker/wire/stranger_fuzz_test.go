package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// strangers is a server that nobody can log in to.
type strangers struct {
	srv    *Server
	ln     *pipes
	logs   lockedBuffer
	served atomic.Int64 // requests of keys that strangers may not ask
}

func newStrangers(t testing.TB) *strangers {
	s := &strangers{ln: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}}
	routes := Routes{}
	for key := range shapes {
		req := kmsg.RequestForKey(key)
		routes[key] = Route{Name: kmsg.NameForKey(key), Max: req.MaxVersion(), Handler: Blocking(func(_ context.Context, _ *Conn, req kmsg.Request) kmsg.Response {
			s.served.Add(1)
			return req.ResponseKind()
		})}
	}
	refuse := func([]byte) ([]byte, error) { return []byte("go on"), nil }
	routes[17] = Route{Name: "SaslHandshake", Max: 1, Unauthenticated: true, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
		if req.GetVersion() == 0 {
			c.RawSASL(refuse)
		}
		return req.ResponseKind()
	})}
	for _, key := range []int16{18, 36} {
		routes[key] = Route{Name: kmsg.NameForKey(key), Max: kmsg.RequestForKey(key).MaxVersion(), Unauthenticated: true,
			Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
				if token, ok := req.(*kmsg.SASLAuthenticateRequest); ok && bytes.HasPrefix(token.SASLAuthBytes, []byte("-")) {
					c.Fail(time.Microsecond, errors.New("wrong password"))
				}
				return req.ResponseKind()
			})}
	}
	var err error
	s.srv, err = NewServer(routes, Options{Logger: slog.New(slog.NewTextHandler(&s.logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.srv.complaints.logged = complaintsPerSecond
	served := make(chan error, 1)
	go func() { served <- s.srv.Serve(context.Background(), s.ln, saslEndpoint()) }()
	t.Cleanup(func() {
		_ = s.srv.Shutdown(context.Background())
		<-served
	})
	return s
}

// send gives a connection all the bytes and returns what came back until it was closed.
func (s *strangers) send(t *testing.T, stream []byte) []byte {
	here, there := net.Pipe()
	before := allocated()
	s.ln.conns <- there
	_ = here.SetDeadline(time.Now().Add(deadline))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = here.Write(stream)
		_, _ = here.Write([]byte{0xff, 0xff, 0xff, 0xff}) // closes it, unless the frame before is not complete
		_ = here.Close()
	}()
	answers, err := io.ReadAll(here)
	<-sent
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection hangs")
	}
	if n := s.served.Load(); n > 0 {
		t.Fatalf("%d requests of a stranger were served", n)
	}
	if logs := s.logs.String(); strings.Contains(logs, "panic") {
		t.Fatal(logs)
	}
	// What is claimed costs nothing: what arrives is copied as it grows, and each request that is answered costs something.
	if grown := allocated() - before; grown > 2<<20+uint64(8*len(stream)+300*len(answers)) {
		t.Fatalf("%d bytes made the server allocate %d, and were answered by %d", len(stream), grown, len(answers))
	}
	return answers
}

// FuzzStrangers is a whole connection before authentication.
func FuzzStrangers(f *testing.F) {
	frames := [][]byte{
		frameOf(1, apiVersions()), frameOf(2, handshake(1)), frameOf(3, login("more")), frameOf(4, login("-")),
		frameOf(5, handshake(0)), {0, 0, 0, 3, 'a', 'b', 'c'}, {0, 0, 0, 0}, {0, 8, 0, 0}, {0x7f, 0xff, 0xff, 0xff}, {22, 3, 1, 2, 0},
		frameOf(6, heartbeatRequest()), frameOf(7, produceRequest(100)), frameOf(8, login(strings.Repeat("a", 20_000))),
	}
	f.Add(bytes.Join(frames[:3], nil))
	f.Add(bytes.Join(frames[4:7], nil))
	for _, frame := range frames {
		f.Add(frame)
	}
	s := newStrangers(f)
	f.Fuzz(func(t *testing.T, stream []byte) { s.send(t, stream) })
}

// Frames of every key, version and size, right, damaged, cut, behind each other.
func TestStrangersAreAnsweredWhatTheyMayAsk(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newStrangers(t)
	keys := slices.Sorted(maps.Keys(shapes))
	answered := 0
	for range 400 {
		var stream []byte
		for range 1 + r.IntN(4) {
			stream = append(stream, strangeFrame(r, keys)...)
		}
		if r.IntN(4) == 0 {
			stream = stream[:r.IntN(len(stream)+1)]
		}
		answered += len(s.send(t, stream))
	}
	if answered == 0 {
		t.Error("nothing was answered")
	}
}

func strangeFrame(r *rand.Rand, keys []int16) []byte {
	key := []int16{17, 18, 36, 36, keys[r.IntN(len(keys))]}[r.IntN(5)]
	req := kmsg.RequestForKey(key)
	req.SetVersion(int16(r.IntN(int(req.MaxVersion()) + 1)))
	switch req := req.(type) {
	case *kmsg.SASLAuthenticateRequest:
		req.SASLAuthBytes = make([]byte, []int{0, 1, 100, 16 << 10, 100 << 10, 524_000, 600_000}[r.IntN(7)])
	case *kmsg.SASLHandshakeRequest:
		req.Mechanism = "PLAIN"
	}
	frame := frameOf(r.Int32(), req)
	switch r.IntN(6) {
	case 0:
		frame[r.IntN(min(len(frame), 40))] ^= byte(1 << r.IntN(8))
	case 1:
		binary.BigEndian.PutUint32(frame, r.Uint32())
	case 2:
		frame = append(binary.BigEndian.AppendUint32(nil, uint32(r.IntN(20))), make([]byte, r.IntN(20))...)
	}
	return frame
}
