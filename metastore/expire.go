package metastore

import (
	"context"
	"slices"
	"sort"
	"time"
)

const (
	// activeProducer is how long a producer must have been silent before it may be forgotten for want of room. Less would
	// take the sequences from producers that are about to repeat a batch.
	activeProducer = 2 * time.Minute
	// expireStep is about how many producers an entry makes all brokers forget, so that folding it takes about a
	// millisecond.
	expireStep = 2500
)

// Producers is how many producers are remembered, counting one once for each partition that it wrote to.
func (r *Replica) Producers() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.producers.count
}

// expireProducersOnce forgets the producers that have been silent for ProducerExpiration.
func (r *Replica) expireProducersOnce(ctx context.Context) error {
	limit := r.opts.Now().Add(-r.opts.ProducerExpiration()).UnixMilli()
	r.mu.RLock()
	any := r.state.producers.leastSeen() < limit
	r.mu.RUnlock()
	if !any {
		return nil
	}
	times := r.producerTimes()
	return r.forgetProducers(ctx, expirySteps(times, len(times), limit), 0)
}

// capProducersOnce forgets the producers that have been silent for longest if there are more than MaxProducers, until
// nine tenths of that are left. It tells whether there are still too many, because too many are active.
func (r *Replica) capProducersOnce(ctx context.Context) (crowded bool, err error) {
	if r.Producers() <= r.opts.MaxProducers {
		return false, nil
	}
	target := r.opts.MaxProducers - r.opts.MaxProducers/10
	limit := r.opts.Now().Add(-activeProducer).UnixMilli()
	times := r.producerTimes()
	err = r.forgetProducers(ctx, expirySteps(times, len(times)-target, limit), target)
	return r.Producers() > r.opts.MaxProducers, err
}

// producerTimes returns when the producers were last seen, the least first. The state is locked only for a view of it to
// be made, which copies a pointer for every 256 producers: some microseconds for a million. Looking at them takes a tenth
// of a second then, with the state free.
func (r *Replica) producerTimes() []int64 {
	r.mu.Lock()
	s := r.state
	table, topics := s.producers.view(), slices.Clone(s.numbered)
	s.sharing.freeze()
	r.mu.Unlock()
	defer r.thaw(s)
	times := make([]int64, 0, table.count)
	for c := range table.chunks() {
		chunk := table.chunk(c)
		for i := range chunk {
			if known := &chunk[i]; known.id != NoProducerID && topics[known.topic] != nil {
				times = append(times, known.lastSeen)
			}
		}
	}
	slices.Sort(times)
	return times
}

// expirySteps returns the times to expire by, one after the other, so that n producers are forgotten but none that was
// seen at limit or later: expireStep of them with each, or more if so many were seen in the same millisecond. times are in
// order.
func expirySteps(times []int64, n int, limit int64) []int64 {
	n = min(n, sort.Search(len(times), func(i int) bool { return times[i] >= limit }))
	var steps []int64
	for done := 0; done < n; {
		done = min(done+expireStep, n)
		before := times[done-1] + 1
		for done < n && times[done] < before {
			done++
		}
		steps = append(steps, before)
	}
	return steps
}

// forgetProducers appends an entry for each step, unless another broker was faster or no more than target are left.
func (r *Replica) forgetProducers(ctx context.Context, steps []int64, target int) error {
	for _, before := range steps {
		_, err := r.propose(ctx, alone(func(s *State) (change, error) {
			if s.producers.count <= target || s.producers.leastSeen() >= before {
				return nil, nil
			}
			return expireProducers{before: before}, nil
		}))
		if err != nil {
			return err
		}
	}
	return nil
}
