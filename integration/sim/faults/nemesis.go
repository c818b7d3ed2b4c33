package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// Cluster starts and ends brokers, which are numbered from 0.
type Cluster interface {
	// Crash ends a broker at once: nothing that it did not send yet is sent. Its connections break.
	Crash(broker int) error
	// Stop lets a broker drain and end.
	Stop(ctx context.Context, broker int) error
	// Start starts a broker that crashed or stopped, at the address that it had. It asks Nemesis.Stores for the stores.
	Start(ctx context.Context, broker int) error
	// Pause keeps a broker from sending and hearing anything until Resume. Its stores wait already.
	Pause(broker int)
	Resume(broker int)
}

// Network connects parties, whose names BrokerParty and ClientParty give.
type Network interface {
	// Cut holds up what is sent from one party to another, until Heal.
	Cut(from, to string)
	Heal(from, to string)
	// Reset breaks the connections between two.
	Reset(a, b string)
}

// Options of a Nemesis.
type Options struct {
	Seed     uint64
	Brokers  int
	Stores   Shared  // what all brokers share
	Clock    *Clock  // of the metastore; needed by ClockJump
	Cluster  Cluster // needed by faults of brokers
	Network  Network // needed by faults of the network
	Observer Observer
}

// Observer hears of each fault as it begins, and returns what is told when it is over, and whether something went wrong
// that was not meant to.
type Observer func(f *Fault) (over func(error))

// Recorded is an Observer that notes faults as operations of a history.
func Recorded(r *history.Recorder) Observer {
	return func(f *Fault) func(error) {
		o := r.Begin(history.Operation{Kind: history.Fault, Text: f.String()})
		return func(err error) {
			outcome := history.OK
			if err != nil {
				outcome = history.Unknown
			}
			r.End(o, outcome, err)
		}
	}
}

// patience bounds what healing takes: a broker that stops, or starts.
const patience = 2 * time.Minute

// Nemesis does to a cluster what a plan says. Its stores stand between each broker and the shared ones.
type Nemesis struct {
	opts    Options
	healed  chan struct{} // closed when no fault is active any more, for ever
	healing sync.Once
	landing sync.WaitGroup // calls that take effect after their error

	mu       sync.Mutex
	active   []*active
	lives    []*life         // per broker, the last
	gates    []chan struct{} // per broker, closed when its pause is over; nil: there is none
	away     []chan struct{} // per broker, held by whoever ends and starts it
	cuts     map[[2]string]int
	hits     map[Kind]int
	landed   map[Kind]int // of the late ones, those that succeeded
	underWay int          // of landing
}

// New makes a nemesis that does nothing until Run. It must be made in the bubble that it is used in.
func New(opts Options) *Nemesis {
	n := &Nemesis{
		opts: opts, healed: make(chan struct{}), cuts: make(map[[2]string]int), hits: make(map[Kind]int), landed: make(map[Kind]int),
		lives: make([]*life, opts.Brokers), gates: make([]chan struct{}, opts.Brokers), away: make([]chan struct{}, opts.Brokers),
	}
	for i := range n.away {
		n.away[i] = make(chan struct{}, 1)
	}
	if n.opts.Observer == nil {
		n.opts.Observer = func(*Fault) func(error) { return func(error) {} }
	}
	return n
}

// Run carries out a plan, and returns when all of it is healed and all late calls have taken effect, each at its time. When
// ctx ends, it heals at once, and lets them all take effect at once. The error says what could not be begun or healed. It may
// be called once.
func (n *Nemesis) Run(ctx context.Context, plan []Fault) error {
	heal := func() { n.healing.Do(func() { close(n.healed) }) }
	defer heal()
	defer context.AfterFunc(ctx, heal)()
	var faults sync.WaitGroup
	failures := make([]error, len(plan))
	begun := time.Now()
	for i := range plan {
		f := &plan[i]
		if !wait(ctx, f.Begin-time.Since(begun)) {
			break
		}
		end := begun.Add(f.End())
		faults.Go(func() { failures[i] = n.carryOut(ctx, f, end) })
	}
	faults.Wait()
	n.landing.Wait()
	return errors.Join(failures...)
}

