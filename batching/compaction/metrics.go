package compaction

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	jobs *prometheus.CounterVec // by kind and outcome
}

// backlogLasts is for how long a plan tells of the backlog. After that another broker may be at it.
const backlogLasts = 5 * time.Minute

func newMetrics(reg prometheus.Registerer, c *Compactor) *metrics {
	m := &metrics{jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "runnel_compaction_jobs_total",
		Help: "Rewrites of runs, by kind: lift (tier 0 to tier 1), merge (small runs), refill (segments of which little is named), and outcome: done, failed."},
		[]string{"kind", "outcome"})}
	for _, kind := range kinds {
		m.jobs.WithLabelValues(string(kind), "done")
		m.jobs.WithLabelValues(string(kind), "failed")
	}
	if reg == nil {
		return m
	}
	last := func(value func(Backlog) float64) func() float64 {
		return func() float64 {
			if b := c.Backlog(); !b.At.IsZero() && c.opts.Now().Sub(b.At) < backlogLasts {
				return value(b)
			}
			return 0
		}
	}
	reg.MustRegister(m.jobs,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_compaction_lag_seconds",
			Help: "How much older than the delay the oldest segment of tier 0 is, on the broker that compacts; 0 on others."},
			last(func(b Backlog) float64 { return b.Lag.Seconds() })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_compaction_tier0_bytes",
			Help: "Bytes of runs in tier 0, on the broker that compacts; 0 on others."},
			last(func(b Backlog) float64 { return float64(b.Bytes) })))
	return m
}
