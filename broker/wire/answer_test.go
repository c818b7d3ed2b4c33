package wire

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// filled is an answer of so many equal bytes.
type filled struct {
	kmsg.Response
	size int
	with byte
}

func (f filled) AppendTo(dst []byte) []byte {
	return append(dst, bytes.Repeat([]byte{f.with}, f.size)...)
}

func TestLargeAnswersDoNotMix(t *testing.T) {
	var mu sync.Mutex
	next := make(map[int64]filled) // by connection
	f := serve(t, Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
		mu.Lock()
		defer mu.Unlock()
		answer, ok := next[c.ID()]
		if !ok {
			answer.with = byte(c.ID())
		}
		answer.Response, answer.size = req.ResponseKind(), nextSize(answer.size)
		next[c.ID()] = answer
		return answer
	})}}, Options{})
	clients := []*client{f.dial(), f.dial(), f.dial()}
	with := make([]byte, len(clients))
	for i, size := int32(0), 0; i < 16; i++ {
		size = nextSize(size)
		for _, c := range clients { // all are answered at the same time
			c.patient() // each round has its time: a busy machine takes long for hundreds of megabytes
			c.send(i, heartbeatRequest())
		}
		for n, c := range clients {
			correlation, body := c.receive()
			if i == 0 {
				with[n] = body[1]
			}
			if correlation != i || len(body) != 1+size || !bytes.Equal(body[1:], bytes.Repeat(with[n:n+1], size)) {
				t.Fatalf("answer %d of %d bytes, want %d of %d", i, len(body)-1, with[n], size)
			}
		}
	}
	if with[0] == with[1] || with[1] == with[2] {
		t.Error("clients were answered alike")
	}
}

// nextSize goes up and down, and beyond what a connection keeps.
func nextSize(size int) int { return size*7%(mostShared+17) + 1000 }
