package cleaning

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	plans atomic.Uint64

	rounds        *prometheus.CounterVec // by outcome
	seconds       prometheus.Histogram
	read, written prometheus.Counter
	dropped       *prometheus.CounterVec // by reason
	unreadable    prometheus.Counter
	keys          prometheus.Gauge
}

// outcome is what became of a round.
type outcome string

const (
	cleaned outcome = "cleaned"
	part    outcome = "part" // the map was full
	idle    outcome = "idle" // nothing was left to be cleaned
	failed  outcome = "failed"
)

func newMetrics(reg prometheus.Registerer, c *Cleaner) *metrics {
	m := &metrics{
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_cleaning_rounds_total",
			Help: "Rounds of log compaction, of a partition each, by outcome: cleaned, part (there were more keys than memory for them), idle (nothing was left to do), failed.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_cleaning_round_seconds", Help: "Duration of rounds of log compaction.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 11)}), // 10 ms to 3 h
		read: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_cleaning_read_bytes_total", Help: "Bytes of batches that log compaction read, each as often as it did."}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_cleaning_written_bytes_total", Help: "Bytes of segments that log compaction wrote."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_cleaning_dropped_records_total",
			Help: "Records that log compaction removed, by reason: superseded, tombstone, aborted, keyless, marker (the end of a transaction).",
		}, []string{"reason"}),
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_cleaning_unreadable_batches_total", Help: "Batches that log compaction met and left as they are, since their records cannot be read."}),
		keys: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_cleaning_keys", Help: "Keys in the map of the latest round."}),
	}
	for _, o := range []outcome{cleaned, part, idle, failed} {
		m.rounds.WithLabelValues(string(o))
	}
	for _, r := range reasons {
		m.dropped.WithLabelValues(string(r))
	}
	if reg != nil {
		reg.MustRegister(m.rounds, m.seconds, m.read, m.written, m.dropped, m.unreadable, m.keys,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "runnel_cleaning_waiting_seconds", Help: "How long the partition that has waited longest for log compaction has been due.",
			}, func() float64 { return c.waiting().Seconds() }))
	}
	return m
}

// ended counts a round.
func (m *metrics) ended(r *round, err error, took time.Duration) {
	o := cleaned
	switch {
	case errors.Is(err, errGone):
		o = idle
	case err != nil:
		o = failed
	case r.full:
		o = part
	}
	m.rounds.WithLabelValues(string(o)).Inc()
	m.seconds.Observe(took.Seconds())
	m.read.Add(float64(r.read))
	m.written.Add(float64(r.written))
	for reason, n := range r.sieve.tally.dropped {
		m.dropped.WithLabelValues(string(reason)).Add(float64(n))
	}
	m.unreadable.Add(float64(r.sieve.tally.unreadable))
	m.keys.Set(float64(r.sieve.keys.keys))
}
