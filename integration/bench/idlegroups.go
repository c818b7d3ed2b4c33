package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// beatInterval is the default of clients of the classic protocol.
const beatInterval = 3 * time.Second

// idleGroups lets members of many groups do nothing but send heartbeats: to a broker, and to a server that only answers. Half
// of what that costs on a virtual machine is to put its cores to sleep and to wake them, so it is measured with cores that
// never sleep, too.
func idleGroups(ctx context.Context, m *machine) (s section, err error) {
	c, err := groupCluster(ctx, m)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	w, err := watchDatabase(ctx, m, c)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	floor, err := startFloor(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()

	i := idling{machine: m, watch: w, section: newSection("server", "groups", "heartbeats/s", "CPU, % of a core", "the same, cores awake",
		"transactions/s", "memory resident, MiB")}
	nobody, err := i.measure(ctx, w.c.processes[0].Pid(), "p-0")
	if err != nil {
		return s, err
	}
	i.tell("broker", "none", "0", nobody)
	for _, kind := range []struct {
		profile, server, groups, address string
		pid                              int
		join                             func(*groupMember) error
		heartbeat                        func(*groupMember) kmsg.Request
	}{
		{"p-classic", "broker", "classic", c.addresses[0], c.processes[0].Pid(), (*groupMember).joinAlone, (*groupMember).heartbeat},
		{"p-consumer", "broker", "consumer (KIP-848)", c.addresses[0], c.processes[0].Pid(), (*groupMember).consume,
			func(g *groupMember) kmsg.Request { return g.consumerHeartbeat(g.generation) }},
		{"", "one that only answers", "classic", floor.address, floor.pid(), func(*groupMember) error { return nil }, (*groupMember).heartbeat},
	} {
		u, err := i.beat(ctx, kind.profile, kind.groups, kind.address, kind.pid, kind.join, kind.heartbeat)
		if err != nil {
			return s, fmt.Errorf("%s groups at a %s: %w", kind.groups, kind.server, err)
		}
		i.tell(kind.server, strconv.Itoa(m.size.groups)+" "+kind.groups, number(float64(m.size.groups)/beatInterval.Seconds()), u)
	}
	s = i.section
	s.note = fmt.Sprintf("Each group has one member with a connection of its own, which sends a heartbeat every %s. The CPU is the server's, from /proc, over %s. "+
		"Cores are kept awake by a loop on each, at the lowest priority there is (SCHED_IDLE). The server that only answers is a goroutine for each connection, "+
		"which reads and writes as many bytes, and looks at none.", beatInterval, m.size.polling)
	return s, nil
}

// idling is one run of idleGroups.
type idling struct {
	*machine
	section
	watch *databaseWatch
}

// idleUse is what a server used while cores slept as they liked, and while they were awake.
type idleUse struct{ asleep, awake use }

func (i *idling) tell(server, groups, rate string, u idleUse) {
	transactions := number(u.asleep.transactions)
	if server != "broker" {
		transactions = "-"
	}
	i.row(server, groups, rate, number(u.asleep.cpu), number(u.awake.cpu), transactions, number(u.asleep.memory))
	i.outcome += fmt.Sprintf("%s, %s: %s %% of a core, %s %% with cores awake. ", server, groups, number(u.asleep.cpu), number(u.awake.cpu))
}

// measure looks at a server twice, as long each. The profile has a name if it is the broker.
func (i *idling) measure(ctx context.Context, pid int, name string) (u idleUse, err error) {
	profiled := func() error { return nil }
	if name != "" {
		profiled = i.profile(ctx, i.watch.c, name)
	}
	u.asleep, err = i.watch.measurePid(ctx, pid, i.size.polling, nil)
	if err = errors.Join(err, profiled()); err != nil {
		return u, err
	}
	sleep, err := keepAwake(ctx)
	if err != nil {
		return u, err
	}
	u.awake, err = i.watch.measurePid(ctx, pid, i.size.polling, nil)
	sleep()
	return u, err
}

// beat measures a server while members send heartbeats.
func (i *idling) beat(ctx context.Context, profile, groups, address string, pid int, join func(*groupMember) error, heartbeat func(*groupMember) kmsg.Request) (u idleUse, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	members := make([]*groupMember, i.size.groups)
	err = all(len(members), func(n int) (err error) {
		if members[n], err = newGroupMember(ctx, address, fmt.Sprintf("idle-%.8s-%d", groups, n)); err != nil {
			return err
		}
		return join(members[n])
	})
	if err != nil {
		return u, err
	}
	beating := make(chan error, 1)
	go func() {
		beating <- all(len(members), func(n int) error {
			return members[n].heartbeats(ctx, heartbeat(members[n]), beatInterval*time.Duration(n)/time.Duration(len(members)), beatInterval)
		})
	}()
	// Forming the groups leaves garbage behind, and transactions that PostgreSQL counts later: not what idling costs.
	if _, err = i.watch.measurePid(ctx, pid, i.size.polling, nil); err == nil {
		u, err = i.measure(ctx, pid, profile)
	}
	cancel()
	return u, errors.Join(err, <-beating)
}

// keepAwake lets no core sleep until it is called off.
func keepAwake(ctx context.Context) (sleep func(), err error) {
	var loops []*exec.Cmd
	sleep = func() {
		for _, l := range loops {
			_ = l.Process.Kill()
			_ = l.Wait() // it ends with our signal
		}
	}
	for core := range runtime.NumCPU() {
		l := exec.CommandContext(ctx, "chrt", "--idle", "0", "taskset", "-c", strconv.Itoa(core), "sh", "-c", "while :; do :; done")
		if err := l.Start(); err != nil {
			sleep()
			return nil, fmt.Errorf("keep core %d awake: %w", core, err)
		}
		loops = append(loops, l)
	}
	return sleep, nil
}
