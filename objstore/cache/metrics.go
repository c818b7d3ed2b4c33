package cache

import "github.com/prometheus/client_golang/prometheus"

// Stats are counts since New, except Bytes and CopyBytes.
type Stats struct {
	Hits      int64 // blocks found in the cache
	Misses    int64 // blocks loaded
	Joined    int64 // blocks that another Read was loading already
	FromPeers int64 // blocks that their owners gave
	Gets      int64 // GETs sent to the store
	GetBytes  int64 // bytes they returned
	Failures  int64 // GETs that failed
	Dropped   int64 // Prefetches cut short by their bound
	Forgotten int64 // objects whose bytes were wrong
	Bytes     int64 // held now, overhead included
	CopyBytes int64 // of them, of blocks that belong to other caches
}

// Stats returns the counts. They are read one by one, not at one instant.
func (c *Cache) Stats() Stats {
	s := Stats{
		Hits:      c.hits.Load(),
		Misses:    c.misses.Load(),
		Joined:    c.joined.Load(),
		FromPeers: c.fromPeers.Load(),
		Gets:      c.gets.Load(),
		GetBytes:  c.getBytes.Load(),
		Failures:  c.failures.Load(),
		Dropped:   c.dropped.Load(),
		Forgotten: c.forgotten.Load(),
		Bytes:     int64(c.own.WeightedSize()),
	}
	if c.copies != nil {
		s.CopyBytes = int64(c.copies.WeightedSize())
		s.Bytes += s.CopyBytes
	}
	return s
}

// metrics shows Stats to Prometheus.
type metrics struct {
	cache *Cache

	blocks, peerBlocks, gets, getBytes, failures, dropped, forgotten, held *prometheus.Desc
}

func newMetrics(c *Cache) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("runnel_cache_"+name, help, labels, nil)
	}
	return &metrics{
		cache:      c,
		blocks:     desc("blocks_total", "Blocks that reads needed, by found: hit, joined (being loaded already), miss.", "found"),
		peerBlocks: desc("peer_blocks_total", "Blocks that their owners in the zone gave."),
		gets:       desc("gets_total", "Loads of blocks from the object store. A second GET beside a late one does not count."),
		getBytes:   desc("get_bytes_total", "Bytes of blocks that the object store returned."),
		failures:   desc("get_failures_total", "Loads of blocks from the object store that failed."),
		dropped:    desc("prefetch_dropped_total", "Prefetches cut short by the bound of what they have in flight."),
		forgotten:  desc("forgotten_total", "Objects dropped because their bytes were not what the commit log tells of."),
		held:       desc("held_bytes", "Memory of blocks, by share: own, copies (of blocks that belong to other brokers).", "share"),
	}
}

func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.blocks, m.peerBlocks, m.gets, m.getBytes, m.failures, m.dropped, m.forgotten, m.held} {
		to <- d
	}
}

func (m *metrics) Collect(to chan<- prometheus.Metric) {
	s := m.cache.Stats()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, float64(v), labels...)
	}
	send(m.blocks, prometheus.CounterValue, s.Hits, "hit")
	send(m.blocks, prometheus.CounterValue, s.Joined, "joined")
	send(m.blocks, prometheus.CounterValue, s.Misses, "miss")
	send(m.peerBlocks, prometheus.CounterValue, s.FromPeers)
	send(m.gets, prometheus.CounterValue, s.Gets)
	send(m.getBytes, prometheus.CounterValue, s.GetBytes)
	send(m.failures, prometheus.CounterValue, s.Failures)
	send(m.dropped, prometheus.CounterValue, s.Dropped)
	send(m.forgotten, prometheus.CounterValue, s.Forgotten)
	send(m.held, prometheus.GaugeValue, s.Bytes-s.CopyBytes, "own")
	send(m.held, prometheus.GaugeValue, s.CopyBytes, "copies")
}
