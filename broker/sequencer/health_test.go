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

func TestASequencerThatOnlyAnswersPingsIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := Options{}.withDefaults()
		c := start(t, 2, opts)
		settle(opts)
		holder, other := c.holder(t), c.others(t)[0]
		c.net.breakAt(peerAddress(holder.self), deaf)
		waited, sequence := 0, int32(0)
		commit := func() time.Duration {
			begun := time.Now()
			c.commit(t, other, c.segment(0, 1, sequence, 1))
			sequence++
			return time.Since(begun)
		}
		for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(100 * time.Millisecond) {
			if commit() >= opts.Patience {
				waited++
			}
		}
		if waited < 2 || waited > 15 {
			t.Errorf("%d commits in a minute waited for a sequencer that does not answer them", waited)
		}
		c.net.breakAt(peerAddress(holder.self), 0)
		asked := func() float64 { return counted(t, other.seq.metrics.commits.WithLabelValues(pathSequencer)) }
		for begun := time.Now(); asked() == 0; time.Sleep(100 * time.Millisecond) {
			if commit(); time.Since(begun) > 15*time.Second {
				t.Fatal("it is not asked again although it answers")
			}
		}
		if other.seq.known().suspected {
			t.Error("it is suspected although it answered")
		}
		c.net.breakAt(peerAddress(holder.self), paused)
		commit()
		c.net.breakAt(peerAddress(holder.self), 0)
		time.Sleep(2 * (pingPause + pingTimeout))
		synctest.Wait()
		if other.seq.known().suspected {
			t.Error("its failures of before still count")
		}
	})
}
