package telemetry

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Why points are not kept.
const (
	dropUnasked = "unasked"
	dropLimit   = "limit"
	dropType    = "type"
	dropNumber  = "not_a_number"
)

type metrics struct {
	pushes  *prometheus.CounterVec // outcome
	dropped *prometheus.CounterVec // reason
}

func newMetrics(reg prometheus.Registerer, r *Receiver) metrics {
	m := metrics{
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_telemetry_pushes_total", Help: "Pushes of clients' metrics, by outcome: kept, early, unknown_subscription, too_large, corrupt, refused.",
		}, []string{"outcome"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_telemetry_dropped_total",
			Help: "Values in pushes that were not kept, by reason: unasked, limit (too many series), type (neither gauge nor sum, or not that of the metric), not_a_number.",
		}, []string{"reason"}),
	}
	if reg != nil {
		number := func(of func() int) func() float64 {
			return func() float64 {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.expire(r.opts.Now())
				return float64(of())
			}
		}
		reg.MustRegister(m.pushes, m.dropped, &collector{r},
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "runnel_telemetry_instances", Help: "Clients that asked what to push, or pushed, and are remembered.",
			}, number(func() int { return len(r.instances) })),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "runnel_telemetry_series", Help: "Series of metrics that clients pushed: kafka_client_...",
			}, number(func() int { return r.series.count })))
	}
	return m
}

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }

func outcome(err error) string {
	switch {
	case err == nil:
		return "kept"
	case errors.Is(err, ErrTooEarly):
		return "early"
	case errors.Is(err, ErrUnknownSubscription):
		return "unknown_subscription"
	case errors.Is(err, ErrTooLarge):
		return "too_large"
	case errors.Is(err, ErrCorrupt):
		return "corrupt"
	}
	return "refused"
}

// collector shows what clients pushed. It is unchecked, in Prometheus' terms, as nobody knows what that will be; what could
// contradict is not kept in the first place.
type collector struct{ *Receiver }

// Describe implements prometheus.Collector.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.all() {
		to <- m
	}
}

// all is in one go, so that the lock is not held while somebody reads.
func (c *collector) all() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(c.opts.Now())
	all := make([]prometheus.Metric, 0, c.series.count)
	for place := c.recent.Front(); place != nil; place = place.Next() {
		for _, s := range place.Value.(*instance).series {
			if m, err := prometheus.NewConstMetric(s.desc, s.name.kind, s.value, s.labels...); err == nil {
				all = append(all, m)
			}
		}
	}
	return all
}
