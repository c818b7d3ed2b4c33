package metastore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/planted"
)

// proposal makes a change from the state, or an error that ends it, or neither when there is nothing to do. It runs with
// the state locked for reading and must not keep it.
//
// before is nil, or the decision of the commit that is being appended: the change is then to be one on top of it, and is
// void if that commit does not land. errNotOnTop asks to wait until it has. With the change of a commit comes its
// decision.
type proposal func(s *State, before *commitDecision) (change, *commitDecision, error)

var errNotOnTop = errors.New("can not be decided before the entry in flight is folded")

// alone is a proposal that is never decided on top of another.
func alone(decide func(s *State) (change, error)) proposal {
	return func(s *State, before *commitDecision) (change, *commitDecision, error) {
		if before != nil {
			return nil, nil, errNotOnTop
		}
		c, err := decide(s)
		return c, nil, err
	}
}

// attempt is a proposal decided on a position, on its way into the log.
type attempt struct {
	record
	decision *commitDecision // nil unless the change is a commit
	expected Position
	next     Entry // Seq 0: there is nothing to do
	snapshot bool  // is due when it has landed
}

// withGroups is a change that is appended together with rows of groups.
type withGroups interface {
	groupChanges() *GroupChanges
	refused(claims []GroupClaim) // the proposal is decided again
}

// release lets the memory of the decision be used again: nobody decides on it any more.
func (a *attempt) release() {
	if a.decision != nil {
		a.decision.release()
		a.decision = nil
	}
}

// propose appends what p makes of the newest state and returns the change as it stands in the log; nil if p made
// none. See Replica for the protocol. Transient errors of the metastore are retried until ctx ends.
//
// It is a pipeline of two: while one proposal holds the slot and is appended, the next one, which holds the turn, is
// decided and encoded on top of it. When it gets the slot and the state is not at the position that it was decided
// for, because the append before it failed or another broker was faster, it is decided again.
func (r *Replica) propose(ctx context.Context, p proposal) (change, error) {
	if err := take(ctx, r.turn); err != nil {
		return nil, err
	}
	mark := newNonce()
	a, err := r.decideAhead(ctx, mark, p)
	<-r.turn
	if err != nil || a.next.Seq == 0 {
		return nil, err
	}
	defer func() { <-r.slot }()
	return r.append(ctx, mark, p, &a)
}

// decideAhead returns with the slot and a decision for the state as it is then; without the slot if there is nothing to
// append, or an error.
func (r *Replica) decideAhead(ctx context.Context, mark nonce, p proposal) (attempt, error) {
	a, err := r.decide(mark, p)
	ahead := err == nil
	if err != nil && !errors.Is(err, errNotOnTop) || ahead && a.next.Seq == 0 {
		return a, err
	}
	if err := take(ctx, r.slot); err != nil {
		return a, err
	}
	if !ahead || r.Position() != a.expected {
		a.release()
		a, err = r.decide(mark, p)
	}
	if err != nil || a.next.Seq == 0 {
		<-r.slot
		return a, err
	}
	r.await(mark, &a)
	return a, nil
}

// decide makes an attempt on the present state and the commit in flight, if there is one.
func (r *Replica) decide(mark nonce, p proposal) (attempt, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.failed != nil {
		return attempt{}, r.failed
	}
	at, latest, before := r.state.at, r.state.time, (*commitDecision)(nil)
	if f := r.flight; f != nil && f.expected == at {
		if f.decision == nil {
			return attempt{}, errNotOnTop
		}
		at, latest, before = f.next.Position, max(latest, f.time), f.decision
	}
	// The time of the log does not go back, or a broker that is late would make others forget its producers.
	now := max(r.opts.Now().UnixMilli(), latest)
	c, decision, err := p(r.state, before)
	if err != nil || c == nil {
		return attempt{}, err
	}
	a := attempt{record: record{time: now, nonce: mark, change: c}, decision: decision, expected: at}
	if decision != nil {
		decision.time = now
	}
	a.next = at.Next(a.encode())
	a.snapshot = a.next.Seq%Seq(r.opts.SnapshotEvery) == 0 || latest > 0 && r.interval(now) > r.interval(latest)
	return a, nil
}

// interval numbers the intervals in which one snapshot is taken at least.
func (r *Replica) interval(at int64) int64 {
	if ms := r.opts.SnapshotInterval.Milliseconds(); ms > 0 {
		return at / ms
	}
	return 0
}

// append puts an attempt into the log, and decides again as often as need be. It runs with the slot.
func (r *Replica) append(ctx context.Context, mark nonce, p proposal, a *attempt) (change, error) {
	defer func() {
		r.await(0, nil)
		a.release()
	}()
	if err := r.letOthersIn(ctx); err != nil {
		return nil, fmt.Errorf("append to commit log: %w", err)
	}
	for failures := 0; ; {
		begun := time.Now()
		err := r.appendAttempt(ctx, a)
		r.breather.appended(begun, time.Now())
		if err == nil || planted.Is(planted.UnknownIsDone) && !errors.Is(err, ErrConflict) {
			return a.change, r.foldOwn(a)
		}
		r.await(mark, nil) // nothing more is to be decided on top of it
		a.release()
		if !errors.Is(err, ErrConflict) && !refusedClaims(a, err) {
			failures++
			if fatal(err) {
				r.fail(err)
				return nil, err
			}
			if failures == 1 {
				r.opts.Logger.Warn("append to commit log", "seq", a.next.Seq, "outcome_unknown", !errors.Is(err, ErrContended), "error", err)
			}
			if pause(ctx, backoff(failures)) != nil {
				return nil, fmt.Errorf("append to commit log: %w", err)
			}
		}
		if landed, err := r.settle(ctx, &failures); landed != nil || err != nil {
			return landed, err
		}
		if *a, err = r.decide(mark, p); err != nil || a.next.Seq == 0 {
			return nil, err
		}
		r.await(mark, a)
	}
}

func (r *Replica) appendAttempt(ctx context.Context, a *attempt) error {
	if c, ok := a.change.(withGroups); ok && !c.groupChanges().Empty() {
		return r.log.AppendWith(ctx, a.expected, a.next, *c.groupChanges())
	}
	return r.log.Append(ctx, a.expected, a.next)
}

// refusedClaims tells whether the attempt was refused for its claims alone, of which the change hears then.
func refusedClaims(a *attempt, err error) bool {
	var fenced *FencedError
	c, ok := a.change.(withGroups)
	if !ok || !errors.As(err, &fenced) || len(fenced.Claims) == 0 {
		return false
	}
	c.refused(fenced.Claims)
	return true
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

// await looks out for entries that carry the mark, 0 for none, and lets commits be decided on top of flight. What was
// found stays found as long as the mark stays.
func (r *Replica) await(mark nonce, flight *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mark != r.awaited {
		r.awaited, r.settled = mark, nil
	}
	r.flight = flight
}

// take enters a channel of one place.
func take(ctx context.Context, place chan struct{}) error {
	select {
	case place <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// foldOwn folds an entry that we appended. The follower may have been faster, but nobody can have put another entry
// in its place, unless it was offered and the log never had it, or lost it.
func (r *Replica) foldOwn(a *attempt) error {
	r.mu.Lock()
	r.own = a.next.Seq
	r.mu.Unlock()
	if err := r.fold(a.next, a.record, a.expected, a.next.Position); err != nil {
		r.fail(err)
		return err
	}
	if a.snapshot {
		select {
		case r.snap <- struct{}{}:
		default:
		}
	}
	return nil
}
