package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/runnel-io/runnel/integration/slows3"
)

// overload lets far more connections produce than the object store can take, so that the broker's budgets fill up.
func overload(ctx context.Context, m *machine) (s section, err error) {
	const budget, allowed = 512, 150 // MiB: memory.produce and memory.cache by default, and the bar
	c, err := m.startSlowCluster(ctx, 1, slows3.Standard)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	s = newSection("connections", "MB/s", "p50 / p99, ms", "most memory resident, MiB", "budget and 150 MiB")
	r, err := m.runnelBench(ctx, &s.commands, "produce", "--bootstrap", c.bootstrap(), "--admin", c.admin(),
		"--clients", "200", "--partitions", "16", "--batch-bytes", "131072", "--duration", m.size.seconds+"s")
	if err != nil {
		return s, err
	}
	peak, err := memory(c.processes[0].Pid(), "VmHWM")
	if err != nil {
		return s, err
	}
	s.row("200", optional(r.ThroughputMBPerS), number(r.P50)+" / "+number(r.P99), number(peak), strconv.Itoa(budget+allowed))
	s.outcome = fmt.Sprintf("%s MiB resident at most, of %d allowed", number(peak), budget+allowed)
	s.note = "memory.produce and memory.cache have their defaults, 256 MiB each. The memory is VmHWM of the process, over its whole life."
	return s, nil
}
