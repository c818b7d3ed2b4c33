package wire

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestQuietIsAwaitedWhileRequestsAreInFlight(t *testing.T) {
	h := newHeld()
	f := serve(t, Routes{0: h.produceRoute()}, Options{})
	const while = 10 * time.Millisecond
	f.srv.AwaitQuiet(t.Context(), while) // nobody is there

	c := f.dial()
	c.send(1, produceRequest(10))
	r := within(t, h.begun)
	if n := f.srv.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*while)
	defer cancel()
	f.srv.AwaitQuiet(ctx, while)
	if ctx.Err() == nil {
		t.Error("quiet, with a request in flight")
	}
	quiet := make(chan time.Time, 1)
	go func() {
		f.srv.AwaitQuiet(t.Context(), while)
		quiet <- time.Now()
	}()
	answered := time.Now()
	close(r.free)
	c.receive()
	if at := within(t, quiet); at.Sub(answered) < while {
		t.Errorf("quiet %v after a request", at.Sub(answered))
	}
	c.send(2, produceRequest(10)) // it goes on serving
	close(within(t, h.begun).free)
	if id, _ := c.receive(); id != 2 {
		t.Errorf("answer to %d", id)
	}
}

func TestRetiredConnectionIsReadAndAnswersNothing(t *testing.T) {
	begun := make(chan struct{}, 100)
	retire := false
	f := serve(t, Routes{0: {Name: "Produce", Min: 3, Max: 13, Order: Overlapping, Handler: func(_ context.Context, c *Conn, req kmsg.Request) Pending {
		begun <- struct{}{}
		last := retire
		retire = true // the second one does
		return func(context.Context) kmsg.Response {
			if last {
				c.Retire()
			}
			return req.ResponseKind()
		}
	}}}, Options{})
	c := f.dial()
	c.send(1, produceRequest(10))
	if id, _ := c.receive(); id != 1 {
		t.Errorf("answer to %d before", id)
	}
	c.send(2, produceRequest(10))
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
		t.Errorf("%d bytes and %v, want the end of the stream", n, err)
	}
	for i := range int32(5) {
		c.send(3+i, produceRequest(10))
	}
	must(t, c.Close())
	for range 7 {
		within(t, begun)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for f.srv.Connections() > 0 && ctx.Err() == nil {
		f.srv.AwaitQuiet(ctx, time.Millisecond)
	}
	if n := f.srv.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}
