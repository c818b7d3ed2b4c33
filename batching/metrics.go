package batching

import "github.com/prometheus/client_golang/prometheus"

// sealReason says why a segment was sealed.
type sealReason string

const (
	sealBytes   sealReason = "bytes"
	sealRuns    sealReason = "runs"
	sealRecords sealReason = "records"
	sealAge     sealReason = "age"     // the window is over, or a batch has waited for its longest
	sealStalled sealReason = "stalled" // producers wait for us
	sealClose   sealReason = "close"
)

type metrics struct {
	sealed         *prometheus.CounterVec // by reason
	failed         *prometheus.CounterVec // by outcome
	segmentBytes   prometheus.Histogram
	putSeconds     prometheus.Histogram
	putRetries     prometheus.Counter
	hedges         prometheus.Counter
	hedgesWon      prometheus.Counter
	commitSeconds  prometheus.Histogram
	commitSegments prometheus.Histogram
	commitRetries  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, w *Writer) *metrics {
	seconds := prometheus.ExponentialBuckets(0.0005, 2, 17) // 0.5 ms to 33 s
	m := &metrics{
		sealed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_batching_segments_sealed_total", Help: "Segments sealed, by reason."}, []string{"reason"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_batching_segments_failed_total", Help: "Segments not committed: refused, or of unknown outcome."}, []string{"outcome"}),
		segmentBytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_batching_segment_bytes", Help: "Bytes of batches per sealed segment.",
			Buckets: prometheus.ExponentialBuckets(1024, 4, 9)}),
		putSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_batching_put_seconds", Help: "Time to upload a segment, attempts that failed included.", Buckets: seconds}),
		putRetries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_batching_put_retries_total", Help: "Uploads tried again."}),
		hedges: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_batching_put_hedges_total", Help: "Second PUTs of an object beside one that was late."}),
		hedgesWon: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_batching_put_hedges_won_total", Help: "Second PUTs that were faster than the first."}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_batching_commit_seconds", Help: "Time to commit a group of segments, attempts that failed included.", Buckets: seconds}),
		commitSegments: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runnel_batching_commit_segments", Help: "Segments per commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 8)}),
		commitRetries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_batching_commit_retries_total", Help: "Commits asked for again."}),
	}
	for _, reason := range []sealReason{sealBytes, sealRuns, sealRecords, sealAge, sealStalled, sealClose} {
		m.sealed.WithLabelValues(string(reason))
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.sealed, m.failed, m.segmentBytes, m.putSeconds, m.putRetries, m.hedges, m.hedgesWon, m.commitSeconds, m.commitSegments,
		m.commitRetries,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_batching_buffered_bytes", Help: "Bytes of batches appended and not yet answered."}, func() float64 {
			w.mu.Lock()
			defer w.mu.Unlock()
			return float64(w.buffered)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_batching_uploads", Help: "Segments being uploaded."}, func() float64 {
			w.mu.Lock()
			defer w.mu.Unlock()
			return float64(w.uploading)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_batching_recent_bytes", Help: "Memory of recent segments."}, func() float64 {
			cost, _, _ := w.recent.stats()
			return float64(cost)
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "runnel_batching_recent_hits_total", Help: "Runs read from recent segments."}, func() float64 {
			_, hits, _ := w.recent.stats()
			return float64(hits)
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "runnel_batching_recent_misses_total", Help: "Runs not found in recent segments."}, func() float64 {
			_, _, misses := w.recent.stats()
			return float64(misses)
		}))
	return m
}
