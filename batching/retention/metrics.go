package retention

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	runs           prometheus.Counter
	byTime, bySize prometheus.Counter

	mu      sync.Mutex
	backlog backlog
}

// backlog is what is to leave, as of a look at all partitions.
type backlog struct {
	at    time.Time
	bytes int64
	late  int64 // ms: the most that anything is older than its topic wants
}

// backlogLasts is for how long a look tells of the backlog: three times the default between looks. After that another broker may be at it.
const backlogLasts = 15 * time.Minute

func (m *metrics) behind(b backlog) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.backlog = b
}

// gauge makes a metric of the backlog.
func (m *metrics) gauge(now func() time.Time, name, help string, value func(backlog) float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.backlog.at.IsZero() || now().Sub(m.backlog.at) >= backlogLasts {
			return 0
		}
		return value(m.backlog)
	})
}

func newMetrics(reg prometheus.Registerer, now func() time.Time) *metrics {
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "runnel_retention_bytes_total",
		Help: "Bytes of records that this broker let go for all, by reason: time (retention.ms) or size (retention.bytes).",
	}, []string{"reason"})
	m := &metrics{
		runs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_retention_runs_total", Help: "Runs that this broker let go for all because of retention.ms or retention.bytes."}),
		byTime: bytes.WithLabelValues("time"), bySize: bytes.WithLabelValues("size"),
	}
	if reg != nil {
		reg.MustRegister(m.runs, bytes,
			m.gauge(now, "runnel_retention_due_bytes",
				"Bytes of records that retention.ms or retention.bytes want gone and that are not, on the broker that does it, as far as a round looks; 0 on others.",
				func(b backlog) float64 { return float64(b.bytes) }),
			m.gauge(now, "runnel_retention_lag_seconds",
				"How much older than retention.ms the records are that are latest to leave, on the broker that does it; 0 on others, and when all have left.",
				func(b backlog) float64 { return float64(b.late) / 1000 }))
	}
	return m
}
