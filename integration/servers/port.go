package servers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// FreePort returns a loopback TCP port that nobody listens on at the moment. It lies below those that the kernel gives to
// whoever asks for any, and is this process's for as long as it lives: also while its server is down, nobody else who asks here
// is given it, in whatever process, nor is it given twice in one.
func FreePort() (int, error) {
	const from, to = 12_000, 32_000
	var err error
	for range 100 {
		port := from + rand.IntN(to-from)
		if err = claimPort(port); err != nil {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// ofdSetLock is F_OFD_SETLK of fcntl(2): the lock belongs to the open file, so that it counts within a process, too.
const ofdSetLock = 37

var errClaimed = errors.New("the port is another's")

// PortClaims is the file, in a directory for temporary files, whose bytes are locked by those who claimed ports, and the
// whole (flock) by who claims a network. It is never removed.
func PortClaims(temp string) string {
	return filepath.Join(temp, fmt.Sprintf("runnel-ports-%d.lock", os.Getuid()))
}

// claimPort locks the byte of the port in a file that all test processes of a user share. The file stays open, so that the kernel unlocks it
// when the process ends.
func claimPort(port int) error {
	fd, err := syscall.Open(PortClaims(os.TempDir()), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("claim a port: %w", err)
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: int64(port), Len: 1}
	if err := syscall.FcntlFlock(uintptr(fd), ofdSetLock, &lock); err != nil {
		_ = syscall.Close(fd)
		return errClaimed
	}
	return nil
}
