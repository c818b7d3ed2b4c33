package sim

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

// lan is a network with two parties, one of which listens.
type lan struct {
	t    *testing.T
	net  *Network
	a, b *Host
	ln   net.Listener
}

func newLAN(t *testing.T) *lan {
	n := NewNetwork(rand.New(rand.NewPCG(1, 2)), nil)
	l := &lan{t: t, net: n, a: n.Host("a"), b: n.Host("b")}
	l.listen()
	return l
}

func (l *lan) listen() {
	l.t.Helper()
	var err error
	if l.ln, err = l.b.Listen(l.t.Context(), "tcp", l.b.IP()+":9092"); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lan) connect() (near, far net.Conn) {
	l.t.Helper()
	near, err := l.a.DialContext(l.t.Context(), "tcp", l.ln.Addr().String())
	if err != nil {
		l.t.Fatal(err)
	}
	if far, err = l.ln.Accept(); err != nil {
		l.t.Fatal(err)
	}
	return near, far
}

func (l *lan) write(c net.Conn, text string) {
	l.t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		l.t.Fatal(err)
	}
}

// expect reads a text, and returns how long it took.
func (l *lan) expect(c net.Conn, text string) time.Duration {
	l.t.Helper()
	began := time.Now()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		l.t.Fatalf("read %q instead of %q: %v", got, text, err)
	}
	return time.Since(began)
}

// silent reads for a while, in which nothing may come.
func (l *lan) silent(c net.Conn, d time.Duration) {
	l.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(d))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		l.t.Fatalf("read %d bytes: %v", n, err)
	}
	_ = c.SetReadDeadline(time.Time{})
}

// inLAN runs a test in virtual time.
func inLAN(t *testing.T, f func(t *testing.T, l *lan)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newLAN(t)) })
}

func TestConnectionsKeepTheContractOfNet(t *testing.T) {
	nettest.TestConn(t, func() (near, far net.Conn, stop func(), err error) {
		l := newLAN(t)
		near, far = l.connect()
		return near, far, func() {
			_ = near.Close()
			_ = far.Close()
		}, nil
	})
}

func TestBytesTakeTheirTime(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, far := l.connect()
		l.write(near, "hello, ")
		l.write(near, "world")
		if took := l.expect(far, "hello, world"); took < leastLatency || took > 2*mostLatency {
			t.Errorf("took %v", took)
		}
	})
}

func TestWhatIsCutOffArrivesWhenHealed(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, far := l.connect()
		l.net.Cut("a", "b")
		l.write(near, "late")
		l.write(far, "back") // the other direction works
		l.expect(near, "back")
		l.silent(far, time.Minute)
		time.AfterFunc(time.Second, func() { l.net.Heal("a", "b") })
		if took := l.expect(far, "late"); took < time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestAPausedPartyNeitherSpeaksNorHears(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, far := l.connect()
		l.net.Pause("b")
		l.write(near, "question")
		l.write(far, "remark")
		l.silent(far, time.Second)
		l.silent(near, time.Second)
		another, err := l.a.DialContext(t.Context(), "tcp", l.ln.Addr().String())
		if err != nil {
			t.Fatalf("its kernel takes connections: %v", err)
		}
		l.write(another, "hello")
		l.net.Resume("b")
		l.expect(far, "question")
		l.expect(near, "remark")
		accepted, err := l.ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.expect(accepted, "hello")
	})
}

func TestDialsWaitWhileCutOff(t *testing.T) {
	for _, cut := range []route{{"a", "b"}, {"b", "a"}} {
		inLAN(t, func(t *testing.T, l *lan) {
			l.net.Cut(cut.from, cut.to)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := l.a.DialContext(ctx, "tcp", l.ln.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("cut from %s to %s: %v", cut.from, cut.to, err)
			}
			time.AfterFunc(time.Second, l.net.HealAll)
			l.connect()
		})
	}
}

func TestNobodyListens(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		_ = l.ln.Close()
		if _, err := l.a.DialContext(t.Context(), "tcp", l.ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
	})
}

func TestTheEndOfAStream(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, far := l.connect()
		l.write(near, "last words")
		if err := near.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		l.expect(far, "last words")
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
		l.write(far, "answer")
		l.expect(near, "answer")
		if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after the end: %v", err)
		}
		_ = far.Close()
		if _, err := near.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read of what was closed: %v", err)
		}
	})
}

func TestClosingWhatWasNotReadResets(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, far := l.connect()
		l.write(near, "unread")
		time.Sleep(time.Second)
		_ = far.Close()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
}

func TestSendingToWhoHasClosedResets(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, far := l.connect()
		_ = far.Close()
		time.Sleep(time.Second)
		l.write(near, "anybody?") // as with TCP, it is known later
		time.Sleep(time.Second)
		if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
}

func TestACrashIsNoticed(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, far := l.connect()
		waiting := l.ln
		l.b.Crash(false)
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the other side: %v", err)
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, errDown) {
			t.Errorf("its own: %v", err)
		}
		if _, err := waiting.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
		if _, err := l.b.DialContext(t.Context(), "tcp", l.a.IP()+":1"); !errors.Is(err, errDown) {
			t.Errorf("dial: %v", err)
		}
		if _, err := l.a.DialContext(t.Context(), "tcp", l.ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial to it: %v", err)
		}
	})
}

func TestAMachineThatDiesIsNoticedWhenItIsBack(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, _ := l.connect()
		l.b.Crash(true)
		l.write(near, "hello?")
		l.silent(near, time.Minute)
		before := l.b.IP()
		l.b = l.net.Host("b")
		if l.b.IP() != before {
			t.Errorf("it is at %s, not %s", l.b.IP(), before)
		}
		l.listen()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		l.connect()
	})
}

func TestAReset(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, far := l.connect()
		l.net.Reset("b", "a")
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
		}
		l.connect()
	})
}

func TestWhoWritesWaitsForWhoReads(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		near, far := l.connect()
		text := strings.Repeat("x", window)
		l.write(near, text)
		_ = near.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := near.Write([]byte("y")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the window is full: %v", err)
		}
		_ = near.SetWriteDeadline(time.Time{})
		written := make(chan error, 1)
		go func() {
			_, err := near.Write([]byte("z"))
			written <- err
		}()
		l.expect(far, text+"z")
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}
