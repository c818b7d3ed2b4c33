package zonecache

import "github.com/prometheus/client_golang/prometheus"

// What became of a request to another broker: the values of the label outcome.
const (
	askedAnswered  = "answered"
	askedOvertaken = "overtaken" // the bucket answered first
	askedRefused   = "refused"   // for now: it lends enough already, or could not load
	askedFailed    = "failed"
	askedTooMany   = "not_asked" // too many requests under way
)

// What became of a request of another broker: the values of the label outcome.
const (
	lentGiven   = "given"
	lentRefused = "refused" // too much at once
	lentFailed  = "failed"
)

type metrics struct {
	asked     *prometheus.CounterVec // by outcome
	seconds   prometheus.Histogram
	bytes     prometheus.Counter
	suspected prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_zonecache_asked_total",
			Help: "Requests for blocks to other brokers of the zone, by outcome: answered, overtaken (by the object store), refused, failed, not_asked."},
			[]string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_zonecache_ask_seconds", Help: "Time until another broker gave blocks, its load included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_zonecache_received_bytes_total", Help: "Bytes of blocks that other brokers gave."}),
		suspected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_zonecache_suspected_total", Help: "Times that another broker was not asked any more until it answers a ping."}),
	}
	for _, outcome := range []string{askedAnswered, askedOvertaken, askedRefused, askedFailed, askedTooMany} {
		m.asked.WithLabelValues(outcome)
	}
	if reg != nil {
		reg.MustRegister(m.asked, m.seconds, m.bytes, m.suspected)
	}
	return m
}

type lenderMetrics struct {
	lent  *prometheus.CounterVec // by outcome
	bytes prometheus.Counter
}

func newLenderMetrics(reg prometheus.Registerer) *lenderMetrics {
	m := &lenderMetrics{
		lent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_zonecache_lent_total", Help: "Requests for blocks from other brokers, by outcome: given, refused (too much at once), failed."},
			[]string{"outcome"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_zonecache_lent_bytes_total", Help: "Bytes of blocks given to other brokers."}),
	}
	for _, outcome := range []string{lentGiven, lentRefused, lentFailed} {
		m.lent.WithLabelValues(outcome)
	}
	if reg != nil {
		reg.MustRegister(m.lent, m.bytes)
	}
	return m
}
