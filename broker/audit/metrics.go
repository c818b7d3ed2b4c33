package audit

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	written, left *prometheus.CounterVec
	lost          prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		written: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_audit_events_total", Help: "Audit events that were written.",
		}, []string{"kind"}),
		left: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_audit_events_left_out_total", Help: "Audit events that were left out, because there were more than audit.rate or more than could be written.",
		}, []string{"kind"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_audit_events_lost_total", Help: "Audit events that could not be written.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.written, m.left, m.lost)
	}
	return m
}
