package fuzztest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	patience   = 30 * time.Second // for what has to come; generous, for the machine may be busy
	maxFrame   = 100 << 20        // socket.request.max.bytes
	maxControl = 16 << 20         // the same for all but Produce
	maxAnswer  = 256 << 20        // far more than is to be said of all topics that are there
)

// frame is what the broker has to see in a stream of bytes.
type frame struct {
	key, version int16
	correlation  int32
}

// mayWait says that a right request of the key may rightly be answered late, and an acks=0 Produce not at all.
func (f frame) mayWait() bool {
	switch f.key {
	case 0, 1, 11, 14:
		return true
	}
	return false
}

// expectation is what has to come of a stream.
type expectation struct {
	frames []frame // that are whole and before any that cannot be served
	fatal  bool    // then comes one that closes the connection
	rest   bool    // then comes the beginning of a frame
}

func (w *world) expect(stream []byte) (e expectation) {
	for len(stream) > 0 {
		if len(stream) < 4 {
			e.rest = true
			return e
		}
		n := int(int32(binary.BigEndian.Uint32(stream)))
		if n < 8 || n > maxFrame {
			e.fatal = true
			return e
		}
		if len(stream) < 12 {
			e.rest = true
			return e
		}
		be := binary.BigEndian
		f := frame{int16(be.Uint16(stream[4:])), int16(be.Uint16(stream[6:])), int32(be.Uint32(stream[8:]))}
		served, ok := w.served[f.key]
		if !ok || (f.key != 18 && (f.version < served.min || f.version > served.max)) || (f.key != 0 && n > maxControl) {
			e.fatal = true
			return e
		}
		if len(stream) < 4+n {
			e.rest = true
			return e
		}
		e.frames = append(e.frames, f)
		stream = stream[4+n:]
	}
	return e
}

// outcome is what came of a stream.
type outcome struct {
	answered int  // frames
	records  bool // were asked for or produced, perhaps
	topics   bool // and what they consist of were listed, perhaps
	received int  // bytes
	waited   bool // for what may take as long as it likes
	closed   bool // by the broker
	first    kmsg.Response
}

// exchange sends a stream over a connection of its own and reads what comes back. An error is a broken promise.
func (w *world) exchange(stream []byte, cut bool) (o outcome, err error) {
	nc, err := net.Dial("tcp", w.address)
	if err != nil {
		return o, err
	}
	c := nc.(*net.TCPConn)
	defer c.Close()
	e := w.expect(stream)
	o.records = slices.ContainsFunc(e.frames, func(f frame) bool { return f.key <= 2 })
	o.topics = slices.ContainsFunc(e.frames, func(f frame) bool { return slices.Contains([]int16{3, 19, 20, 35, 37, 43, 45, 46, 75}, f.key) })
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		_, _ = c.Write(stream) // the broker may have closed
		if cut {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}()
	defer func() { <-sent }()
	if cut {
		<-sent
		return o, nil
	}
	if err := w.answers(c, e, &o); err != nil || o.closed {
		return o, err
	}
	if e.fatal || e.rest || o.waited {
		<-sent
		if !e.fatal { // which has to close the connection without our doing
			_ = c.CloseWrite()
		}
		return o, ends(c, &o)
	}
	return o, nil
}

// answers reads those to the frames, until the last has come or the broker has closed.
func (w *world) answers(c net.Conn, e expectation, o *outcome) error {
	waits := false
	for i := 0; i < len(e.frames); {
		waits = waits || e.frames[i].mayWait()
		bound := patience
		if waits {
			bound = w.wait
		}
		_ = c.SetReadDeadline(time.Now().Add(bound))
		answer, err := readFrame(c, patience)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && waits:
			o.waited = true
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("no answer within %v to %+v", bound, e.frames[i:])
		case errors.Is(err, errOddFrame):
			return err
		case err != nil:
			o.closed = true
			return nil
		}
		o.received += len(answer)
		got := int32(binary.BigEndian.Uint32(answer))
		for e.frames[i].key == 0 && e.frames[i].correlation != got && i+1 < len(e.frames) { // acks=0
			i++
		}
		if e.frames[i].correlation != got {
			return fmt.Errorf("answer to %d, want that to %+v", got, e.frames[i])
		}
		resp, err := decodeAnswer(e.frames[i], answer[4:])
		if err != nil {
			return fmt.Errorf("answer to %+v: %w\n%x", e.frames[i], err, answer[:min(len(answer), 4096)])
		}
		if err := checkAnswer(resp); err != nil {
			return fmt.Errorf("answer to %+v: %w", e.frames[i], err)
		}
		if i == 0 {
			o.first = resp
		}
		w.learn(resp)
		o.answered++
		i++
	}
	return nil
}

// ends waits for the end of the broker's stream.
func ends(c net.Conn, o *outcome) error {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("connection still open after %v", patience)
	}
	o.closed = true
	return nil
}

var errOddFrame = errors.New("not the frame of an answer")

// readFrame reads what follows the size of a frame. Once it has begun, the rest has to come within the bound.
func readFrame(c net.Conn, bound time.Duration) ([]byte, error) {
	var head [4]byte
	if n, err := io.ReadFull(c, head[:]); err != nil {
		if n > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fmt.Errorf("%w: %d bytes of a size", errOddFrame, n)
		}
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(head[:])))
	if n < 4 || n > maxAnswer {
		return nil, fmt.Errorf("%w: %d bytes", errOddFrame, n)
	}
	_ = c.SetReadDeadline(time.Now().Add(bound))
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fmt.Errorf("%w: its rest did not come within %v", errOddFrame, bound)
		}
		return nil, err
	}
	return b, nil
}
