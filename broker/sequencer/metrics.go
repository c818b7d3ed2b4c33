package sequencer

import "github.com/prometheus/client_golang/prometheus"

// How a commit was made: the values of the label path.
const (
	pathHolder    = "holder"     // of this broker, which holds the role
	pathSequencer = "sequencer"  // of this broker, by the broker that holds the role
	pathDirect    = "direct"     // of this broker, which does not hold the role, appended by itself
	pathForOthers = "for_others" // of another broker, by this one
)

type metrics struct {
	commits    *prometheus.CounterVec // by path
	txns       *prometheus.CounterVec // by path
	mergedTxns prometheus.Histogram
	bypassed   prometheus.Counter
	merged     prometheus.Histogram
	askSeconds prometheus.Histogram
	pushed     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Sequencer) *metrics {
	m := &metrics{
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_sequencer_commits_total", Help: "Commits asked for, by path: holder, sequencer, direct, for_others."}, []string{"path"}),
		txns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_sequencer_transaction_requests_total", Help: "Requests of transactional producers, by path: holder, sequencer, direct, for_others."}, []string{"path"}),
		mergedTxns: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_sequencer_merged_transaction_requests", Help: "Requests of transactional producers that were decided on together.", Buckets: prometheus.ExponentialBuckets(1, 2, 8)}),
		bypassed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_sequencer_bypassed_total", Help: "Commits and requests of transactional producers that the sequencer did not answer, and that were appended directly."}),
		merged: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_sequencer_merged_commits", Help: "Commits that went into one append.", Buckets: prometheus.ExponentialBuckets(1, 2, 8)}),
		askSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_sequencer_ask_seconds", Help: "Time until the sequencer answered a commit or a request of a transactional producer.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 12)}),
		pushed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_sequencer_entries_received_total", Help: "Entries of the commit log that the sequencer sent."}),
	}
	for _, path := range []string{pathHolder, pathSequencer, pathDirect, pathForOthers} {
		m.commits.WithLabelValues(path)
		m.txns.WithLabelValues(path)
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.commits, m.txns, m.mergedTxns, m.bypassed, m.merged, m.askSeconds, m.pushed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_sequencer_held", Help: "1 if this broker holds the role of the sequencer."}, func() float64 {
		if s.known().held {
			return 1
		}
		return 0
	}))
	return m
}
