package main

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// overhead is what a broker takes beside its budgets and the metadata: code, stacks, connections, requests.
	overhead = 70 << 20
	// memoryBeat is how often the limit follows the metadata as it grows.
	memoryBeat = 5 * time.Second
)

// boundMemory makes the garbage collector run often enough for the process to take little more than the broker may hold,
// and not twice as much, until stop. It is a soft limit: metadata is counted in, so that it never makes the
// collector run in vain. Whoever sets GOMEMLIMIT knows better.
func boundMemory(ctx context.Context, held func() int64, byUser string) (stop func()) {
	if byUser != "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(memoryBeat)
		defer tick.Stop()
		for {
			debug.SetMemoryLimit(held() + overhead)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}
