package retention

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	runs           prometheus.Counter
	byTime, bySize prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
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
		reg.MustRegister(m.runs, bytes)
	}
	return m
}
