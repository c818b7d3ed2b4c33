package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// dispatch begins requests, and answers Serial ones itself: nothing else of the connection is under way while one is.
// When the peer is gone, Overlapping ones that arrived are begun all the same: a producer with acks=0 sends and leaves.
func (c *Conn) dispatch(base context.Context) {
	var writer sync.WaitGroup
	defer writer.Wait()
	var answers chan *request // nil: there is no writer, and most connections never need it
	defer func() {
		if answers != nil {
			close(answers)
		}
	}()
	for r := range c.requests {
		if c.refuses(r) {
			c.drop(r)
			continue
		}
		if r.route.Order == Serial {
			c.begun.Wait()
			c.startRequest(base, r)
			c.answer(r)
			continue
		}
		if answers == nil {
			answers = make(chan *request, c.srv.opts.MaxInFlight)
			writer.Go(func() { c.answerInOrder(answers) })
		}
		c.begun.Add(1)
		c.startRequest(base, r)
		answers <- r
	}
}

// serveHere is what the dispatcher does with a Prompt request, for the reader: to wake another goroutine, and often another
// thread for it, costs several times what such a request does.
func (c *Conn) serveHere(base context.Context, r *request) {
	if c.refuses(r) {
		c.drop(r)
		return
	}
	c.startRequest(base, r)
	c.answer(r)
}

func (c *Conn) startRequest(base context.Context, r *request) {
	if r.pending == nil {
		r.pending = c.begin(base, r)
	}
}

func (c *Conn) begin(base context.Context, r *request) (pending Pending) {
	pending = Ready(nil)
	if c.alive.Err() != nil && (r.route.Order == Serial || base.Err() != nil) {
		c.doneWithFrame(r)
		return pending
	}
	defer c.recovered(r)
	c.beginning = r.size
	pending = r.route.Handler(base, c, r.body)
	if r.route.Borrows { // after a panic nobody knows who has the frame
		c.doneWithFrame(r)
	}
	return pending
}

// drop is for a request that does not begin.
func (c *Conn) drop(r *request) {
	c.doneWithFrame(r)
	r.grant.release()
	c.giveBack(r.size)
}

// recovered turns a panic into the end of the connection.
func (c *Conn) recovered(r *request) {
	if p := recover(); p != nil {
		c.srv.log.Error("panic in a request handler", "api", r.route.Name, "version", r.version, "panic", p, "stack", string(debug.Stack()))
		c.fail(fmt.Errorf("%w in %s version %d", errPanic, r.route.Name, r.version))
	}
}

// answerInOrder answers Overlapping requests.
func (c *Conn) answerInOrder(answers <-chan *request) {
	for r := range answers {
		c.answer(r)
		c.begun.Done()
	}
}

// answer waits for the answer to a request and sends it.
func (c *Conn) answer(r *request) {
	resp := c.await(r)
	r.body = nil
	if c.refusal > 0 {
		c.pause(c.refusal, c.hurry)
	}
	if resp != nil && c.alive.Err() == nil && !c.retired {
		c.send(r, resp)
	}
	if held, ok := resp.(Releaser); ok {
		held.Release()
	}
	r.route.in(c.srv.metrics).seconds.Observe(time.Since(r.arrived).Seconds())
	c.letGo()
	r.grant.release()
	c.giveBack(r.size)
}

func (c *Conn) await(r *request) (resp kmsg.Response) {
	defer c.recovered(r)
	return r.pending(c.alive)
}

// mostKept is the largest buffer that a connection keeps for its next answer. Larger ones, up to mostShared, are shared:
// clients that list thousands of partitions do so all the time, and to grow a buffer for each answer costs more than to
// fill it.
const (
	mostKept   = 64 << 10
	mostShared = 8 << 20
)

// send writes an answer.
func (c *Conn) send(r *request, resp kmsg.Response) {
	defer c.recovered(r)
	if c.buf == nil && c.large {
		c.buf, _ = c.srv.large.Get().([]byte)
	}
	var frame [][]byte
	if token, ok := resp.(tokenReply); ok {
		frame = [][]byte{token.encode(c.buf)}
	} else {
		frame = encode(c.buf, r.correlation, resp)
	}
	c.buf = frame[0]
	defer c.keep(c.buf)
	c.transmit(frame)
}

// transmit writes a frame within the time that it may take.
func (c *Conn) transmit(frame [][]byte) {
	size := 0
	for _, b := range frame {
		size += len(b)
	}
	if !c.allowTimeToWrite(size) {
		c.fail(errPeerGone)
		return
	}
	if c.alive.Err() != nil { // fail may have set its deadline before ours
		return
	}
	if err := c.write(frame); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.fail(fmt.Errorf("%w: the peer does not read its answers: %v", errSlowReader, err))
		} else {
			c.fail(errPeerGone)
		}
		return
	}
	c.srv.metrics.bytesOut.Add(float64(size))
}

// allowTimeToWrite gives the peer the time that a frame of so many bytes may take to leave, or half of it more if the deadline
// that is there will do. False: the connection is closed.
func (c *Conn) allowTimeToWrite(size int) bool {
	now, stall := time.Now(), c.stall(size)
	if left := c.writeBy.Sub(now); left >= stall && left <= stall*3/2 {
		return true
	}
	c.writeBy = now.Add(stall * 3 / 2)
	return c.raw.SetWriteDeadline(c.writeBy) == nil
}

// keep decides what becomes of the buffer of an answer that was written.
func (c *Conn) keep(buf []byte) {
	if c.large = len(buf) > mostKept; cap(buf) > mostKept {
		c.buf = nil
		if cap(buf) <= mostShared {
			c.srv.large.Put(buf) //nolint:staticcheck // a slice header for half a megabyte
		}
	}
}

// write sends the slices behind each other.
func (c *Conn) write(frame net.Buffers) error {
	if len(frame) == 1 {
		_, err := c.nc.Write(frame[0])
		return err
	}
	if c.endpoint.TLS != nil {
		return writeRecords(c.nc, frame)
	}
	_, err := frame.WriteTo(c.raw) // in one call, of which the type of raw knows
	return err
}
