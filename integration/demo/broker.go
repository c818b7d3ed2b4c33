package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	if err := waitReady(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", admin), process.Exited()); err != nil {
		return "", nil, fmt.Errorf("%w; its log ends:\n%s", errors.Join(err, stop()), log.Tail())
	}
	return address, stop, nil
}

// waitReady asks until the broker is ready or gone.
func waitReady(ctx context.Context, url string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-exited:
			return errors.New("the broker ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("wait for the broker: %w", ctx.Err())
		}
	}
}
