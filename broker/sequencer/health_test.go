package sequencer

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// regressing is a log that loses its end for one broker.
type regressing struct {
	metastore.Log
	lost atomic.Bool
}

func (l *regressing) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	if l.lost.Load() {
		return nil, metastore.ErrRegressed
	}
	return l.Log.Read(ctx, after, maxBytes)
}

func TestABrokerThatCannotFollowTheLogDoesNotKeepTheRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := Options{}.withDefaults()
		c := start(t, 1, opts)
		c.brokers[0].stop()
		log := &regressing{Log: c.store}
		broken := c.join(t, log, opts)
		settle(opts)
		other := c.join(t, c.store, opts)
		settle(opts)
		if !broken.seq.known().held || other.seq.known().held {
			t.Fatal("the first broker does not hold the role: the test shows nothing")
		}
		log.lost.Store(true)
		if err := broken.log.CatchUp(t.Context()); !errors.Is(err, metastore.ErrRegressed) {
			t.Fatal(err)
		}
		time.Sleep(opts.Lease + 2*opts.Beat)
		synctest.Wait()
		if broken.seq.known().held || !other.seq.known().held {
			t.Error("a broker that can commit nothing sequences for all")
		}
		c.commit(t, other, c.segment(0, 1, 0, 1))
	})
}
