package lifecycle

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	rounds  *prometheus.CounterVec
	seconds *prometheus.CounterVec
	failing *prometheus.GaugeVec
}

// taskMetrics are those of one task.
type taskMetrics struct {
	ok, failed, cut prometheus.Counter
	seconds         prometheus.Counter
	failing         prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, l *Lifecycle) *metrics {
	m := &metrics{
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_lifecycle_rounds_total",
			Help: "Rounds of tasks that look after stored data, by task and outcome: ok, failed, or cut because the lease may have been lost or the broker stops.",
		}, []string{"task", "outcome"}),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_lifecycle_seconds_total", Help: "Time that rounds of a task took.",
		}, []string{"task"}),
		failing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "runnel_lifecycle_failing", Help: "Rounds of a task that failed one after the other; 0 if the last one did not.",
		}, []string{"task"}),
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.rounds, m.seconds, m.failing, holdings{l})
	return m
}

// holdings tell which tasks a broker has: leases run out by themselves, so they are looked at when somebody asks.
type holdings struct{ l *Lifecycle }

var holding = prometheus.NewDesc("runnel_lifecycle_held", "1 if this broker does the task for all.", []string{"task"}, nil)

// Describe implements prometheus.Collector.
func (h holdings) Describe(to chan<- *prometheus.Desc) { to <- holding }

// Collect implements prometheus.Collector.
func (h holdings) Collect(to chan<- prometheus.Metric) {
	for _, d := range h.l.tasks {
		value := 0.0
		if _, held := d.lease.Held(); held {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(holding, prometheus.GaugeValue, value, d.task.Name)
	}
}

func (m *metrics) of(task string) taskMetrics {
	return taskMetrics{
		ok: m.rounds.WithLabelValues(task, "ok"), failed: m.rounds.WithLabelValues(task, "failed"), cut: m.rounds.WithLabelValues(task, "cut"),
		seconds: m.seconds.WithLabelValues(task), failing: m.failing.WithLabelValues(task),
	}
}
