package wire

import (
	"context"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// bothWays runs a test with Serial requests that the dispatcher answers, and with Prompt ones, which the reader may.
func bothWays(t *testing.T, test func(t *testing.T, way func(Routes) Routes)) {
	t.Helper()
	for name, isPrompt := range map[string]bool{"by the dispatcher": false, "by the reader": true} {
		t.Run(name, func(t *testing.T) {
			test(t, func(routes Routes) Routes {
				for key, r := range routes {
					r.Prompt = isPrompt && r.Order == Serial
					routes[key] = r
				}
				return routes
			})
		})
	}
}

// answeredBy tells which goroutine calls it.
func answeredBy() string {
	buf := make([]byte, 16<<10)
	stack := string(buf[:runtime.Stack(buf, false)])
	switch {
	case strings.Contains(stack, "(*Conn).read("):
		return "reader"
	case strings.Contains(stack, "(*Conn).dispatch("):
		return "dispatcher"
	}
	return stack
}

// askedBy is a Prompt route that tells who answers.
func askedBy(by chan<- string) Route {
	return Route{Name: "Heartbeat", Max: 4, Prompt: true, Handler: Blocking(func(_ context.Context, _ *Conn, req kmsg.Request) kmsg.Response {
		by <- answeredBy()
		return req.ResponseKind()
	})}
}

func TestPromptRequestThatComesAloneIsAnsweredByTheReader(t *testing.T) {
	by := make(chan string, 10)
	c := serve(t, Routes{12: askedBy(by)}, Options{}).dial()
	for i := range int32(3) {
		c.send(i, heartbeatRequest())
		if id, _ := c.receive(); id != i {
			t.Errorf("answer to %d, want %d", id, i)
		}
		if got := within(t, by); got != "reader" {
			t.Errorf("answered by %s", got)
		}
	}
}

func TestPromptRequestBehindAnotherWaitsForIt(t *testing.T) {
	by := make(chan string, 10)
	h := newHeld()
	c := serve(t, Routes{0: h.produceRoute(), 12: askedBy(by)}, Options{}).dial()
	c.send(1, produceRequest(10))
	first := within(t, h.begun)
	c.send(2, heartbeatRequest())
	c.send(3, produceRequest(10))
	select {
	case <-by:
		t.Fatal("the heartbeat overtook the produce request ahead of it")
	case <-h.begun:
		t.Fatal("a produce request overtook the heartbeat ahead of it")
	case <-time.After(50 * time.Millisecond):
	}
	close(first.free)
	close(within(t, h.begun).free)
	for want := range int32(3) {
		if id, _ := c.receive(); id != want+1 {
			t.Fatalf("answer to %d, want %d", id, want+1)
		}
	}
	if got := within(t, by); got != "dispatcher" {
		t.Errorf("answered by %s", got)
	}
	// And once all is answered, which the server notes a moment after the answer has gone.
	for id := int32(4); ; id++ {
		c.send(id, heartbeatRequest())
		c.receive()
		if got := within(t, by); got == "reader" {
			return
		} else if id == 100 {
			t.Fatalf("answered by %s", got)
		}
	}
}

// What the reader answers is answered although the server shuts down meanwhile.
func TestShutdownAwaitsWhatTheReaderAnswers(t *testing.T) {
	bothWays(t, func(t *testing.T, way func(Routes) Routes) {
		h := newHeld()
		f := serve(t, way(Routes{12: {Name: "Heartbeat", Max: 4, Handler: h.handle}}), Options{})
		c := f.dial()
		c.send(1, heartbeatRequest())
		beat := within(t, h.begun)
		down := make(chan error, 1)
		go func() { down <- f.srv.Shutdown(context.Background()) }()
		within(t, beat.conn.hurry)
		c.send(2, heartbeatRequest()) // too late
		close(beat.free)
		if id, _ := c.receive(); id != 1 {
			t.Errorf("answer to %d", id)
		}
		c.expectClosed()
		must(t, within(t, down))
		if len(h.begun) != 0 {
			t.Error("a request was begun after Shutdown")
		}
	})
}

// A peer that leaves is noticed when the reader has answered, which ends in time.
func TestPeerThatLeavesIsNoticedAfterThePromptAnswer(t *testing.T) {
	h := newHeld()
	f := serve(t, Routes{12: {Name: "Heartbeat", Max: 4, Prompt: true, Handler: h.handle}}, Options{})
	c := f.dial()
	c.send(1, heartbeatRequest())
	beat := within(t, h.begun)
	must(t, c.Close())
	close(beat.free)
	await(t, "the end of the connection", func() bool { return f.srv.Connections() == 0 })
}

func TestPromptRouteIsSerial(t *testing.T) {
	if _, err := NewServer(Routes{0: {Name: "Produce", Order: Overlapping, Prompt: true}}, Options{}); err == nil {
		t.Error("a route that is Prompt and Overlapping is taken")
	}
}

// A connection that is retired by what the reader answers goes on like one of the dispatcher.
func TestRetiredByThePromptAnswer(t *testing.T) {
	begun := make(chan struct{}, 10)
	f := serve(t, Routes{12: {Name: "Heartbeat", Max: 4, Prompt: true, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
		begun <- struct{}{}
		c.Retire()
		return req.ResponseKind()
	})}}, Options{})
	c := f.dial()
	c.send(1, heartbeatRequest())
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
		t.Errorf("%d bytes and %v, want the end of the stream", n, err)
	}
	c.send(2, heartbeatRequest())
	must(t, c.Close())
	within(t, begun)
	within(t, begun)
	await(t, "the end of the connection", func() bool { return f.srv.Connections() == 0 })
}
