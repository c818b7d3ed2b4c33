package acl

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	denied     *prometheus.CounterVec
	built      prometheus.Histogram
	unreadable prometheus.Counter // of candidates
}

func newMetrics(reg prometheus.Registerer, l *Live) *metrics {
	m := &metrics{
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_acl_shadow_denials_total", Help: "What was allowed and access rules would deny, by whether they are those in force (authorizer: shadow) or a candidate (authorizer_shadow_rules)."},
			[]string{"rules", "resource", "operation"}),
		built: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_acl_index_seconds", Help: "Time to make the index of access rules anew after a change.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}),
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_acl_candidate_failures_total", Help: "Changes of the file of candidate rules that could not be read; the rules before them stay."}),
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.denied, m.built, m.unreadable, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_acl_rules", Help: "Access rules that this broker knows."}, func() float64 {
		return float64(l.index().Len())
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_acl_unreadable_rules", Help: "Access rules that this version cannot read: what they may deny is denied, what they allow is not allowed."}, func() float64 {
		return float64(l.latest().unreadable)
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_acl_candidate_rules", Help: "Candidate rules that are evaluated beside those in force."}, func() float64 {
		if x := l.candidate.Load(); x != nil {
			return float64(x.Len())
		}
		return 0
	}))
	return m
}

// CandidateFailed counts that new candidates could not be read.
func (l *Live) CandidateFailed() { l.metrics.unreadable.Inc() }
