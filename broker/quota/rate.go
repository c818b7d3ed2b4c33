package quota

import "time"

// Window is how rates are measured: over so many samples, each of so long.
type Window struct {
	Samples int           // quota.window.num
	Size    time.Duration // quota.window.size.seconds
}

// DefaultWindow is Kafka's.
var DefaultWindow = Window{Samples: 11, Size: time.Second}

// span is how far back samples reach, and the longest throttle.
func (w Window) span() time.Duration { return time.Duration(w.Samples) * w.Size }

// least is the shortest time that a sum is divided by: all samples but the one that is under way.
func (w Window) least() time.Duration { return time.Duration(w.Samples-1) * w.Size }

// Rate is what was taken of late: Kafka's Rate of a SampledStat. The zero value is nothing.
//
// Kafka forgets a sample when it is as old as the window, and throttles for as long as it takes. Here throttles end with the
// window, so that no client takes its connection for dead; samples stay, in turn, until they are made up for.
type Rate struct {
	samples []sample // the oldest first
}

type sample struct {
	begin time.Time
	sum   float64
}

// Record notes what was taken; less than 0 takes something back.
func (r *Rate) Record(w Window, amount float64, now time.Time) {
	n := len(r.samples)
	if n > 0 && now.Sub(r.samples[n-1].begin) < w.Size {
		r.samples[n-1].sum += amount
		return
	}
	if n >= w.Samples { // all of them are needed: the two oldest are one from now on
		r.samples[0].sum += r.samples[1].sum
		r.samples = append(r.samples[:1], r.samples[2:]...)
	}
	if r.samples == nil {
		r.samples = make([]sample, 0, w.Samples)
	}
	r.samples = append(r.samples, sample{begin: now, sum: amount})
}

// measure is the sum of what was taken, and over how long. Kafka's window is the time since the oldest sample began, but
// at least all samples but one.
func (r *Rate) measure(w Window, limit float64, now time.Time) (sum float64, over time.Duration) {
	for i := range r.samples {
		sum += r.samples[i].sum
	}
	for len(r.samples) > 0 {
		oldest := &r.samples[0]
		over = max(now.Sub(oldest.begin), 0)
		if over < w.span() || excess(sum, limit, over) > 0 {
			break
		}
		sum -= oldest.sum
		r.samples = append(r.samples[:0], r.samples[1:]...)
		over = 0
	}
	if len(r.samples) == 0 {
		sum = 0 // and not what rounding left
	}
	if missing := w.Samples - 1 - int(over/w.Size); missing > 0 {
		over += time.Duration(missing) * w.Size
	}
	return sum, max(over, time.Millisecond)
}

// throttle is how long nothing may be taken until the rate is the limit, per second, again: if O is the rate over W, and T
// the limit, X for which O*W/(W+X) = T.
func (r *Rate) throttle(w Window, limit float64, now time.Time) time.Duration {
	sum, over := r.measure(w, limit, now)
	return excess(sum, limit, over)
}

func excess(sum, limit float64, over time.Duration) time.Duration {
	late := sum/limit - over.Seconds()
	if late <= 0 {
		return 0
	}
	return time.Duration(min(late, maxSeconds) * float64(time.Second))
}

// maxSeconds keeps durations from overflowing.
const maxSeconds = 1e9

// Bucket is Kafka's TokenBucket (KIP-599): it fills at the rate of the limit, up to what comes in a whole span, and is
// full at first. It may be overdrawn. The zero value is a full one.
type Bucket struct {
	missing float64 // of a full one
	as      time.Time
}

// tokens is what is there; the bucket is brought to now.
func (b *Bucket) tokens(w Window, limit float64, now time.Time) float64 {
	if since := now.Sub(b.as); since > 0 {
		b.missing = max(b.missing-limit*since.Seconds(), 0)
		b.as = now
	}
	return limit*w.span().Seconds() - b.missing
}

// take takes tokens.
func (b *Bucket) take(w Window, amount, limit float64, now time.Time) {
	b.tokens(w, limit, now)
	b.missing += amount
}

// wait is how long it takes until the bucket is not overdrawn any more.
func (b *Bucket) wait(w Window, limit float64, now time.Time) time.Duration {
	owed := -b.tokens(w, limit, now)
	if owed <= 0 {
		return 0
	}
	return time.Duration(min(owed/limit, maxSeconds) * float64(time.Second))
}
