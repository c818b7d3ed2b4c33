package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// A broker that is to stop gives up its keys in two steps, so that at no moment a client is sent to a broker that sends
// it back. First it leaves: the others hear of it within a beat, and name others to whoever asks; meanwhile it goes on to
// serve what it always did. Then it hands over: whoever still comes is told to ask again, and everybody who can be asked
// knows the answer. Its lease lives until Run ends, so that clients find it in the lists of brokers and finish with
// it what they have begun.
//
// (Rejected: to end the lease at once. Clients close their connections to brokers that are no longer listed, with
// requests in flight whose batches are committed all the same: a producer that is not idempotent would write them again.)

// Stale is how long after a change other brokers may not have heard of it.
func (m *Membership) Stale() time.Duration { return m.opts.Beat + m.opts.Beat/4 }

// Leave tells the others that this broker gives its keys away, and returns when they have had the time to hear of it. It
// returns false as soon as there is nobody to take them, and when they cannot be told before ctx ends: the broker then keeps
// its keys. Run must be running.
func (m *Membership) Leave(ctx context.Context) bool {
	if m.alone() || !m.announce(ctx) {
		return false
	}
	m.setLeaving(true)
	heard := time.NewTimer(m.Stale())
	defer heard.Stop()
	look := time.NewTicker(m.opts.Beat / 4)
	defer look.Stop()
	for !m.alone() {
		select {
		case <-heard.C:
			return true
		case <-ctx.Done():
			m.setLeaving(false)
			return false
		case <-look.C:
			// A cluster that is stopped as a whole has nobody who takes anything over.
			if err := m.refresh(ctx); err != nil && ctx.Err() == nil {
				m.opts.Logger.Debug("look for brokers that stay", "error", err)
			}
		}
	}
	m.setLeaving(false)
	return false
}

// announce marks this broker in the metastore. A mark of which the answer is lost would make others take the keys while
// this broker ends its connections as if they did not: so it is set again, for a while.
func (m *Membership) announce(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Lease/2)
	defer cancel()
	again := time.NewTicker(m.opts.Beat / 4)
	defer again.Stop()
	self := m.Self()
	for {
		err := m.brokers.LeaveBroker(ctx, self.NodeID, self.Epoch)
		if err == nil {
			return true
		}
		if !errors.Is(err, metastore.ErrFenced) && ctx.Err() == nil {
			select {
			case <-again.C:
				continue
			case <-ctx.Done():
			}
		}
		m.opts.Logger.Warn("tell the other brokers of the stop; clients will learn of it when connections close", "error", err)
		return false
	}
}

// alone tells whether no other broker takes keys.
func (m *Membership) alone() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, b := range m.listed {
		if !b.Leaving && b.NodeID != m.self.NodeID {
			return false
		}
	}
	return true
}

func (m *Membership) setLeaving(leaving bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaving = leaving
	m.choose()
}

func (m *Membership) isLeaving() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.leaving
}

// HandOver ends the time in which this broker serves keys that it gave away. It is called once, after Leave returned true.
func (m *Membership) HandOver() { close(m.handedOver) }

// HandedOver is closed by HandOver.
func (m *Membership) HandedOver() <-chan struct{} { return m.handedOver }

// Elsewhere tells whether this broker has handed its keys over and others are there to serve them. If these have left as
// well, it had better serve whoever comes.
func (m *Membership) Elsewhere() bool {
	select {
	case <-m.handedOver:
		return !m.alone()
	default:
		return false
	}
}
