package sim

import (
	"context"
	"errors"
	"sync"

	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	objfault "github.com/runnel-io/runnel/objstore/fault"
)

// errCrashed is what a broker that has crashed gets from the stores.
var errCrashed = errors.New("this broker has crashed")

// gate stands between one start of a broker and the stores: a crash closes it for ever, a pause until the broker goes on.
type gate struct {
	mu     sync.Mutex
	cond   *sync.Cond
	paused bool
	closed bool
}

func newGate() *gate {
	g := new(gate)
	g.cond = sync.NewCond(&g.mu)
	return g
}

// pass waits while the broker is paused, whatever becomes of the call's ctx: a process that does not run does not look at
// it. After a crash it returns an error, and the call must do nothing, or its result be lost.
func (g *gate) pass() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.paused && !g.closed {
		g.cond.Wait()
	}
	if g.closed {
		return errCrashed
	}
	return nil
}

func (g *gate) pause(paused bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused = paused
	g.cond.Broadcast()
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.cond.Broadcast()
}

// stores puts the gate before a broker's stores.
func (g *gate) stores(name string, of *node.Stores, trace *Trace) *node.Stores {
	meta, objects := metafault.Wrap(of.Metastore), objfault.Wrap(of.Objects)
	meta.Before(func(_ context.Context, call metafault.Call) error {
		if err := g.pass(); err != nil {
			return err
		}
		trace.note(func(line []byte) []byte {
			return call.Append(append(append(append(line, "meta "...), name...), ' '))
		})
		return nil
	})
	meta.After(func(_ context.Context, _ metafault.Call, result error) error { return g.after(result) })
	objects.Before(func(_ context.Context, call objfault.Call) error {
		if err := g.pass(); err != nil {
			return err
		}
		trace.note(func(line []byte) []byte {
			return call.Append(append(append(append(line, "objects "...), name...), ' '))
		})
		return nil
	})
	objects.After(func(_ context.Context, _ objfault.Call, result error) error { return g.after(result) })
	return &node.Stores{Metastore: uncloseable{meta}, Objects: &checked{Store: objects, gate: g}}
}

func (g *gate) after(result error) error {
	if err := g.pass(); err != nil {
		return err
	}
	return result
}

// uncloseable is the metastore of all, which no broker closes.
type uncloseable struct{ metastore.Store }

func (uncloseable) Close() error { return nil }

// checked lets the gate decide over Check, too, for which there is no hook.
type checked struct {
	*objfault.Store
	gate *gate
}

func (c *checked) Check(ctx context.Context) error {
	if err := c.gate.pass(); err != nil {
		return err
	}
	return c.gate.after(c.Store.Check(ctx))
}
