//go:build linux && !race

package socket

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// quickBytes is the most that is read or written without the scheduler's knowledge: a copy of some microseconds.
const quickBytes = 16 << 10

// conn is a TCP connection whose small reads and writes are made without telling Go's scheduler, so that they cost what
// they do in other languages. A system call that the scheduler is told of wakes its monitor thread whenever the process has
// been idle, to take the processor away from a call that lasts. That thread looks, finds nothing, and falls asleep again: two
// switches of threads for each read, more than all that a heartbeat costs otherwise. Calls on a socket that does not block
// do not last, and when there is nothing to read the goroutine waits as ever.
//
// What uses the race detector has none of it: it knows of what follows what by the system calls that it is told of.
type conn struct {
	*net.TCPConn
	raw     syscall.RawConn
	in, out transfer
}

// transfer is a read or a write that is under way.
type transfer struct {
	call uintptr // its number
	p    []byte
	n    int
	err  syscall.Errno
	run  func(fd uintptr) (done bool) // made once
}

// Quick is nc with small reads and writes that are cheap, or nc if it is no TCP connection. Deadlines, and what closes it, are as
// before. One goroutine at a time may read, and one write.
func Quick(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nc
	}
	s := &conn{TCPConn: tcp, raw: raw, in: transfer{call: syscall.SYS_READ}, out: transfer{call: syscall.SYS_WRITE}}
	s.in.run = s.in.once
	s.out.run = s.out.all
	return s
}

// Read implements io.Reader.
func (s *conn) Read(p []byte) (int, error) {
	if len(p) == 0 || len(p) > quickBytes {
		return s.TCPConn.Read(p)
	}
	n, err := s.in.through(s.raw.Read, p, "read")
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write implements io.Writer.
func (s *conn) Write(p []byte) (int, error) {
	if len(p) == 0 || len(p) > quickBytes {
		return s.TCPConn.Write(p)
	}
	return s.out.through(s.raw.Write, p, "write")
}

// through runs a transfer again and again until it is done, and waits in between.
func (t *transfer) through(wait func(func(fd uintptr) bool) error, p []byte, name string) (int, error) {
	t.p, t.n, t.err = p, 0, 0
	err := wait(t.run)
	t.p = nil
	if err == nil && t.err != 0 {
		err = os.NewSyscallError(name, t.err)
	}
	return t.n, err
}

// once reads what is there.
func (t *transfer) once(fd uintptr) (done bool) {
	for {
		n, _, err := syscall.RawSyscall(t.call, fd, uintptr(unsafe.Pointer(&t.p[0])), uintptr(len(t.p)))
		switch err {
		case 0:
			t.n = int(n)
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			t.err = err
			return true
		}
	}
}

// all writes until nothing is left.
func (t *transfer) all(fd uintptr) (done bool) {
	for t.n < len(t.p) {
		n, _, err := syscall.RawSyscall(t.call, fd, uintptr(unsafe.Pointer(&t.p[t.n])), uintptr(len(t.p)-t.n))
		switch err {
		case 0:
			t.n += int(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			t.err = err
			return true
		}
	}
	return true
}
