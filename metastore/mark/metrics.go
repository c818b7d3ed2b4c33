package mark

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	written *prometheus.CounterVec
	deleted prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, k *Keeper) *metrics {
	m := &metrics{
		written: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_mark_written_total", Help: "Marks in the bucket of how far the commit log is, by outcome: ok, failed."}, []string{"outcome"}),
		deleted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_mark_deleted_total", Help: "Marks deleted because newer ones say more."}),
	}
	for _, outcome := range []string{"ok", "failed"} {
		m.written.WithLabelValues(outcome)
	}
	if reg != nil {
		reg.MustRegister(m.written, m.deleted, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_mark_unmarked_entries", Help: "Entries of the commit log that this broker has folded since its last mark."}, k.unmarkedEntries))
	}
	return m
}

func (k *Keeper) unmarkedEntries() float64 {
	at := k.folded.Position().Seq
	if marked := k.marked.Load(); marked != nil {
		at -= marked.Seq
	}
	return float64(at)
}
