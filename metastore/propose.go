package metastore

import (
	"context"
	"errors"
	"fmt"
)

// decision makes a change from the state, or an error that ends the proposal, or neither when there is nothing to do.
// It runs with the state locked for reading and must not keep it.
type decision func(s *State) (change, error)

// propose appends what decide makes of the newest state and returns the change as it stands in the log; nil if decide
// made none. See Replica for the protocol. Transient errors of the metastore are retried until ctx ends.
func (r *Replica) propose(ctx context.Context, decide decision) (change, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	mark := newNonce()
	r.await(mark)
	defer r.await(0)
	for failures := 0; ; {
		rec, next, expected, err := r.attempt(mark, decide)
		if err != nil || next.Seq == 0 {
			return nil, err
		}
		err = r.log.Append(ctx, expected, next)
		if err == nil {
			return rec.change, r.foldOwn(next, rec)
		}
		if !errors.Is(err, ErrConflict) {
			failures++
			if fatal(err) {
				r.fail(err)
				return nil, err
			}
			if failures == 1 {
				r.opts.Logger.Warn("append to commit log, outcome unknown", "seq", next.Seq, "error", err)
			}
			if pause(ctx, backoff(failures)) != nil {
				return nil, fmt.Errorf("append to commit log: %w", err)
			}
		}
		if landed, err := r.settle(ctx, &failures); landed != nil || err != nil {
			return landed, err
		}
	}
}

// attempt decides on the present state and encodes the outcome as the next entry.
func (r *Replica) attempt(mark nonce, decide decision) (rec record, next Entry, expected Position, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.failed != nil {
		return rec, next, expected, r.failed
	}
	c, err := decide(r.state)
	if err != nil || c == nil {
		return rec, next, expected, err
	}
	rec = record{time: r.opts.Now().UnixMilli(), nonce: mark, change: c}
	return rec, r.state.at.Next(rec.encode()), r.state.at, nil
}

// settle reads the log until it could be read, and returns the proposal's change if it turns out to be there.
func (r *Replica) settle(ctx context.Context, failures *int) (change, error) {
	for {
		err := r.CatchUp(ctx)
		r.mu.RLock()
		settled := r.settled
		r.mu.RUnlock()
		switch {
		case settled != nil:
			return settled.change, nil
		case err == nil:
			return nil, nil
		case fatal(err) || ctx.Err() != nil:
			return nil, err
		}
		*failures++
		if pause(ctx, backoff(*failures)) != nil {
			return nil, err
		}
	}
}

func (r *Replica) await(mark nonce) {
	r.mu.Lock()
	r.awaited, r.settled = mark, nil
	r.mu.Unlock()
}

// foldOwn folds an entry that we appended. The follower may have been faster, but nobody can have put another entry
// in its place.
func (r *Replica) foldOwn(e Entry, rec record) error {
	if err := r.fold(e, rec); err != nil {
		r.fail(err)
		return err
	}
	if e.Seq%Seq(r.opts.SnapshotEvery) == 0 {
		select {
		case r.snap <- struct{}{}:
		default:
		}
	}
	return nil
}
