package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/integration/servers"
)

// network is where containers of an engine of ours are: a bridge of its own, since all engines that are told nothing share
// docker0, and each gives it an address that cuts the containers of the others off.
type network struct {
	bridge string // name of the interface
	prefix string // the first half of its addresses, such as 172.20
}

// newNetwork makes the interface, with addresses in which this machine has none. Engines that start at once look one after the
// other, under a lock that is held as long as the commands here take.
func newNetwork() (network, error) {
	lock, err := os.OpenFile(servers.PortClaims(os.TempDir()), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		defer lock.Close()
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return network{}, fmt.Errorf("claim a network: %w", err)
	}
	prefix, err := freePrefix()
	if err != nil {
		return network{}, err
	}
	n := network{"rnl" + strconv.Itoa(os.Getpid()), prefix}
	if err := ip("link", "add", n.bridge, "type", "bridge"); err != nil {
		return network{}, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if err := errors.Join(ip("address", "add", prefix+".0.1/24", "dev", n.bridge), ip("link", "set", n.bridge, "up")); err != nil {
		return network{}, errors.Join(fmt.Errorf("%w: %w", ErrNone, err), n.remove())
	}
	return n, nil
}

func (n network) remove() error {
	if n.bridge == "" {
		return nil
	}
	return ip("link", "delete", n.bridge)
}

func freePrefix() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("look for a free network: %w", err)
	}
	used := make(map[string]bool)
	for _, a := range addresses {
		if parts := strings.Split(a.String(), "."); len(parts) == 4 {
			used[parts[0]+"."+parts[1]] = true
		}
	}
	for i := range 13 { // not 172.17, which engines take, and not 172.31, which clouds do
		if prefix := "172." + strconv.Itoa(18+(os.Getpid()+i)%13); !used[prefix] {
			return prefix, nil
		}
	}
	return "", fmt.Errorf("%w: 172.18 to 172.30 are in use", ErrNone)
}

func ip(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
