package metastore

import (
	"context"
	"slices"
	"time"
)

// collectStep is how much garbage an entry forgets at most, so that none takes long to fold.
const collectStep = 4096

// Swap puts runs in place of others, durably on nil, in one entry. It tells for each rewrite whether it was accepted: that is
// when its old runs are exactly those that are there, apart from what the log start has passed. New runs that the log start
// has passed are not added. What is refused changes nothing, the others go on; segments that no accepted run names are
// garbage at once. Nothing else changes: not the watermarks, nor what is known of producers and transactions.
//
// After ErrInvalidSwap and ErrSegmentRefused nothing was appended. After any other error the outcome is unknown: the objects
// may be in use, or be garbage; if the log never names them they are found as objects that it does not know. Asked again with
// the same segments it refuses them if the first call came to be.
func (r *Replica) Swap(ctx context.Context, segments []RewrittenSegment, rewrites []Rewrite) ([]bool, error) {
	if err := checkSwap(segments, rewrites); err != nil {
		return nil, err
	}
	var nothing swapRuns
	landed, err := r.propose(ctx, alone(func(s *State) (change, error) {
		c, err := s.decideSwap(segments, rewrites, r.opts.Now().UnixMilli())
		if err != nil {
			return nil, err
		}
		if !c.changes(s) {
			nothing = c
			return nil, nil
		}
		return c, nil
	}))
	if err != nil {
		return nil, err
	}
	c, ok := landed.(swapRuns)
	if !ok {
		c = nothing
	}
	accepted := make([]bool, len(rewrites))
	for i := range c.swapped {
		accepted[c.swapped[i].request] = true
	}
	return accepted, nil
}

// Garbage returns up to so many of the segments that no run names any more, the oldest first.
func (r *Replica) Garbage(limit int) []Garbage {
	var list []Garbage
	for from := int64(0); len(list) < limit; {
		part := r.garbageFrom(from, min(limit-len(list), visitStep))
		if len(part) == 0 {
			break
		}
		list = append(list, part...)
		from = part[len(part)-1].Number + 1
	}
	return list
}

func (r *Replica) garbageFrom(number int64, limit int) []Garbage {
	r.mu.RLock()
	defer r.mu.RUnlock()
	part := make([]Garbage, 0, min(limit, r.state.garbage.len()))
	for n, item := range r.state.garbage.all(number) {
		if len(part) == cap(part) {
			break
		}
		part = append(part, r.state.exportGarbage(n, item))
	}
	return part
}

// GarbageTotal tells how many segments no run names any more, and the sum of the sizes of their objects.
func (r *Replica) GarbageTotal() (objects int, bytes int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.garbage.len(), r.state.garbage.bytes
}

// GarbageEnd is the number that the next garbage gets.
func (r *Replica) GarbageEnd() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.garbage.next
}

// Collected forgets the garbage up to a number, durably on nil: its objects are deleted. What another broker has forgotten
// before is no error.
func (r *Replica) Collected(ctx context.Context, through int64) error {
	for {
		landed, err := r.propose(ctx, alone(func(s *State) (change, error) {
			if s.garbage.len() == 0 || s.garbage.first > through {
				return nil, nil
			}
			return collectGarbage{through: min(through, s.garbage.first+collectStep-1, s.garbage.next-1)}, nil
		}))
		if err != nil || landed == nil || landed.(collectGarbage).through == through {
			return err
		}
	}
}

// PutOff is Collected, but for some of the garbage, by ascending numbers, whose objects cannot be deleted: it becomes the youngest, with
// new numbers, as if it had become garbage now.
func (r *Replica) PutOff(ctx context.Context, through int64, kept []int64) error {
	for {
		landed, err := r.propose(ctx, alone(func(s *State) (change, error) {
			if s.garbage.first > through || through >= s.garbage.next {
				return nil, nil
			}
			reached := min(through, s.garbage.first+collectStep-1)
			from, _ := slices.BinarySearch(kept, s.garbage.first)
			to, _ := slices.BinarySearch(kept, reached+1)
			if from == to {
				return collectGarbage{through: reached}, nil // which brokers of earlier versions know, too
			}
			return putOffGarbage{through: reached, kept: kept[from:to]}, nil
		}))
		if err != nil || landed == nil {
			return err
		}
		switch c := landed.(type) {
		case collectGarbage:
			if c.through == through {
				return nil
			}
		case putOffGarbage:
			if c.through == through {
				return nil
			}
		}
	}
}

// Touch appends an entry that does nothing, durably on nil, so that the log's time passes.
func (r *Replica) Touch(ctx context.Context) error {
	_, err := r.propose(ctx, alone(func(*State) (change, error) { return touch{}, nil }))
	return err
}

// LogTime is the greatest time that an entry carries; zero if there is none.
func (r *Replica) LogTime() time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.logTime()
}

func (s *State) logTime() time.Time {
	if s.time == 0 {
		return time.Time{}
	}
	return time.UnixMilli(s.time)
}

// Known tells of each segment whether the log knows it: because runs name it, because it is remembered that it was committed
// or swapped in, or as garbage. A segment that was past its age (MaxSegmentAge, or MaxRewriteAge for tier 1) by a LogTime that
// was asked for before, and that is not known now, never will be: its object may be deleted. Asked in the other order, an entry
// in between may have named it.
func (r *Replica) Known(ids []SegmentID) []bool {
	known := make([]bool, len(ids))
	for from := 0; from < len(ids); from += visitStep {
		r.knowsOf(ids[from:min(from+visitStep, len(ids))], known[from:])
	}
	return known
}

func (r *Replica) knowsOf(ids []SegmentID, known []bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i, id := range ids {
		_, known[i] = r.state.table.find(id)
	}
}
