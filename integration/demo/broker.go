package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/integration/servers"
)

// startBroker runs `runnel dev` in memory on free ports and waits until it is ready.
func startBroker(ctx context.Context, binary string) (address string, stop func() error, err error) {
	kafka, err := servers.FreePort()
	if err != nil {
		return "", nil, err
	}
	admin, err := servers.FreePort()
	if err != nil {
		return "", nil, err
	}
	log, err := servers.NewLog("")
	if err != nil {
		return "", nil, err
	}
	address = fmt.Sprintf("127.0.0.1:%d", kafka)
	// No waiting for more group members than the one that each group has here.
	cmd := exec.Command(binary, "dev", "--listen", address, "--admin", fmt.Sprintf("127.0.0.1:%d", admin),
		"--set", "group.initial.rebalance.delay.ms=0")
	process, err := servers.Start("runnel dev", cmd, syscall.SIGKILL, log)
	if err != nil {
		return "", nil, err
	}
	stop = func() error { return process.Stop(syscall.SIGTERM, 40*time.Second) }
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := process.AwaitOK(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", admin)); err != nil {
		return "", nil, errors.Join(err, stop())
	}
	return address, stop, nil
}
