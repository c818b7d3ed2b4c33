package wire

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	connections prometheus.Gauge
	strangers   prometheus.Gauge
	requests    *prometheus.CounterVec   // api
	seconds     *prometheus.HistogramVec // api
	bytesIn     prometheus.Counter
	bytesOut    prometheus.Counter
	errors      *prometheus.CounterVec // reason
}

// served is a Route, with its metrics: to find them by their label takes longer than to count.
type served struct {
	Route
	once     sync.Once // not before the first request: what nobody asks for is not shown
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// in returns r with its metrics.
func (r *served) in(m *metrics) *served {
	r.once.Do(func() { r.requests, r.seconds = m.requests.WithLabelValues(r.Name), m.seconds.WithLabelValues(r.Name) })
	return r
}

func newMetrics(reg prometheus.Registerer, frames *frames) *metrics {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_wire_connections", Help: "Open client connections.",
		}),
		strangers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_wire_unauthenticated_connections", Help: "Open client connections whose peer has not authenticated yet, or not shaken hands.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_wire_requests_total", Help: "Requests decoded, by API.",
		}, []string{"api"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "runnel_wire_request_seconds",
			Help:    "Time from the last byte of a request to the last byte of its answer handed to the kernel.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, []string{"api"}),
		bytesIn: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_wire_received_bytes_total", Help: "Bytes of the frames received.",
		}),
		bytesOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_wire_sent_bytes_total", Help: "Bytes of the frames sent.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_wire_errors_total", Help: "Connections closed by the broker for a fault, by reason.",
		}, []string{"reason"}),
	}
	if reg != nil {
		reg.MustRegister(m.connections, m.strangers, m.requests, m.seconds, m.bytesIn, m.bytesOut, m.errors,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "runnel_wire_idle_frame_bytes", Help: "Memory that lies ready for the frames of Produce requests.",
			}, func() float64 { return float64(frames.bytes()) }))
	}
	return m
}
