package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// stays checks that a channel stays silent for a moment. It can only miss a fault, never see one that is not there.
func stays(t *testing.T, what string, c <-chan *heldRequest) {
	t.Helper()
	select {
	case <-c:
		t.Fatal(what)
	case <-time.After(50 * time.Millisecond):
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	h := newHeld()
	c := serve(t, Routes{0: h.produceRoute()}, Options{MaxInFlight: 3}).dial()
	for i := range int32(5) {
		c.send(i, produceRequest(10))
	}
	first := within(t, h.begun)
	within(t, h.begun)
	within(t, h.begun)
	stays(t, "a fourth request was begun", h.begun)
	close(first.free)
	within(t, h.begun)
	stays(t, "a fifth request was begun", h.begun)
}

func TestBytesInFlightAreBoundedButOneRequestAlwaysPasses(t *testing.T) {
	h := newHeld()
	c := serve(t, Routes{0: h.produceRoute()}, Options{MaxConnectionBytes: 2500}).dial()
	for i, size := range []int{1000, 1000, 1000, 5000} {
		c.send(int32(i), produceRequest(size))
	}
	first, second := within(t, h.begun), within(t, h.begun)
	stays(t, "the third request was begun above the bound", h.begun)
	close(first.free)
	third := within(t, h.begun)
	close(second.free)
	stays(t, "the large request was begun beside another", h.begun)
	close(third.free)
	within(t, h.begun)
}

func TestBudgetPushesBackOverAllConnections(t *testing.T) {
	h := newHeld()
	f := serve(t, Routes{0: h.produceRoute(), 12: answerAtOnce()[12]}, Options{Budget: NewBudget(3 << 20)})
	one, two := f.dial(), f.dial()
	one.send(1, produceRequest(2<<20))
	first := within(t, h.begun)
	go func() { _, _ = two.Write(frameOf(1, produceRequest(2<<20))) }()
	stays(t, "a request was begun above the budget", h.begun)

	other := f.dial() // other requests pass
	other.send(1, heartbeatRequest())
	other.receive()

	close(first.free)
	one.receive()
	second := within(t, h.begun)
	close(second.free)
	two.receive()

	huge := f.dial() // a frame above the whole budget passes alone
	go func() { _, _ = huge.Write(frameOf(1, produceRequest(4<<20))) }()
	close(within(t, h.begun).free)
	huge.receive()
}

func TestBudgetComesBackFromBadAndAbandonedRequests(t *testing.T) {
	h := newHeld()
	budget := NewBudget(1 << 20)
	f := serve(t, Routes{0: h.produceRoute()}, Options{Budget: budget})

	truncated := f.dial()
	frame := frameOf(1, produceRequest(1<<20))
	_, err := truncated.Write(frame[:1000])
	must(t, err)
	must(t, truncated.Conn.(*net.TCPConn).CloseWrite())
	truncated.expectClosed()

	garbage := f.dial()
	frame = frameOf(1, produceRequest(1<<20))
	frame[20] = 0xff
	_, _ = garbage.Write(frame)
	garbage.expectClosed()

	abandoned := f.dial()
	abandoned.send(1, produceRequest(1<<20-100))
	within(t, h.begun)
	must(t, abandoned.Close())

	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	_, err = budget.acquire(ctx, 1<<20)
	must(t, err)
}

func TestLargeSizeWithoutBytesAllocatesLittle(t *testing.T) {
	f := serve(t, Routes{0: newHeld().produceRoute()}, Options{MaxConnectionBytes: 200 << 20})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 4 {
		c := f.dial()
		_, err := c.Write([]byte{0x06, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0}) // 96 MiB
		must(t, err)
		must(t, c.Conn.(*net.TCPConn).CloseWrite())
		c.expectClosed()
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("four claims of 96 MiB made the server allocate %d bytes", grown)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	f := serve(t, answerAtOnce(), Options{MaxConnections: func() int { return 2 }})
	one, two := f.dial(), f.dial()
	for _, c := range []*client{one, two} {
		c.send(1, heartbeatRequest())
		c.receive()
	}
	for range 3 {
		f.dial().expectClosed()
	}
	if n := strings.Count(f.logs.String(), "too many connections"); n != 1 {
		t.Errorf("%d log lines, want 1", n)
	}
	must(t, one.Close())
	for end := time.Now().Add(deadline); ; {
		c := f.dial()
		if _, err := c.Write(frameOf(1, heartbeatRequest())); err == nil {
			if _, err := io.ReadFull(c, make([]byte, 4)); err == nil {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatal("the place of a closed connection was not given to another")
		}
	}
}

func TestIdleConnectionsAreClosedButNotWaitingOnes(t *testing.T) {
	h := newHeld()
	f := serve(t, Routes{12: {Name: "Heartbeat", Max: 4, Handler: h.handle}}, Options{IdleTimeout: 60 * time.Millisecond})
	waiting := f.dial()
	waiting.send(1, heartbeatRequest())
	r := within(t, h.begun)
	idle := f.dial()
	idle.expectClosed()
	f.dial().expectClosed() // so the waiting one waits for longer than the timeout
	close(r.free)
	waiting.receive()
	waiting.expectClosed()
	if logs := f.logs.String(); logs != "" {
		t.Errorf("logs: %s", logs)
	}
}

func TestNegativeIdleTimeoutIsNever(t *testing.T) {
	f := serve(t, answerAtOnce(), Options{IdleTimeout: -1})
	c := f.dial()
	for range 2 {
		c.send(1, heartbeatRequest())
		c.receive()
	}
}

func TestPeerThatDoesNotReadIsGivenUp(t *testing.T) {
	f := serve(t, Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, _ *Conn, req kmsg.Request) kmsg.Response {
		return segmented{req.ResponseKind(), [][]byte{make([]byte, 64<<20)}}
	})}}, Options{StallTimeout: 100 * time.Millisecond})
	f.srv.opts.StallTimeout -= 256 * time.Second // the allowance for the size of the answer
	c := f.dial()
	c.send(1, heartbeatRequest())
	for end := time.Now().Add(deadline); !strings.Contains(f.logs.String(), "write_failed"); {
		if time.Now().After(end) {
			t.Fatal("the connection was not given up")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	h := newHeld()
	f := serve(t, Routes{0: h.produceRoute()}, Options{})
	idle, busy, half := f.dial(), f.dial(), f.dial()
	busy.send(1, produceRequest(10))
	busy.send(2, produceRequest(10))
	first, second := within(t, h.begun), within(t, h.begun)
	_, err := half.Write(frameOf(1, produceRequest(10))[:20])
	must(t, err)

	down := make(chan error, 1)
	go func() { down <- f.srv.Shutdown(context.Background()) }()
	idle.expectClosed()
	half.expectClosed()
	_, _ = busy.Write(frameOf(3, produceRequest(10))) // too late
	close(second.free)
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v with a request in flight", err)
	default:
	}
	close(first.free)
	for want := range int32(2) {
		if correlation, _ := busy.receive(); correlation != want+1 {
			t.Fatalf("correlation %d", correlation)
		}
	}
	busy.expectClosed()
	must(t, within(t, down))
	if _, err := net.Dial("tcp", f.addr); err == nil {
		t.Error("the listener is open")
	}
	if len(h.begun) != 0 {
		t.Error("a request was begun after Shutdown")
	}
}

