package socket

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"
)

const deadline = 30 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(deadline):
		t.Fatal("nothing came in time")
	}
	return v
}

// ends are the two ends of a TCP connection, of which the first is quick.
func ends(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	there, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	here, err := ln.Accept()
	must(t, err)
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	must(t, here.SetDeadline(time.Now().Add(deadline)))
	must(t, there.SetDeadline(time.Now().Add(deadline)))
	return Quick(here), there.(*net.TCPConn)
}

// Writes of all sizes, small ones that do not fit into what the kernel holds among them, arrive whole and in order, and come back.
func TestQuickTransfersAreWhole(t *testing.T) {
	here, there := ends(t)
	must(t, here.(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(16<<10)) // so that it is often full
	must(t, there.SetReadBuffer(64<<10))
	must(t, there.SetWriteBuffer(64<<10))
	r := rand.New(rand.NewPCG(1, 2))
	var sent []byte
	var pieces []int
	for len(sent) < 2<<20 {
		n := 1 + r.IntN(1<<(1+r.IntN(16)))
		for range n {
			sent = append(sent, byte(r.Uint32()))
		}
		pieces = append(pieces, n)
	}
	written := make(chan error, 1)
	go func() {
		for at, i := 0, 0; i < len(pieces); i++ {
			if n, err := here.Write(sent[at : at+pieces[i]]); err != nil || n != pieces[i] {
				written <- errors.Join(err, io.ErrShortWrite)
				return
			}
			at += pieces[i]
		}
		written <- nil
	}()
	echoed := make(chan error, 1)
	go func() {
		_, err := io.CopyN(there, there, int64(len(sent)))
		echoed <- err
	}()
	got := make([]byte, len(sent))
	for have := 0; have < len(got); { // by pieces small and large
		n, err := here.Read(got[have:min(len(got), have+1+r.IntN(64<<10))])
		must(t, err)
		have += n
	}
	must(t, within(t, written))
	must(t, within(t, echoed))
	if !bytes.Equal(got, sent) {
		t.Error("what came back is not what was sent")
	}
}

func TestQuickReadEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(here net.Conn, there *net.TCPConn) error
		want error
	}{
		"the peer ends its stream": {func(_ net.Conn, there *net.TCPConn) error { return there.CloseWrite() }, io.EOF},
		"the deadline":             {func(here net.Conn, _ *net.TCPConn) error { return here.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"closed":                   {func(here net.Conn, _ *net.TCPConn) error { return here.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			here, there := ends(t)
			read := make(chan error, 1)
			go func() {
				n, err := here.Read(make([]byte, 100))
				if n != 0 {
					err = errors.Join(err, errors.New("bytes that nobody sent"))
				}
				read <- err
			}()
			must(t, c.end(here, there))
			if err := within(t, read); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestQuickWriteToAPeerThatIsGoneFails(t *testing.T) {
	here, there := ends(t)
	must(t, there.SetLinger(0))
	must(t, there.Close())
	if _, err := here.Read(make([]byte, 10)); err == nil {
		t.Error("a read from a peer that reset the connection")
	}
	if _, err := here.Write(make([]byte, 10)); err == nil {
		t.Error("a write to a peer that reset the connection")
	}
}

func TestQuickTransfersAllocateNothing(t *testing.T) {
	here, there := ends(t)
	buf, back := make([]byte, 100), make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		_, err := here.Write(buf)
		must(t, err)
		_, err = io.ReadFull(there, back)
		must(t, err)
		_, err = there.Write(back)
		must(t, err)
		_, err = here.Read(buf)
		must(t, err)
	}); n != 0 {
		t.Errorf("%v allocations for an exchange", n)
	}
}
