package index

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	written *prometheus.CounterVec
	deleted prometheus.Counter
	time    prometheus.Gauge
	bytes   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		written: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_index_written_total", Help: "Index objects, the copies in the bucket of what the metastore knows, by outcome: ok, failed."}, []string{"outcome"}),
		deleted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_index_deleted_total", Help: "Index objects deleted because newer ones say more."}),
		time: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_index_newest_timestamp_seconds", Help: "When the state in the newest index object was taken, as this broker saw it when it held the role; 0: it never did."}),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_index_newest_bytes", Help: "Size of the newest index object, as this broker saw it when it held the role."}),
	}
	for _, outcome := range []string{"ok", "failed"} {
		m.written.WithLabelValues(outcome)
	}
	if reg != nil {
		reg.MustRegister(m.written, m.deleted, m.time, m.bytes)
	}
	return m
}

func (m *metrics) newest(f *Found) {
	m.time.Set(float64(f.Written.UnixMilli()) / 1000)
	m.bytes.Set(float64(f.Size))
}
