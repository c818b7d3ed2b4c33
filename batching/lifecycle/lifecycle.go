// Package lifecycle runs the tasks that look after what is stored: each is done by one broker at a time, under a lease of
// its own.
//
// The leases fence nobody (metastore.Leases says why), so each task is harmless when two brokers do it at once, and whoever
// has its lease next goes on from what the log says.
package lifecycle

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/lease"
)

// Task is work that never ends, in rounds.
type Task struct {
	// Name is the task's and its lease's.
	Name string
	// Every is how long a round that found nothing more to do is followed by none. It is asked each time.
	Every func() time.Duration
	// Do is one round. It ends soon after ctx does, which it does at the latest when another broker may have the lease. more:
	// the next round is to follow at once. A task without it is left to the other brokers.
	Do func(ctx context.Context) (more bool, err error)
	// Look, if there is one, is called now and then while this broker does not have the lease, and never beside Do: for what
	// has to be known by whoever takes over. It is quick.
	Look func()
}

// Members tells who this broker is and who lives; cluster.Membership does.
type Members interface {
	Self() metastore.Broker
	Live() []metastore.Broker
}

// Options tunes a Lifecycle. The zero value is the default.
type Options struct {
	// Lease is how long a task is held after the last renewal. Nobody waits for these tasks, so it is long, and asking costs
	// little. Default 30 s.
	Lease time.Duration
	// First is how long after taking a lease the first round begins, unless Every is shorter: a cluster that starts has
	// other things to do. Default 10 s.
	First time.Duration
	// Pause is the time between two rounds of a task that has more to do. Default 20 ms.
	Pause time.Duration
	// Backoff is the pause after a failed round; it doubles with each that follows, up to MostBackoff. Default 1 s and
	// 5 minutes.
	Backoff, MostBackoff time.Duration

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.First = cmp.Or(o.First, 10*time.Second)
	o.Pause = cmp.Or(o.Pause, 20*time.Millisecond)
	o.Backoff = cmp.Or(o.Backoff, time.Second)
	o.MostBackoff = cmp.Or(o.MostBackoff, 5*time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Lifecycle is one broker's part in the tasks.
//
// Each task belongs to a broker: the first to the live one with the lowest node id, the second to the next, and so on
// round. The broker whom a task belongs to asks for its lease three times in the length of one; the others once, and the
// one that has it all the same gives it back when it has nothing more to do, or a round failed. The one that it belongs to
// gives it back for the pauses after failures that are longer than a lease. So tasks are spread over the brokers, and done by
// others while the one that they belong to cannot, or does not know of them. That views of who lives differ for a while
// costs a few rounds that follow each other sooner.
type Lifecycle struct {
	tasks []*duty
}

// New makes a Lifecycle of tasks, which are in the same order on all brokers; Run makes it work.
func New(leases lease.Leases, members Members, tasks []Task, opts Options) *Lifecycle {
	opts = opts.withDefaults()
	l := &Lifecycle{}
	for i, t := range tasks {
		if t.Do == nil {
			continue
		}
		l.tasks = append(l.tasks, &duty{
			task: t, place: i, members: members, opts: opts,
			lease: lease.New(leases, members, t.Name, lease.Options{Length: opts.Lease, Logger: opts.Logger}),
		})
	}
	metrics := newMetrics(opts.Registerer, l)
	for _, d := range l.tasks {
		d.metrics = metrics.of(d.task.Name)
	}
	return l
}

// Run works on the tasks whose leases this broker has until ctx ends; then it gives the leases back. It is called once and
// returns nil.
func (l *Lifecycle) Run(ctx context.Context) error {
	var working sync.WaitGroup
	for _, d := range l.tasks {
		working.Go(func() { d.run(ctx) })
	}
	working.Wait()
	return nil
}

// Held is a task that this broker has the lease of.
type Held struct {
	Name  string
	Epoch int64 // of the lease
}

// Held returns the tasks that this broker has, as far as it knows, in order.
func (l *Lifecycle) Held() (all []Held) {
	for _, d := range l.tasks {
		if epoch, held := d.lease.Held(); held {
			all = append(all, Held{d.task.Name, epoch})
		}
	}
	return all
}

// duty is one broker's part in one task.
type duty struct {
	task    Task
	place   int // among the tasks
	members Members
	lease   *lease.Holder
	opts    Options
	metrics taskMetrics

	failures int // of its rounds in a row
}

// mine tells whether the task belongs to this broker.
func (d *duty) mine() bool {
	live := d.members.Live()
	return len(live) == 0 || live[d.place%len(live)].NodeID == d.members.Self().NodeID
}

func (d *duty) run(ctx context.Context) {
	for pause := time.Duration(0); d.wait(ctx, pause); {
		pause = d.opts.Lease / 3
		if d.lease.Hold(ctx) {
			pause = max(pause, d.hold(ctx))
		}
	}
}

// wait returns when it is time to ask for the lease, after a pause at least: true, unless ctx ended. Who would take a task of
// another's waits for two thirds of a lease more, so that the other has asked before.
func (d *duty) wait(ctx context.Context, pause time.Duration) bool {
	if d.task.Look != nil {
		d.task.Look()
	}
	if !sleep(ctx, pause) {
		return false
	}
	for range 2 {
		if d.mine() {
			break
		}
		if !sleep(ctx, d.opts.Lease/3) {
			return false
		}
	}
	return ctx.Err() == nil
}

// hold works while this broker has the lease, which it has just got, and gives it back at the end if it still has it. It
// returns for how long to leave the task to others.
func (d *duty) hold(ctx context.Context) (pause time.Duration) {
	defer d.lease.Release(ctx)
	work, stop := context.WithCancel(ctx)
	expire := time.AfterFunc(time.Until(d.lease.Deadline()), stop) // while Hold waits, too
	defer expire.Stop()
	ended := make(chan struct{})
	go func() { // ends before hold does
		defer close(ended)
		pause = d.rounds(work)
	}()
	defer func() {
		stop()
		<-ended
	}()
	renew := time.NewTicker(d.opts.Lease / 3)
	defer renew.Stop()
	for {
		select {
		case <-ended:
			return pause
		case <-renew.C:
		}
		if work.Err() == nil && d.lease.Hold(ctx) {
			expire.Reset(time.Until(d.lease.Deadline()))
		} else {
			stop()
		}
	}
}

// rounds works until ctx ends, or until there is nothing to do at the moment and the task is another broker's, or it fails and
// another broker may have more luck. It returns for how long to leave the task to others.
func (d *duty) rounds(ctx context.Context) time.Duration {
	pause := min(d.opts.First, d.task.Every())
	if d.failures > 0 {
		pause = 0 // it was waited for before
	}
	for sleep(ctx, pause) {
		begun := time.Now()
		more, err := d.task.Do(ctx)
		cut := err != nil && ctx.Err() != nil
		if d.failures = d.account(d.failures, err, cut, time.Since(begun)); cut {
			return 0
		}
		switch {
		case err != nil:
			if pause = d.backoff(d.failures); pause >= d.opts.Lease || !d.mine() {
				return pause
			}
		case more:
			pause = d.opts.Pause
		case !d.mine():
			return 0
		default:
			pause = d.task.Every()
		}
	}
	return 0
}

// account notes how a round ended and returns how many have failed since the last that did not. A row of failures is told of
// once.
func (d *duty) account(failures int, err error, cut bool, took time.Duration) int {
	d.metrics.seconds.Add(took.Seconds())
	switch {
	case cut:
		d.metrics.cut.Inc()
		return failures
	case err != nil:
		failures++
		d.metrics.failed.Inc()
		if failures == 1 {
			d.opts.Logger.Warn("task failed, trying again", "task", d.task.Name, "error", err)
		} else {
			d.opts.Logger.Debug("task failed again", "task", d.task.Name, "failures", failures, "error", err)
		}
	default:
		d.metrics.ok.Inc()
		if failures > 0 {
			d.opts.Logger.Info("task works again", "task", d.task.Name, "failures", failures)
		}
		failures = 0
	}
	d.metrics.failing.Set(float64(failures))
	return failures
}

func (d *duty) backoff(failures int) time.Duration {
	pause := d.opts.Backoff
	for i := 1; i < failures && pause < d.opts.MostBackoff; i++ {
		pause *= 2
	}
	return min(pause, d.opts.MostBackoff)
}

// sleep returns after a time, true unless ctx ended.
func sleep(ctx context.Context, pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
