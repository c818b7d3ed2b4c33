package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/metastore"
	meta "github.com/runnel-io/runnel/metastore/fault"
	"github.com/runnel-io/runnel/objstore"
	object "github.com/runnel-io/runnel/objstore/fault"
)

var (
	// ErrFault is what calls that a fault befell fail with, unless the caller gave them up before.
	ErrFault = errors.New("injected fault")
	// ErrEnded: the broker crashed. Nobody hears of it but what is left of the broker in the simulation.
	ErrEnded = errors.New("this broker has ended")
)

// Shared are the stores of all brokers.
type Shared struct {
	Metastore metastore.Store
	Objects   objstore.Store
}

// life is a broker from its start to its end.
type life struct {
	n      *Nemesis
	broker int
	ended  chan struct{}
}

// call is one of either store.
type call struct {
	store store
	op    string
	text  string
	later func() func(context.Context) error // of fault.Call
}

// Stores returns the stores of a broker that starts. Those that it had before are of no use any more.
func (n *Nemesis) Stores(broker int) (*meta.Store, *object.Store) {
	n.kill(broker)
	l := &life{n: n, broker: broker, ended: make(chan struct{})}
	n.mu.Lock()
	n.lives[broker] = l
	n.mu.Unlock()

	m := meta.Wrap(n.opts.Stores.Metastore)
	of := func(c meta.Call) *call { return &call{metastores, string(c.Op), c.String(), c.Later} }
	m.Before(func(ctx context.Context, c meta.Call) error { return l.before(ctx, of(c)) })
	m.After(func(ctx context.Context, c meta.Call, result error) error { return l.after(ctx, of(c), result) })

	o := object.Wrap(n.opts.Stores.Objects)
	at := func(c object.Call) *call { return &call{buckets, string(c.Op), c.String(), c.Later} }
	o.Before(func(ctx context.Context, c object.Call) error { return l.before(ctx, at(c)) })
	o.After(func(ctx context.Context, c object.Call, result error) error { return l.after(ctx, at(c), result) })
	return m, o
}

// before decides over a call that begins.
func (l *life) before(ctx context.Context, c *call) error {
	if err := l.run(c); err != nil {
		return err
	}
	for _, a := range l.n.befalling(l.broker, c) {
		if a.fate.effect == unanswered || !a.hit() {
			continue
		}
		l.n.hit(a.Kind)
		switch a.fate.effect {
		case slow:
			if !a.slow(ctx, l) {
				return fmt.Errorf("%s: given up: %w", c.text, context.Cause(ctx))
			}
		case late:
			l.n.land(a, c.later())
			return l.fail(ctx, a, c)
		default:
			return l.fail(ctx, a, c)
		}
	}
	return l.run(c)
}

// after decides over the answer to a call.
func (l *life) after(ctx context.Context, c *call, result error) error {
	if err := l.run(c); err != nil {
		return err
	}
	for _, a := range l.n.befalling(l.broker, c) {
		if a.fate.effect == unreachable || a.fate.effect == unanswered && a.hit() {
			l.n.hit(a.Kind)
			return l.fail(ctx, a, c)
		}
	}
	return result
}

// run waits while the broker is paused. The error says that it has ended.
func (l *life) run(c *call) error {
	l.n.mu.Lock()
	gate := l.n.gates[l.broker]
	l.n.mu.Unlock()
	if gate != nil {
		select {
		case <-gate: // whatever the call's context says: the broker hears nothing of it
		case <-l.ended:
		}
	}
	select {
	case <-l.ended:
		return fmt.Errorf("%s: %w", c.text, ErrEnded)
	default:
		return nil
	}
}

// fail is how a call that a fault befell ends.
func (l *life) fail(ctx context.Context, a *active, c *call) error {
	if a.Hang {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %s: %w", c.text, a.Kind, context.Cause(ctx))
		case <-a.over:
		case <-l.ended:
		}
	}
	return fmt.Errorf("%s: %s: %w", c.text, a.Kind, ErrFault)
}

// active is a fault that befalls calls.
type active struct {
	*Fault
	fate *fate
	over chan struct{}

	mu  sync.Mutex
	rng *rand.Rand
}

// activate lets a fault befall calls.
func (n *Nemesis) activate(f *Fault) *active {
	a := &active{
		Fault: f, fate: fates[f.Kind], over: make(chan struct{}),
		rng: rand.New(rand.NewPCG(n.opts.Seed, uint64(f.Number))),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.active = append(n.active, a)
	return a
}

func (n *Nemesis) deactivate(a *active) {
	n.mu.Lock()
	n.active = slices.DeleteFunc(slices.Clone(n.active), func(b *active) bool { return a == b })
	n.mu.Unlock()
	close(a.over)
}

// befalling are the faults that may befall a call, in the order in which they began.
func (n *Nemesis) befalling(broker int, c *call) []*active {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []*active
	for _, a := range n.active {
		if a.fate.meets(c) && slices.Contains(a.Brokers, broker) {
			found = append(found, a)
		}
	}
	return found
}

// hit draws whether a call is befallen.
func (a *active) hit() bool {
	if a.OneOf <= 1 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rng.IntN(a.OneOf) == 0
}

const leastDelay = time.Millisecond

// delay draws by how much a call is late.
func (a *active) delay() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return logUniform(a.rng, leastDelay, max(a.Delay, leastDelay))
}

// slow waits as long as a slow call takes: at most until the fault is over. False if the caller gives up.
func (a *active) slow(ctx context.Context, l *life) bool {
	timer := time.NewTimer(a.delay())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.over:
	case <-l.ended:
	case <-ctx.Done():
		return false
	}
	return true
}

// mostUnderWay bounds the calls that wait to take effect; more are lost.
const mostUnderWay = 256

// land lets a call take effect in a while, or when all is healed. Short whiles are as frequent as long ones, since what is
// done on behalf of an answer that did not come is done soon.
func (n *Nemesis) land(a *active, effect func(context.Context) error) {
	d := a.delay()
	n.mu.Lock()
	defer n.mu.Unlock()
	// Run waits for what began before its fault was over; what comes now is lost.
	if n.underWay == mostUnderWay || !slices.Contains(n.active, a) {
		return
	}
	n.underWay++
	n.landing.Go(func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-n.healed:
		}
		ctx, cancel := context.WithTimeout(context.Background(), MostLate)
		defer cancel()
		err := effect(ctx) // what it says, nobody hears
		n.mu.Lock()
		defer n.mu.Unlock()
		n.underWay--
		if err == nil {
			n.landed[a.Kind]++
		}
	})
}
