package metastore

import (
	"context"
	"time"
)

const (
	// trimStep is how many entries one Trim removes at most, so that it never takes long.
	trimStep = 1000
	// producerSweep is how often producers are looked for that have been silent for ProducerExpiration.
	producerSweep = 10 * time.Minute
	// producerCheck is how often their number is compared with MaxProducers. In between it may grow over it.
	producerCheck = 10 * time.Second
)

// maintain takes snapshots when they are due, trims what they cover and expires producers, until ctx ends. Every broker
// does so; whoever appends the entry that makes a snapshot due takes it, and one that is lost is made good by the next. That
// is every SnapshotEvery-th, and the first in each SnapshotInterval of the log's time: so one broker takes one while entries
// come, and none does while nothing happens.
func (r *Replica) maintain(ctx context.Context) {
	sweep := time.NewTicker(producerSweep)
	defer sweep.Stop()
	check := time.NewTicker(producerCheck)
	defer check.Stop()
	crowded := false
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-r.snap:
			err = r.SnapshotNow(ctx)
		case <-sweep.C:
			err = r.expireProducersOnce(ctx)
		case <-check.C:
			was := crowded
			if crowded, err = r.capProducersOnce(ctx); crowded && !was {
				r.opts.Logger.Warn("more producers are active than are to be remembered",
					"producers", r.Producers(), "max_producers", r.opts.MaxProducers)
			}
		}
		if err != nil && ctx.Err() == nil {
			r.opts.Logger.Warn("maintain commit log", "error", err)
		}
	}
}

// SnapshotNow saves the state as it is and trims the log before it, as far as nobody may ask for its entries again. The
// state is locked while a clone is made, which takes a millisecond for 100,000 partitions, and free while it is encoded.
func (r *Replica) SnapshotNow(ctx context.Context) error {
	r.mu.Lock()
	state := r.state
	frozen := state.clone()
	r.mu.Unlock()
	snapshot, needed := Snapshot{Position: frozen.at, State: frozen.encode()}, frozen.neededFrom()
	r.thaw(state)
	if snapshot.Seq == 0 {
		return nil
	}
	if err := r.log.SaveSnapshot(ctx, snapshot); err != nil {
		return err
	}
	for {
		n, err := r.log.Trim(ctx, needed, trimStep)
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

// thaw says that a view of the state is not used any more. The state need not be the replica's own by now.
func (r *Replica) thaw(s *State) {
	r.mu.Lock()
	s.thaw()
	r.mu.Unlock()
}
