package sequencer

import (
	"context"
	"errors"
	"sync"
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

// sluggish is a log of a metastore that is slow for everybody.
type sluggish struct {
	metastore.Log
	append time.Duration
}

func (l sluggish) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	time.Sleep(l.append)
	return l.Log.Append(ctx, expected, next)
}

// TestASequencerThatIsSlowBecauseTheLogIsSlowIsNotBypassed: brokers that append each on their own would only make each
// other decide again.
func TestASequencerThatIsSlowBecauseTheLogIsSlowIsNotBypassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := Options{}.withDefaults()
		c := start(t, 1, opts)
		c.brokers[0].stop()
		const slow = 300 * time.Millisecond
		c.brokers = nil
		for range 6 {
			c.brokers = append(c.brokers, c.join(t, sluggish{c.store, slow}, opts))
		}
		time.Sleep(opts.Lease) // of the one that was stopped, which gave it back
		settle(opts)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		var commits sync.WaitGroup
		for i, b := range c.brokers {
			commits.Go(func() {
				for n := int32(0); ctx.Err() == nil; n++ {
					begun := time.Now()
					c.commit(t, b, c.segment(0, metastore.ProducerID(i), n, 1))
					if took := time.Since(begun); took > 4*slow {
						t.Errorf("a commit took %v", took)
					}
				}
			})
		}
		commits.Wait()
		for _, b := range c.brokers {
			if n := counted(t, b.seq.metrics.bypassed); n != 0 {
				t.Errorf("broker %d bypassed the sequencer %v times", b.self.NodeID, n)
			}
		}
	})
}

func TestSilenceIsToldAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Sequencer{opts: Options{Patience: time.Second}}
		ctx, cancel := context.WithCancelCause(t.Context())
		s.losePatience(ctx, cancel)
		if cause := context.Cause(ctx); cause == nil || cause.Error() != "no sign of it for 1s" {
			t.Errorf("cause %v", cause)
		}
	})
}