// Clients take an orderly end before the first answer for another protocol, and do not try again elsewhere.
func TestShutdownResetsWhoHasSaidNothing(t *testing.T) {
	f := serve(t, answerAtOnce(), Options{})
	silent, heard := f.dial(), f.dial()
	heard.send(1, heartbeatRequest())
	if correlation, _ := heard.receive(); correlation != 1 {
		t.Fatalf("correlation %d", correlation)
	}
	must(t, f.srv.Shutdown(context.Background()))
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("who has said nothing sees %v", err)
	}
	if _, err := heard.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("who was answered sees %v", err)
	}
}

func TestShutdownIsBoundedByItsContext(t *testing.T) {
	h := newHeld()
	f := serve(t, Routes{12: {Name: "Heartbeat", Max: 4, Handler: h.handle}}, Options{})
	c := f.dial()
	c.send(1, heartbeatRequest())
	r := within(t, h.begun)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := f.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	within(t, r.gone)
	c.expectClosed()
}

func TestServeEndsWithItsContext(t *testing.T) {
	h := newHeld()
	srv, err := NewServer(Routes{12: {Name: "Heartbeat", Max: 4, Handler: h.handle}}, Options{})
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, ln, &Endpoint{Name: "PLAINTEXT"}) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	defer conn.Close()
	_, err = conn.Write(frameOf(1, heartbeatRequest()))
	must(t, err)
	r := within(t, h.begun)
	cancel()
	within(t, r.gone)
	if err := within(t, served); !errors.Is(err, context.Canceled) {
		t.Errorf("Serve: %v", err)
	}
}

