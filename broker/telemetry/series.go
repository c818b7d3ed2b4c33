package telemetry

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxText is how many bytes of a client's texts are kept.
	maxText = 128
	// maxNames is how many metrics there may be, of all clients.
	maxNames = 1000
	// maxLabels is how many labels a series has, beside those that say whose it is.
	maxLabels = 8
)

// bounded cuts a text of a client to what a label may hold.
func bounded(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "")
}

// series is a metric of a client with some labels: the latest value of a gauge, the sum so far of a counter.
type series struct {
	name   *seriesName
	desc   *prometheus.Desc
	labels []string // values
	value  float64
	at     time.Time // of the push that it was in last
}

// seriesName is a metric. All series of a metric must be of one type, or the broker's metrics as a whole could not be read.
type seriesName struct {
	name string
	kind prometheus.ValueType
	refs int
}

type seriesTable struct {
	names map[string]*seriesName
	count int
}

func (t *seriesTable) remove(s *series) {
	t.count--
	if s.name.refs--; s.name.refs == 0 {
		delete(t.names, s.name.name)
	}
}

// The labels that say whose a series is.
var identity = []string{"client_instance_id", "client_id", "client_software_name", "client_software_version"}

// keep puts a point into its series. Clients say NaN where they have nothing to tell: what they told before is over then, and
// there is no series for what they never told.
func (r *Receiver) keep(in *instance, now time.Time, p *point) {
	kind, name := prometheus.GaugeValue, metricName(p.name)
	if p.sum && p.monotonic {
		kind, name = prometheus.CounterValue, strings.TrimSuffix(name, "_total")+"_total"
	}
	names, values := labels(p.attributes)
	key := name + "\xff" + strings.Join(names, "\xff") + "\xff" + strings.Join(values, "\xff")
	s, ok := in.series[key]
	if math.IsNaN(p.value) && (!ok || kind == prometheus.CounterValue) {
		r.metrics.drop(dropNumber)
		return
	}
	if !ok {
		if s = r.newSeries(in, kind, name, names, values); s == nil {
			r.metrics.drop(dropLimit)
			return
		}
		if in.series == nil {
			in.series = make(map[string]*series)
		}
		in.series[key] = s
	}
	if s.name.kind != kind {
		r.metrics.drop(dropType)
		return
	}
	s.at = now
	switch {
	case !p.sum || !p.delta:
		s.value = p.value
	case p.value >= 0 || kind == prometheus.GaugeValue:
		s.value += p.value
	}
}

// retire forgets the series that the client has not told for three intervals: it has other labels for them now, such as the
// member id of a consumer that joined, or nothing.
func (r *Receiver) retire(in *instance, now time.Time) {
	for key, s := range in.series {
		if now.Sub(s.at) >= in.lifetime() {
			delete(in.series, key)
			r.series.remove(s)
		}
	}
}

// newSeries is nil if there are too many, or the name is that of another type.
func (r *Receiver) newSeries(in *instance, kind prometheus.ValueType, name string, names, values []string) *series {
	if len(in.series) >= r.opts.MaxSeries || r.series.count >= r.opts.MaxAllSeries {
		return nil
	}
	known, ok := r.series.names[name]
	switch {
	case ok && known.kind != kind, !ok && len(r.series.names) >= maxNames:
		return nil
	case !ok:
		known = &seriesName{name: name, kind: kind}
		r.series.names[name] = known
	}
	known.refs++
	r.series.count++
	c := &in.client
	return &series{
		name: known, desc: prometheus.NewDesc(name, "Pushed by clients (KIP-714).", slices.Concat(identity, names), nil),
		labels: slices.Concat([]string{instanceText(c.Instance), c.ID, c.Software, c.Version}, values),
	}
}

// labels are attributes as labels, sorted by name. Of two of one name the last counts; those that say whose a series is are
// ours.
func labels(attributes []attribute) (names, values []string) {
	for i := len(attributes) - 1; i >= 0 && len(names) < maxLabels; i-- {
		name := labelName(attributes[i].key)
		if slices.Contains(identity, name) {
			continue
		}
		at, twice := slices.BinarySearch(names, name)
		if twice {
			continue
		}
		names, values = slices.Insert(names, at, name), slices.Insert(values, at, attributes[i].value)
	}
	return names, values
}

// metricName makes kafka_client_producer_record_send_rate of org.apache.kafka.producer.record.send.rate.
func metricName(name string) string {
	return "kafka_client_" + plain(strings.TrimPrefix(name, "org.apache.kafka."))
}

func labelName(key string) string {
	name := strings.TrimLeft(plain(key), "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

// plain replaces what a name of Prometheus' cannot have.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name[:min(len(name), maxText)])
}
