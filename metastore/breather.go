package metastore

import (
	"context"
	"time"
)

const (
	// breatherEvery is how long a broker may append without a pause that lets another in.
	breatherEvery = time.Second
	// breatherAppends is how many appends such a pause takes the place of. A broker that lost needs three round trips at
	// most, to hear of it, to read what is new and to append, and may be farther from the log than we are.
	breatherAppends = 8
	// leastBreather and longestBreather bound it. The least is for brokers in another zone, if ours stands beside the log:
	// with 3 ms to a round trip the first pause lets them in, with more it is a matter of luck.
	leastBreather   = 10 * time.Millisecond
	longestBreather = 100 * time.Millisecond
	// breatherShare bounds what the pauses cost, as one in so many.
	breatherShare = 32
)

// breather makes a broker pause now and then that appends without one. Its next commit is ready when the one before is
// in the log, while the others have to read that one first: they would always come too late, with topics, with producer
// ids, and with commits if they do not reach the sequencer. It is guarded by the slot.
type breather struct {
	last  time.Time     // end of the last pause that was long enough
	ended time.Time     // end of the last append
	took  time.Duration // by an append, smoothed
}

// due is how long to pause before an append.
func (b *breather) due(now time.Time) time.Duration {
	length := min(max(breatherAppends*b.took, leastBreather), longestBreather)
	idle := now.Sub(b.ended)
	if idle >= length {
		b.last = now
		return 0
	}
	if now.Sub(b.last) < max(breatherEvery, breatherShare*length) {
		return 0
	}
	return length - idle
}

// appended notes an append.
func (b *breather) appended(begun, ended time.Time) {
	b.took += (ended.Sub(begun) - b.took) / 8
	b.ended = ended
}

// letOthersIn pauses if others had no chance to append for long. The error is ctx's.
func (r *Replica) letOthersIn(ctx context.Context) error {
	wait := r.breather.due(time.Now())
	if wait <= 0 {
		return nil
	}
	err := pause(ctx, wait)
	r.breather.last = time.Now()
	return err
}
