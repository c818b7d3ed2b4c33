package metastore

import (
	"context"
	"time"
)

const (
	// trimStep is how many entries one Trim removes at most, so that it never takes long.
	trimStep = 1000
	// producerSweep is how often silent producers are looked for.
	producerSweep = 10 * time.Minute
)

// maintain takes snapshots when they are due, trims what they cover and expires producers, until ctx ends. Every broker
// does so; whoever appends the entry that makes a snapshot due takes it, and one that is lost is made good by the next.
func (r *Replica) maintain(ctx context.Context) {
	sweep := time.NewTicker(producerSweep)
	defer sweep.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-r.snap:
			err = r.SnapshotNow(ctx)
		case <-sweep.C:
			err = r.expireProducersOnce(ctx)
		}
		if err != nil && ctx.Err() == nil {
			r.opts.Logger.Warn("maintain commit log", "error", err)
		}
	}
}

// SnapshotNow saves the state as it is and trims the log before it, as far as nobody may ask for its entries again.
func (r *Replica) SnapshotNow(ctx context.Context) error {
	r.mu.Lock()
	state := r.state
	frozen := state.clone()
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		state.thaw()
		r.mu.Unlock()
	}()
	if frozen.at.Seq == 0 {
		return nil
	}
	if err := r.log.SaveSnapshot(ctx, Snapshot{Position: frozen.at, State: frozen.encode()}); err != nil {
		return err
	}
	for {
		n, err := r.log.Trim(ctx, frozen.neededFrom(), trimStep)
		if err != nil || n < trimStep {
			return err
		}
	}
}

// neededFrom is the first entry that must stay: those of segments whose commit may be asked for again.
func (s *State) neededFrom() Seq {
	first := s.at.Seq
	for _, g := range s.recent {
		first = min(first, s.table.at(g).before.Seq)
	}
	return first
}

func (r *Replica) expireProducersOnce(ctx context.Context) error {
	before := r.opts.Now().Add(-r.opts.ProducerExpiration).UnixMilli()
	_, err := r.propose(ctx, alone(func(s *State) (change, error) {
		if s.producers.leastSeen() >= before {
			return nil, nil
		}
		return expireProducers{before: before}, nil
	}))
	return err
}
