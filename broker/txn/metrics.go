package txn

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	aborted   prometheus.Counter
	forgotten prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, r *Reaper) *metrics {
	m := &metrics{
		aborted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_txn_timed_out_total", Help: "Transactions that this broker aborted because they were past their time-out."}),
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_txn_forgotten_total", Help: "Transactional ids that this broker removed because nobody had used them for long."}),
	}
	if reg != nil {
		reg.MustRegister(m.aborted, m.forgotten, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_txn_reaper_held", Help: "1 if this broker aborts transactions past their time-out for all."}, func() float64 {
			if _, held := r.Held(); held {
				return 1
			}
			return 0
		}))
	}
	return m
}
