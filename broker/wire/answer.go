package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// dispatch begins requests. When the peer is gone, Overlapping ones that arrived are begun all the same: a producer
// with acks=0 sends and leaves.
func (c *Conn) dispatch(base context.Context) {
	defer close(c.answers)
	previous := Overlapping
	for r := range c.requests {
		if r.route.Order == Serial || previous == Serial {
			c.begun.Wait()
		}
		previous = r.route.Order
		c.begun.Add(1)
		if r.pending == nil {
			r.pending = c.begin(base, r)
		}
		c.answers <- r
	}
}

func (c *Conn) begin(base context.Context, r *request) (pending Pending) {
	pending = Ready(nil)
	if c.alive.Err() != nil && (r.route.Order == Serial || base.Err() != nil) {
		c.doneWithFrame(r)
		return pending
	}
	defer c.recovered(r)
	pending = r.route.Handler(base, c, r.body)
	if r.route.Borrows { // after a panic nobody knows who has the frame
		c.doneWithFrame(r)
	}
	return pending
}

// recovered turns a panic into the end of the connection.
func (c *Conn) recovered(r *request) {
	if p := recover(); p != nil {
		c.srv.log.Error("panic in a request handler", "api", r.route.Name, "version", r.version, "panic", p, "stack", string(debug.Stack()))
		c.fail(fmt.Errorf("%w in %s version %d", errPanic, r.route.Name, r.version))
	}
}

// write sends answers in order.
func (c *Conn) write() {
	var buf []byte
	for r := range c.answers {
		resp := c.await(r)
		r.body = nil
		if resp != nil && c.alive.Err() == nil {
			buf = c.send(buf, r, resp)
		}
		if held, ok := resp.(Releaser); ok {
			held.Release()
		}
		c.srv.metrics.seconds.WithLabelValues(r.route.Name).Observe(time.Since(r.arrived).Seconds())
		c.letGo()
		r.grant.release()
		c.giveBack(r.size)
		c.begun.Done()
	}
}

func (c *Conn) await(r *request) (resp kmsg.Response) {
	defer c.recovered(r)
	return r.pending(c.alive)
}

// send writes an answer and returns the buffer for the next.
func (c *Conn) send(buf []byte, r *request, resp kmsg.Response) []byte {
	defer c.recovered(r)
	frame := net.Buffers(encode(buf, r.correlation, resp))
	head, size := frame[0], 0
	for _, b := range frame {
		size += len(b)
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.stall(size))); err != nil {
		c.fail(errPeerGone)
		return nil
	}
	if c.alive.Err() != nil { // fail may have set its deadline before ours
		return nil
	}
	if _, err := frame.WriteTo(c.nc); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.fail(fmt.Errorf("%w: the peer does not read its answers: %v", errSlowReader, err))
		} else {
			c.fail(errPeerGone)
		}
		return nil
	}
	c.srv.metrics.bytesOut.Add(float64(size))
	if cap(head) > 64<<10 {
		return nil
	}
	return head
}
