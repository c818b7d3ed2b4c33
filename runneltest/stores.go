package runneltest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	objfault "github.com/runnel-io/runnel/objstore/fault"
)

// errKilled is what a broker gets that was killed, from all that it asks.
var errKilled = errors.New("this broker was killed")

// gate stands between one life of a broker and the stores, and is closed when it is killed.
type gate struct{ closed atomic.Bool }

func (g *gate) close() { g.closed.Store(true) }

func (g *gate) pass() error {
	if g.closed.Load() {
		return errKilled
	}
	return nil
}

// after keeps from a broker that was killed meanwhile what became of its call.
func (g *gate) after(result error) error {
	if err := g.pass(); err != nil {
		return err
	}
	return result
}

// stores are those of all, as one life of one broker has them.
func (f *Faults) stores(of *node.Stores, g *gate) *node.Stores {
	meta, objects := metafault.Wrap(of.Metastore), objfault.Wrap(of.Objects)
	meta.Before(func(ctx context.Context, call metafault.Call) error {
		if err := f.before(ctx, metastoreFaults(call.Op)); err != nil {
			return err
		}
		return g.pass()
	})
	meta.After(func(_ context.Context, call metafault.Call, result error) error {
		return g.after(f.after(metastoreFaults(call.Op), result))
	})
	objects.Before(func(ctx context.Context, call objfault.Call) error {
		if err := f.before(ctx, objectFaults(call.Op)); err != nil {
			return err
		}
		return g.pass()
	})
	objects.After(func(_ context.Context, call objfault.Call, result error) error {
		return g.after(f.after(objectFaults(call.Op), result))
	})
	return &node.Stores{Metastore: uncloseable{meta}, Objects: objects}
}

// uncloseable is the metastore of all, which no broker closes.
type uncloseable struct{ metastore.Store }

func (uncloseable) Close() error { return nil }

// metastoreFaults are the faults that a call of the metastore may meet.
func metastoreFaults(op metafault.Op) calls {
	switch op {
	case metafault.Append, metafault.AppendWith:
		return calls{metastoreDown, commits}
	case metafault.CommitOffsets:
		return calls{metastoreDown, offsetCommits}
	}
	return calls{metastoreDown, none}
}

// objectFaults are those that a call of the object store may meet.
func objectFaults(op objfault.Op) calls {
	switch op {
	case objfault.Put:
		return calls{objectsDown, puts}
	case objfault.Get, objfault.GetSuffix:
		return calls{objectsDown, gets}
	}
	return calls{objectsDown, none}
}