func TestRouteWithoutShapeIsRefused(t *testing.T) {
	if _, err := NewServer(Routes{6: {Name: "UpdateMetadata"}}, Options{}); err == nil {
		t.Error("a key whose requests cannot be checked was accepted")
	}
}

func TestAnswersThatAreNotReadHoldNoMoreThanTheirBudget(t *testing.T) {
	budget := NewBudget(4 << 20)
	got, free := make(chan int64), make(chan struct{})
	hold := Route{Name: "Heartbeat", Min: 0, Max: 4, Handler: Blocking(func(ctx context.Context, c *Conn, req kmsg.Request) kmsg.Response {
		n, err := c.Hold(ctx, 3<<20, 1<<20)
		if err != nil {
			n = -1
		}
		got <- n
		<-free
		return req.ResponseKind()
	})}
	f := serve(t, Routes{12: hold}, Options{AnswerBudget: budget})
	one, two, three := f.dial(), f.dial(), f.dial()
	one.send(1, heartbeatRequest())
	if n := within(t, got); n != 3<<20 {
		t.Fatalf("the first holds %d", n)
	}
	two.send(1, heartbeatRequest())
	if n := within(t, got); n != 1<<20 {
		t.Fatalf("the second holds %d: the rest", n)
	}
	three.send(1, heartbeatRequest())
	select {
	case n := <-got:
		t.Fatalf("the third holds %d of nothing", n)
	case <-time.After(50 * time.Millisecond):
	}
	free <- struct{}{}
	if n := within(t, got); n < 1<<20 {
		t.Fatalf("the third holds %d", n)
	}
	free <- struct{}{}
	free <- struct{}{}
	one.receive()
	two.receive()
	three.receive()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	_, err := budget.acquire(ctx, 4<<20)
	must(t, err)
}

// Peers that announce frames and send nothing may not keep the budget from those that do send.
func TestFramesThatDoNotArriveMakeRoomForOthers(t *testing.T) {
	for name, announced := range map[string]int32{"large frames": 9 << 20, "small frames": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			h := newHeld()
			budget := NewBudget(4 << 20)
			budget.patience = 50 * time.Millisecond
			f := serve(t, Routes{0: h.produceRoute()}, Options{Budget: budget})
			var idle []*client
			for range 12 {
				c := f.dial()
				frame := frameOf(1, produceRequest(100))
				binary.BigEndian.PutUint32(frame, uint32(announced))
				_, err := c.Write(frame[:20])
				must(t, err)
				idle = append(idle, c)
			}
			honest := f.dial()
			honest.send(1, produceRequest(1<<20))
			close(within(t, h.begun).free)
			honest.receive()
			for _, c := range idle {
				must(t, c.Close())
			}
		})
	}
}
