package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
	"github.com/runnel-io/runnel/integration/sim/faults"
	"github.com/runnel-io/runnel/integration/workload"
)

// Anomalies that are not the checker's.
const (
	// Stuck: something that had to come, such as the end of a broker or of a client's request, did not.
	Stuck = "stuck"
	// Panic: the process died.
	Panic = "panic"
)

// PlayOptions say what to play. The zero value is the default.
type PlayOptions struct {
	World    Options
	Duration time.Duration // of load and faults; default 60 s
	Clients  int           // machines that clients run on; default 3
	Kinds    []faults.Kind // of faults; default: all
	Calm     bool          // no faults
}

func (o PlayOptions) withDefaults() PlayOptions {
	if o.Duration == 0 {
		o.Duration = time.Minute
	}
	if o.Clients == 0 {
		o.Clients = 3
	}
	o.World = o.World.withDefaults()
	return o
}

// Played is what came of a seed.
type Played struct {
	History   *history.History
	Anomalies []checker.Anomaly
	Plan      []faults.Fault
	Hits      map[faults.Kind]int
	Took      time.Duration // virtual, of load and faults
	Rewritten int           // segments of tier 1 in the end
	Deleted   int           // objects of segments
	Trace     *Trace
	Log       string
}

// Play lets a cluster of a seed bear a load and faults, and judges what its clients saw.
func Play(t *testing.T, seed uint64, opts PlayOptions) *Played {
	t.Helper()
	opts = opts.withDefaults()
	p := &Played{}
	var nemesis *faults.Nemesis
	outer := opts.World.Wrap
	opts.World.Wrap = func(b *Broker, shared *node.Stores) *node.Stores {
		if nemesis == nil {
			w := b.world
			nemesis = faults.New(faults.Options{
				Seed: seed, Brokers: len(w.Brokers), Stores: faults.Shared{Metastore: shared.Metastore, Objects: shared.Objects},
				Clock: w.Clock, Cluster: cluster{w}, Network: w.Network, Observer: faults.Recorded(w.History),
			})
		}
		meta, objects := nemesis.Stores(b.number)
		return outer(b, &node.Stores{Metastore: meta, Objects: objects})
	}
	Run(t, seed, opts.World, func(ctx context.Context, _ *testing.T, w *World) {
		if !opts.Calm {
			p.Plan = faults.Plan(w.Rand("faults"), faults.Shape{
				Duration: opts.Duration, Brokers: len(w.Brokers), Clients: opts.Clients, Kinds: opts.Kinds,
			})
			for i := range p.Plan {
				w.History.Jumps(p.Plan[i].Jump + clockError)
				w.History.Jumps(p.Plan[i].Jump - clockError)
			}
		}
		w.History.Jumps(clockError)
		w.History.Jumps(-clockError)
		p.play(ctx, w, nemesis, opts)
		p.Hits = nemesis.Hits()
	})
	p.Anomalies = append(p.Anomalies, checker.Check(p.History)...)
	return p
}

func (p *Played) play(ctx context.Context, w *World, nemesis *faults.Nemesis, opts PlayOptions) {
	faulty, heal := context.WithCancel(ctx)
	defer heal()
	var doing sync.WaitGroup
	doing.Go(func() { p.stuck(nemesis.Run(faulty, p.Plan)) })
	var err error
	p.History, err = workload.Run(ctx, workload.Options{
		Seed: w.Seed, Seeds: w.Addresses(), Recorder: w.History, Dial: w.clients(opts.Clients), Duration: opts.Duration,
		Zones: zones[:],
		Heal: func() {
			heal()
			doing.Wait()
			p.stuck(w.Heal(ctx))
		},
	})
	p.stuck(err)
	p.Took = w.Now()
	p.stuck(w.Rest(ctx))
	p.stuck(w.Stop())
	p.Trace, p.Log = w.Trace, w.Log()
	p.examine(ctx, w)
}

func (p *Played) stuck(err error) {
	if err != nil {
		p.Anomalies = append(p.Anomalies, checker.Anomaly{Name: Stuck, Text: err.Error()})
	}
}

// clients starts the machines of clients, and returns what connects one of them to a broker.
func (w *World) clients(number int) func(ctx context.Context, network, address string) (net.Conn, error) {
	var hosts []*Host
	for i := range number {
		hosts = append(hosts, w.Client(faults.ClientParty(i)))
	}
	r, mu := w.Rand("clients"), new(sync.Mutex)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		host := hosts[r.IntN(len(hosts))]
		mu.Unlock()
		return host.DialContext(ctx, network, address)
	}
}

// Report is what a reader wants to know of a seed that was played, apart from its history.
func (p *Played) Report() string {
	sum, lines := p.Trace.Sum()
	text := fmt.Sprintf("%v of virtual time, %d events with checksum %s, %d segments rewritten, %d objects deleted\n\n%s\nFaults:\n%s\nFaults that befell somebody:\n",
		p.Took, lines, sum, p.Rewritten, p.Deleted, history.Summarize(p.History), faults.Text(p.Plan))
	for _, kind := range slices.Sorted(maps.Keys(p.Hits)) {
		text += fmt.Sprintf("%6d %s\n", p.Hits[kind], kind)
	}
	return text
}

// cluster lets faults act on a world.
type cluster struct{ w *World }

func (c cluster) Crash(broker int) error {
	c.w.Brokers[broker].Crash(false)
	return nil
}

func (c cluster) Stop(ctx context.Context, broker int) error { return c.w.Brokers[broker].Stop(ctx) }

func (c cluster) Start(_ context.Context, broker int) error {
	b := c.w.Brokers[broker]
	if b.Up() {
		return errors.New(b.Name + " is up already")
	}
	return b.Start()
}

func (c cluster) Pause(broker int)  { c.w.Brokers[broker].Pause() }
func (c cluster) Resume(broker int) { c.w.Brokers[broker].Resume() }
