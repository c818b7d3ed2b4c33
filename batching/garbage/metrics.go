package garbage

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	garbage, orphans deletions
	found            prometheus.Counter
	foreign          prometheus.Gauge
	position         prometheus.Gauge
	swepts           prometheus.Counter
	sweptAt          prometheus.Gauge
}

// deletions counts those for one reason.
type deletions struct {
	reason                  string
	objects, bytes, refused prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, log Log, now func() time.Time) *metrics {
	objects := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "runnel_garbage_deleted_objects_total",
		Help: "Objects that this broker deleted, by reason: garbage (nothing names them any more) or orphan (nothing ever did).",
	}, []string{"reason"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "runnel_garbage_deleted_bytes_total", Help: "Bytes of the objects that this broker deleted, by reason.",
	}, []string{"reason"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "runnel_garbage_refused_objects_total",
		Help: "Objects that the object store refused to delete (locked, on hold, forbidden), by reason, each time that it was asked. They are put off: garbage for another grace, orphans until the next sweep.",
	}, []string{"reason"})
	of := func(reason string) deletions {
		return deletions{reason, objects.WithLabelValues(reason), bytes.WithLabelValues(reason), refused.WithLabelValues(reason)}
	}
	m := &metrics{
		garbage: of("garbage"), orphans: of("orphan"),
		found: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_garbage_orphans_found_total", Help: "Orphans that this broker found in the bucket."}),
		foreign: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_garbage_foreign_objects", Help: "Objects under t0/ and t1/ that are no segments by their names, as of the last whole sweep of this broker. They are left alone."}),
		position: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_garbage_sweep_ratio", Help: "How much of the bucket the sweep under way has looked through, 0 to 1; 0 between sweeps."}),
		swepts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_garbage_sweeps_total", Help: "Whole sweeps of the bucket by this broker."}),
		sweptAt: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_garbage_swept_timestamp_seconds", Help: "When this broker last finished a sweep, in seconds since 1970; 0: never."}),
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(objects, bytes, refused, m.found, m.foreign, m.position, m.swepts, m.sweptAt,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_garbage_objects", Help: "Objects that nothing names any more and that are not deleted yet.",
		}, func() float64 {
			objects, _ := log.GarbageTotal()
			return float64(objects)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_garbage_bytes", Help: "Bytes of the objects that nothing names any more and that are not deleted yet.",
		}, func() float64 {
			_, bytes := log.GarbageTotal()
			return float64(bytes)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_garbage_oldest_seconds", Help: "How long ago the oldest of the objects became garbage; 0 if there is none. Garbage goes after its grace (garbage.grace).",
		}, func() float64 {
			if oldest := log.Garbage(1); len(oldest) > 0 {
				return max(now().Sub(oldest[0].Since), 0).Seconds()
			}
			return 0
		}))
	return m
}

// swept notes the end of a sweep.
func (m *metrics) swept(seen counts) {
	m.foreign.Set(float64(seen.foreign))
	m.swepts.Inc()
	m.sweptAt.SetToCurrentTime()
}