// Hits tells how often each kind befell somebody: calls, or for the kinds that befall no calls, how often it came.
func (n *Nemesis) Hits() map[Kind]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.hits)
}

// Landed tells how many calls of each late kind took effect after their error. The others came too late for it.
func (n *Nemesis) Landed() map[Kind]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.landed)
}

func (n *Nemesis) hit(kind Kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hits[kind]++
}

// wait returns false if ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// carryOut is one fault from its beginning to its end.
func (n *Nemesis) carryOut(ctx context.Context, f *Fault, end time.Time) error {
	if err := n.possible(f); err != nil {
		return err
	}
	if takesAway(f.Kind) { // a broker that is still about to stop is left to it
		for _, broker := range f.Brokers {
			select {
			case n.away[broker] <- struct{}{}:
				defer func() { <-n.away[broker] }()
			case <-ctx.Done():
				return nil
			}
		}
	}
	over := n.opts.Observer(f)
	undo, err := n.begin(ctx, f)
	if err == nil {
		wait(ctx, time.Until(end))
		err = undo()
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", f, err)
	}
	over(err)
	return err
}

// possible tells why a fault cannot be carried out.
func (n *Nemesis) possible(f *Fault) error {
	needs := ""
	switch {
	case measures[f.Kind].weight == 0:
		needs = "to be known"
	case takesAway(f.Kind) && n.opts.Cluster == nil:
		needs = "a cluster"
	case (f.A != "" || f.Kind == PeersUnreachable) && n.opts.Network == nil:
		needs = "a network"
	case f.Kind == ClockJump && n.opts.Clock == nil:
		needs = "a clock"
	case len(f.Brokers) > 0 && slices.Max(f.Brokers) >= n.opts.Brokers:
		needs = "more brokers"
	}
	if needs != "" {
		return fmt.Errorf("%s needs %s", f, needs)
	}
	return nil
}

// begin starts a fault, and returns what heals it.
func (n *Nemesis) begin(ctx context.Context, f *Fault) (undo func() error, err error) {
	if fates[f.Kind] != nil {
		a := n.activate(f)
		return func() error { n.deactivate(a); return nil }, nil
	}
	n.hit(f.Kind)
	switch f.Kind {
	case Crash, Restart:
		return n.end(ctx, f)
	case ShortPause, LongPause:
		n.pause(f.Brokers)
		return func() error { n.resume(f.Brokers); return nil }, nil
	case ClockJump:
		n.opts.Clock.Jump(f.Jump)
		return func() error { n.opts.Clock.Jump(-f.Jump); return nil }, nil
	case Reset:
		n.opts.Network.Reset(f.A, f.B)
		return func() error { return nil }, nil
	default:
		cut := n.routes(f)
		for _, r := range cut {
			n.cut(r, 1)
		}
		return func() error {
			for _, r := range cut {
				n.cut(r, -1)
			}
			return nil
		}, nil
	}
}

// routes are the directions between two parties that a fault of the network cuts.
func (n *Nemesis) routes(f *Fault) [][2]string {
	switch f.Kind {
	case OneWay:
		return [][2]string{{f.A, f.B}}
	case Partition:
		return [][2]string{{f.A, f.B}, {f.B, f.A}}
	}
	var routes [][2]string
	for _, broker := range f.Brokers {
		for other := range n.opts.Brokers {
			if a, b := BrokerParty(broker), BrokerParty(other); a != b {
				routes = append(routes, [2]string{a, b}, [2]string{b, a})
			}
		}
	}
	return routes
}

// cut counts the faults that cut a route, and cuts it with the first and heals it with the last.
func (n *Nemesis) cut(route [2]string, one int) {
	n.mu.Lock()
	before := n.cuts[route]
	n.cuts[route] += one
	after := n.cuts[route]
	n.mu.Unlock()
	switch {
	case before == 0:
		n.opts.Network.Cut(route[0], route[1])
	case after == 0:
		n.opts.Network.Heal(route[0], route[1])
	}
}
