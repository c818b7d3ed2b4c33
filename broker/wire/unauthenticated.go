package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Peers that have something to prove are strangers until they have. They send one request at a time, so that nothing is
// read before it is clear who sent it; their frames are small, take from a budget of their own, and get memory as they
// arrive; and their time, their number and what they may ask are bounded.

const (
	// strangersBytes is for those frames of strangers that are larger than most tokens.
	strangersBytes = 32 << 20
	// earlyFrame is how much memory a stranger's frame gets before any of it arrived.
	earlyFrame = 1 << 10
)

// step waits, before the next frame of a stranger is looked at, until the one before it is answered. It returns whether
// the peer is still a stranger, and who takes its tokens if they have no headers. Not ok: nothing is to be read any more.
func (c *Conn) step() (early bool, tokens func([]byte) ([]byte, error), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.known && c.inFlight > 0 && !c.draining && c.alive.Err() == nil {
		c.room.Wait()
	}
	if c.draining || c.alive.Err() != nil {
		return false, nil, false
	}
	if c.known {
		return false, nil, true
	}
	return true, c.tokens, true
}

// getToKnow ends what is for strangers.
func (c *Conn) getToKnow() {
	c.mu.Lock()
	c.known, c.tokens = true, nil
	c.mu.Unlock()
	c.stopPatience()
	c.srv.welcome(c)
}

func (c *Conn) losePatience() {
	c.fail(fmt.Errorf("%w: the peer did not make itself known in %v", errSlowStranger, c.srv.opts.AuthenticationTimeout))
}

func (c *Conn) stopPatience() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.patience != nil {
		c.patience.Stop()
	}
}

// RawSASL says that what follows the answer to the request that is handled are tokens of SASL without headers, as after
// SaslHandshake v0: a size of 4 bytes and so many bytes, and replies likewise. They go to step until Authenticate is
// called, in step or elsewhere. A nil reply is not sent, an empty one is. An error closes the connection without a reply,
// after the delay if Fail was called. Only handlers of Serial requests of peers that are not known may call it.
func (c *Conn) RawSASL(step func(token []byte) (reply []byte, err error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		c.tokens = step
	}
}

// rawRoute is what tokens count as.
var rawRoute = Route{Name: "SaslToken", Unauthenticated: true}

// readToken makes a request of a token.
func (c *Conn) readToken(br *bufio.Reader, size int, step func([]byte) ([]byte, error)) (*request, error) {
	c.allowTime(br, 4+size)
	if _, err := br.Discard(4); err != nil {
		return nil, c.readFailed(err)
	}
	r := &request{route: c.srv.tokens, size: size, early: true}
	token, err := c.readFrame(br, r, size)
	if err != nil || token == nil {
		return nil, err
	}
	r.route.in(c.srv.metrics).requests.Inc()
	r.pending = func(context.Context) kmsg.Response {
		reply, err := step(token)
		switch {
		case err != nil:
			c.refusing = true
			c.finish(fmt.Errorf("%w: %v", errFailedLogin, err))
			return nil
		case reply == nil:
			return nil
		}
		return tokenReply{token: reply}
	}
	return r, nil
}

// tokenReply is a response that has no header.
type tokenReply struct {
	kmsg.Response
	token []byte
}

func (t tokenReply) encode(buf []byte) []byte {
	return append(binary.BigEndian.AppendUint32(buf[:0], uint32(len(t.token))), t.token...)
}
