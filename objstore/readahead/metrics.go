package readahead

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	loaded, served, wasted prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, p *Pool) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "runnel_readahead_" + name, Help: help})
	}
	m := &metrics{
		loaded: counter("loaded_bytes_total", "Bytes read from the object store for catch-up reads."),
		served: counter("served_bytes_total", "Bytes of them given to readers, some more than once."),
		wasted: counter("wasted_bytes_total", "Bytes that were loaded and evicted before anybody read them, gaps between ranges among them."),
	}
	if reg != nil {
		reg.MustRegister(m.loaded, m.served, m.wasted, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_readahead_bytes", Help: "Memory of the read-ahead pool."}, func() float64 { return float64(p.Bytes()) }))
	}
	return m
}
