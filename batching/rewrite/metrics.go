package rewrite

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	read, written prometheus.Counter
	gets, objects prometheus.Counter
	parts         *prometheus.CounterVec // by outcome
	corrupt       prometheus.Counter
}

// outcome is what became of a part.
type outcome string

const (
	replaced outcome = "replaced"
	refused  outcome = "refused"
	failed   outcome = "failed"
)

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		read: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_rewrite_read_bytes_total", Help: "Bytes of segments read to be written again, gaps between runs among them."}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_rewrite_written_bytes_total", Help: "Bytes of segments of tier 1 stored."}),
		gets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_rewrite_gets_total", Help: "Reads of segments that were tried."}),
		objects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_rewrite_objects_total", Help: "Segments of tier 1 stored."}),
		parts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_rewrite_parts_total",
			Help: "Stretches of partitions rewritten, by outcome: replaced, refused (they had changed meanwhile), failed (corrupt, or of a job that failed)."}, []string{"outcome"}),
		corrupt: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_rewrite_corrupt_runs_total", Help: "Runs met that do not hold what the commit log says of them."}),
	}
	for _, o := range []outcome{replaced, refused, failed} {
		m.parts.WithLabelValues(string(o))
	}
	if reg != nil {
		reg.MustRegister(m.read, m.written, m.gets, m.objects, m.parts, m.corrupt)
	}
	return m
}

// counts are those of one job.
type counts struct{ read, gets, written, objects atomic.Int64 }
