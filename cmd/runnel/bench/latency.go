// Package bench holds what `runnel bench` measures with: latencies, an even pace, counters of brokers before and after,
// and a load of commits for a metastore. It knows no Kafka client.
package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// DefaultSamples bounds Latencies at 32 MiB: half a minute of 250,000 records a second is still exact.
const DefaultSamples = 8 << 20

// Latencies collects durations to the microsecond and tells their quantiles. Up to its limit it keeps every one, so the
// quantiles are exact; beyond, it keeps a uniform random sample of so many (algorithm R). A histogram of fixed precision
// would be smaller, but a benchmark has the memory. Safe for concurrent use.
type Latencies struct {
	limit int

	mu      sync.Mutex
	samples []uint32 // microseconds; 71 minutes at most
	seen    int64
	longest time.Duration
	rng     *rand.Rand
}

// NewLatencies keeps at most limit samples.
func NewLatencies(limit int) *Latencies {
	return &Latencies{limit: limit, rng: rand.New(rand.NewPCG(1, 2))} // fixed: equal runs are sampled equally
}

// Add takes a duration; a negative one counts as none.
func (l *Latencies) Add(d time.Duration) {
	us := uint32(min(max(d.Microseconds(), 0), math.MaxUint32))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen++
	l.longest = max(l.longest, d)
	if len(l.samples) < l.limit {
		l.samples = append(l.samples, us)
		return
	}
	if at := l.rng.Int64N(l.seen); at < int64(l.limit) {
		l.samples[at] = us
	}
}

// Quantiles are what a distribution of latencies is reported as.
type Quantiles struct {
	Count               int64
	P50, P99, P999, Max time.Duration
	Exact               bool // no sample was left out
}

// Quantiles tells them of what was added so far; all zero if that is nothing.
func (l *Latencies) Quantiles() Quantiles {
	l.mu.Lock()
	sorted := slices.Clone(l.samples)
	q := Quantiles{Count: l.seen, Max: l.longest, Exact: l.seen <= int64(l.limit)}
	l.mu.Unlock()
	slices.Sort(sorted)
	q.P50, q.P99, q.P999 = quantile(sorted, 0.50), quantile(sorted, 0.99), quantile(sorted, 0.999)
	return q
}

// quantile is the smallest sample that at least the fraction of all does not exceed.
func quantile(sorted []uint32, fraction float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(fraction * float64(len(sorted))))
	return time.Duration(sorted[max(rank, 1)-1]) * time.Microsecond
}
