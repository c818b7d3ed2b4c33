package quota

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	seconds *prometheus.CounterVec // kind
	times   *prometheus.CounterVec // kind
	refused *prometheus.CounterVec // reason
}

func newMetrics(reg prometheus.Registerer, l *Limiter) *metrics {
	m := &metrics{
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_quota_throttled_seconds_total", Help: "For how long clients were told to wait, by what the quota limits.",
		}, []string{"quota"}),
		times: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_quota_throttled_requests_total", Help: "Requests whose clients were told to wait, by what the quota limits.",
		}, []string{"quota"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_quota_connections_total", Help: "Connections that were not accepted at once, by what became of them: delayed, too_many_per_ip, ip_rate.",
		}, []string{"outcome"}),
	}
	for k := range kinds {
		m.seconds.WithLabelValues(k.String())
		m.times.WithLabelValues(k.String())
	}
	if reg != nil {
		reg.MustRegister(m.seconds, m.times, m.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_quota_accounts", Help: "Users, client ids and pairs of them whose rates are measured.",
		}, func() float64 {
			n := 0
			for _, t := range l.tables {
				n += t.len()
			}
			return float64(n)
		}))
	}
	return m
}

func (m *metrics) throttled(kind Kind, wait time.Duration) {
	m.seconds.WithLabelValues(kind.String()).Add(wait.Seconds())
	m.times.WithLabelValues(kind.String()).Inc()
}
