package certs

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	expiry  *prometheus.GaugeVec
	reloads *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "runnel_certs_expiry_timestamp_seconds",
			Help: "When the certificate in force ends, or the first of those that are shown with it, in seconds since 1970.",
		}, []string{"use"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_certs_reloads_total",
			Help: "Changed files of certificates and keys, and whether they were taken or refused.",
		}, []string{"use", "result"}),
	}
	if reg != nil {
		reg.MustRegister(m.expiry, m.reloads)
	}
	return m
}
