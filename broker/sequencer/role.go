package sequencer

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

const (
	// firstPause and lastPause bound the time between two attempts to follow the holder.
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
	// pingPause is how often a suspected holder is asked whether it is back, and pingTimeout how soon it must say so.
	pingPause   = 250 * time.Millisecond
	pingTimeout = 250 * time.Millisecond
	// longestDoubt is how long a holder is not even pinged that answered pings before, but not the commits that followed.
	// The time doubles with each; else half of all commits would wait for their patience to run out.
	longestDoubt = 8 * time.Second
)

// HoldRole takes the role when it is free, and else learns who has it, until ctx ends; then it gives the role back. A
// broker that stops ends HoldRole first: it goes on to commit what it has, and what others still ask of it. Without
// peers there is no role, and a broker that can commit nothing any more does not keep it from the others.
func (s *Sequencer) HoldRole(ctx context.Context) error {
	if s.peers == nil {
		<-ctx.Done()
		return nil
	}
	defer s.release(ctx)
	tick := time.NewTicker(s.opts.Beat)
	defer tick.Stop()
	var deadline time.Time // of our lease, on our own clock
	for failing := false; ; {
		if err := s.log.Health(); err != nil {
			s.opts.Logger.Warn("no candidate for the sequencer's role any more", "error", err)
			s.release(ctx)
			<-ctx.Done()
			return nil
		}
		asked := time.Now()
		lease, err := s.hold(ctx)
		switch {
		case err == nil && s.isSelf(lease):
			deadline = asked.Add(s.opts.Lease)
			fallthrough
		case err == nil:
			s.learn(lease)
		case ctx.Err() == nil && !failing:
			s.opts.Logger.Warn("ask for the sequencer's lease, retrying", "error", err)
		}
		failing = err != nil
		if s.known().held && !time.Now().Before(deadline) {
			s.set(func(r *role) { *r = role{} }) // somebody else may hold it
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Held tells whether this broker holds the role, as far as it knows, and under which epoch of the lease.
func (s *Sequencer) Held() (epoch int64, held bool) {
	known := s.known()
	return known.lease.Epoch, known.held
}

// AwaitRole returns when this broker holds the role, or knows who does and how to reach it.
func (s *Sequencer) AwaitRole(ctx context.Context) error {
	for {
		s.mu.Lock()
		known, changed := s.role, s.changed
		s.mu.Unlock()
		if known.held || known.address != "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Sequencer) hold(ctx context.Context) (metastore.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Lease/2)
	defer cancel()
	self := s.members.Self()
	return s.leases.HoldLease(ctx, LeaseName, self.NodeID, self.Epoch, s.opts.Lease)
}

func (s *Sequencer) isSelf(l metastore.Lease) bool {
	self := s.members.Self()
	return l.HeldBy(self.NodeID, self.Epoch)
}

// learn takes over who holds the lease.
func (s *Sequencer) learn(lease metastore.Lease) {
	next := role{lease: lease, held: s.isSelf(lease)}
	if !next.held {
		for _, b := range s.members.Live() {
			if b.NodeID == lease.Holder && b.Epoch == lease.HolderEpoch {
				next.address = peerAddress(b)
			}
		}
	}
	s.set(func(r *role) {
		if r.lease != next.lease || r.address != next.address {
			s.doubts = 0
		}
		next.suspected = r.suspected && r.lease == next.lease && r.address == next.address
		if next.lease != r.lease || next.held != r.held {
			s.opts.Logger.Info("sequencer", "node_id", int32(lease.Holder), "lease_epoch", lease.Epoch, "self", next.held)
		}
		*r = next
	})
}

// release ends the lease, so that the next one need not wait for it to run out.
func (s *Sequencer) release(ctx context.Context) {
	held := s.known().held
	s.set(func(r *role) { *r = role{} })
	if !held {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Lease/2)
	defer cancel()
	self := s.members.Self()
	if err := s.leases.ReleaseLease(ctx, LeaseName, self.NodeID, self.Epoch); err != nil {
		s.opts.Logger.Warn("give back the sequencer's lease; it will run out", "error", err)
	}
}

// followHolder folds what the holder streams, until ctx ends. The stream is a hint: without it, the entries are found by
// looking at the log.
func (s *Sequencer) followHolder(ctx context.Context) {
	for pause := firstPause; ctx.Err() == nil; {
		s.mu.Lock()
		holder, changed := s.role, s.changed
		s.mu.Unlock()
		if holder.address == "" || holder.suspected {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if s.follow(ctx, holder, changed) {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

// follow reads one stream and tells whether it brought anything.
func (s *Sequencer) follow(ctx context.Context, holder role, changed <-chan struct{}) (worked bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // ends with this call
		select {
		case <-changed:
			cancel()
		case <-stop:
		}
	}()
	err := s.peers.Entries(ctx, holder.address, s.log.Position().Seq, func(e metastore.Entry) bool {
		worked = true
		s.metrics.pushed.Inc()
		s.set(func(*role) { s.heard = time.Now() })
		return s.log.Offer(e)
	})
	if ctx.Err() != nil {
		return worked
	}
	// Either the entries do not continue ours, or the stream broke, or it has none of what we need any more.
	if err := s.log.CatchUp(ctx); err != nil && ctx.Err() == nil {
		s.opts.Logger.Debug("catch up with commit log", "error", err)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		s.opts.Logger.Debug("stream of entries ended", "node_id", int32(holder.lease.Holder), "error", err)
	}
	return worked
}

// watchSuspect asks a holder that did not answer whether it is back.
func (s *Sequencer) watchSuspect(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.Lock()
		holder, changed, doubts := s.role, s.changed, s.doubts
		s.mu.Unlock()
		if !holder.suspected {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-time.After(min(pingPause<<min(max(doubts-1, 0), 10), longestDoubt)):
		case <-changed: // another holder may be suspected next
			continue
		case <-ctx.Done():
			return
		}
		if s.ping(ctx, holder.address) {
			s.set(func(r *role) {
				if r.lease == holder.lease && r.address == holder.address && r.suspected {
					r.suspected = false
					s.opts.Logger.Info("sequencer answers again", "node_id", int32(holder.lease.Holder))
				}
			})
		}
	}
}

func (s *Sequencer) ping(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return s.peers.Ping(ctx, address) == nil
}
