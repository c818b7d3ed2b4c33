package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// beatInterval is the default of clients of the classic protocol. Those of the consumer protocol do as the broker says.
const beatInterval = 3 * time.Second

// idleGroups lets members of many groups do nothing but send heartbeats: to a broker, and to a server that only answers. Half
// of what that costs on a virtual machine is to put its cores to sleep and to wake them, so it is measured with cores that
// never sleep, too.
func idleGroups(ctx context.Context, m *machine) (section, error) {
	i := idling{machine: m, section: newSection("server", "groups", "heartbeats/s", "CPU, % of a core", "the same, cores awake",
		"transactions/s", "memory resident, MiB")}
	classic := idleKind{"classic", (*groupMember).joinAlone, (*groupMember).heartbeat}
	consumer := idleKind{"consumer (KIP-848)", (*groupMember).consume, (*groupMember).consumerHeartbeat}
	for _, kind := range []*idleKind{nil, &classic, &consumer} {
		if err := i.onBroker(ctx, kind); err != nil {
			return i.section, err
		}
	}
	err := i.onFloor(ctx, &idleKind{classic.name, func(g *groupMember) error { g.interval = beatInterval; return nil }, classic.heartbeat})
	i.note = fmt.Sprintf("Each group has one member with a connection of its own, which sends a heartbeat every %s in a classic group, and as often as the broker's defaults ask for in one of the consumer protocol. The CPU is the server's, from /proc, over %s. "+
		"Cores are kept awake by a loop on each, at the lowest priority there is (SCHED_IDLE). The server that only answers is a goroutine for each connection, "+
		"which reads and writes as many bytes, and looks at none.", beatInterval, m.size.polling)
	return i.section, err
}

// idleKind is a kind of groups.
type idleKind struct {
	name      string
	join      func(*groupMember) error
	heartbeat func(*groupMember) kmsg.Request
}

// onBroker measures a broker of its own, since what becomes of groups that are left costs something too. nil is no group.
func (i *idling) onBroker(ctx context.Context, kind *idleKind) (err error) {
	c, err := groupCluster(ctx, i.machine)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if i.watch, err = watchDatabase(ctx, i.machine, c); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.watch.close(ctx)) }()
	return i.measureKind(ctx, "broker", c.addresses[0], c.processes[0].Pid(), kind)
}

// onFloor measures a server that only answers.
func (i *idling) onFloor(ctx context.Context, kind *idleKind) (err error) {
	f, err := startFloor(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	i.watch = nil
	return i.measureKind(ctx, "one that only answers", f.address, f.pid(), kind)
}

// idling is one run of idleGroups.
type idling struct {
	*machine
	section
	watch *databaseWatch // of the broker; nil: the server is none
}

func (i *idling) measureKind(ctx context.Context, server, address string, pid int, kind *idleKind) error {
	groups, rate, name := "none", "0", "p-none"
	var beating func() error
	if kind != nil {
		groups, name = strconv.Itoa(i.size.groups)+" "+kind.name, "p-"+strings.Fields(kind.name)[0]
		var perSecond float64
		var err error
		if beating, perSecond, err = i.beat(ctx, address, kind); err != nil {
			return fmt.Errorf("%s groups: %w", kind.name, err)
		}
		rate = number(perSecond)
		// Forming the groups leaves garbage behind, and transactions that PostgreSQL counts later: not what idling costs.
		if _, err = i.look(ctx, pid); err != nil {
			return errors.Join(err, beating())
		}
	}
	asleep, awake, err := i.lookTwice(ctx, pid, name)
	if beating != nil {
		err = errors.Join(err, beating())
	}
	if err != nil {
		return err
	}
	transactions := number(asleep.transactions)
	if i.watch == nil {
		transactions = "-"
	}
	i.row(server, groups, rate, number(asleep.cpu), number(awake.cpu), transactions, number(asleep.memory))
	i.outcome += fmt.Sprintf("%s, %s: %s %% of a core, %s %% with cores awake. ", server, groups, number(asleep.cpu), number(awake.cpu))
	return nil
}

// beat lets members send heartbeats, perSecond of all together, until end is called.
func (i *idling) beat(ctx context.Context, address string, kind *idleKind) (end func() error, perSecond float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	members := make([]*groupMember, i.size.groups)
	err = all(len(members), func(n int) (err error) {
		if members[n], err = newGroupMember(ctx, address, fmt.Sprintf("idle-%d", n)); err != nil {
			return err
		}
		return kind.join(members[n])
	})
	if err != nil {
		cancel()
		return nil, 0, err
	}
	for _, m := range members {
		perSecond += 1 / m.interval.Seconds()
	}
	beating := make(chan error, 1)
	go func() {
		beating <- all(len(members), func(n int) error {
			first := members[n].interval * time.Duration(n) / time.Duration(len(members))
			return members[n].heartbeats(ctx, kind.heartbeat(members[n]), first, members[n].interval)
		})
	}()
	return func() error { cancel(); return <-beating }, perSecond, nil
}

// lookTwice is look while cores sleep as they like, and while they are awake.
func (i *idling) lookTwice(ctx context.Context, pid int, name string) (asleep, awake use, err error) {
	profiled := func() error { return nil }
	if i.watch != nil {
		profiled = i.profile(ctx, i.watch.c, name)
	}
	asleep, err = i.look(ctx, pid)
	if err = errors.Join(err, profiled()); err != nil {
		return asleep, awake, err
	}
	sleep, err := keepAwake(ctx)
	if err != nil {
		return asleep, awake, err
	}
	defer sleep()
	awake, err = i.look(ctx, pid)
	return asleep, awake, err
}

// look tells what a server used for a while.
func (i *idling) look(ctx context.Context, pid int) (u use, err error) {
	if i.watch != nil {
		return i.watch.measure(ctx, i.size.polling, nil)
	}
	start := time.Now()
	before, err := cpuTime(pid)
	if err != nil {
		return u, err
	}
	select {
	case <-time.After(i.size.polling):
	case <-ctx.Done():
		return u, ctx.Err()
	}
	after, err := cpuTime(pid)
	if err != nil {
		return u, err
	}
	u.cpu = (after - before).Seconds() / time.Since(start).Seconds() * 100
	u.memory, err = memory(pid, "VmRSS")
	return u, err
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
