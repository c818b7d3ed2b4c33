package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

// fixture is a Receiver with subscriptions that can be changed, at a time of its own.
type fixture struct {
	t         *testing.T
	r         *Receiver
	registry  *prometheus.Registry
	now       time.Time
	version   uint64
	resources map[string]map[string]string
}

func newFixture(t *testing.T, opts Options, resources map[string]map[string]string) *fixture {
	f := &fixture{t: t, registry: prometheus.NewRegistry(), now: time.UnixMilli(1_800_000_000_000), resources: resources}
	opts.Registerer, opts.Now = f.registry, func() time.Time { return f.now }
	f.r = New(Source{
		Version:   func() uint64 { return f.version },
		Resources: func() map[string]map[string]string { return f.resources },
	}, opts)
	return f
}

func (f *fixture) set(resources map[string]map[string]string) {
	f.resources = resources
	f.version++
}

func (f *fixture) subscribe(c Client) Asked {
	f.t.Helper()
	asked, err := f.r.Subscribe(f.now, c)
	if err != nil {
		f.t.Fatal(err)
	}
	return asked
}

func (f *fixture) push(c Client, asked Asked, metrics []byte) error {
	return f.r.Push(f.t.Context(), f.now, c, Push{SubscriptionID: asked.SubscriptionID, Metrics: metrics})
}

// shown are the lines about clients' metrics, without comments.
func (f *fixture) shown() (lines []string) {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			f.t.Fatal(err)
		}
	}
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, "kafka_client_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

var all = map[string]map[string]string{"all": {"metrics": "*", "interval.ms": "1000"}}

var javaClient = Client{Instance: uuid.UUID{7}, ID: "orders", Software: "apache-kafka-java", Version: "4.2.0", Address: "10.0.0.7", Port: "4711"}

func TestWithoutSubscriptionsClientsAreAskedForNothing(t *testing.T) {
	f := newFixture(t, Options{}, nil)
	asked := f.subscribe(Client{ID: "x"})
	if asked.Instance == uuid.Nil || len(asked.Metrics) != 0 || asked.Metrics == nil || asked.Interval != 5*time.Minute || asked.MaxBytes != 1<<20 {
		t.Errorf("%+v", asked)
	}
	again := f.subscribe(Client{ID: "x"})
	if again.Instance == asked.Instance {
		t.Error("two clients got one instance id")
	}
	_, err := f.r.Subscribe(f.now.Add(4*time.Minute), Client{Instance: asked.Instance})
	wantError(t, "asked again too early", err, ErrTooEarly)
	_, err = f.r.Subscribe(f.now.Add(5*time.Minute), Client{Instance: asked.Instance})
	wantError(t, "asked again in time", err, nil)
}

func TestSubscriptionsThatMatchAreAddedUp(t *testing.T) {
	f := newFixture(t, Options{}, map[string]map[string]string{
		"java":   {"metrics": "org.apache.kafka.producer., org.apache.kafka.consumer.", "interval.ms": "30000", "match": "client_software_name=apache-kafka-java,client_software_version=4\\..*"},
		"orders": {"metrics": "org.apache.kafka.producer.,a", "interval.ms": "60000", "match": "client_id=orders"},
		"other":  {"metrics": "never", "interval.ms": "100", "match": "client_id=order"}, // patterns match as a whole
		"port":   {"metrics": "port", "match": "client_source_port=47.*,client_source_address=10\\.0\\..*"},
		"empty":  {"metrics": ",", "match": "client_id=orders"},
		"newer":  {"metrics": "never", "match": "client_id=(?=of another version)"},
	})
	asked := f.subscribe(javaClient)
	if want := []string{"a", "org.apache.kafka.consumer.", "org.apache.kafka.producer.", "port"}; !slices.Equal(asked.Metrics, want) {
		t.Errorf("metrics %q, want %q", asked.Metrics, want)
	}
	if asked.Interval != 30*time.Second {
		t.Errorf("interval %v, want the shortest", asked.Interval)
	}
	other := newFixture(t, Options{}, f.resources).subscribe(javaClient)
	if other.SubscriptionID != asked.SubscriptionID {
		t.Error("another broker gives the subscription another id")
	}
	second := javaClient
	second.Instance = uuid.UUID{8}
	if f.subscribe(second).SubscriptionID == asked.SubscriptionID {
		t.Error("two clients have one subscription id")
	}
}

func TestPushesAreJudgedAsKafkaDoes(t *testing.T) {
	f := newFixture(t, Options{MaxBytes: 200}, all)
	c := javaClient
	wantError(t, "no instance", f.push(Client{}, Asked{}, nil), ErrReservedInstance)
	wantError(t, "reserved instance", f.push(Client{Instance: uuid.UUID{15: 1}}, Asked{}, nil), ErrReservedInstance)

	asked := f.subscribe(c)
	data := message(gauge("org.apache.kafka.a", 1))
	wantError(t, "the first may be early", f.push(c, asked, data), nil)
	wantError(t, "the second may not", f.push(c, asked, data), ErrTooEarly)
	_, err := f.r.Subscribe(f.now, c)
	wantError(t, "nor may a question", err, ErrTooEarly)
	f.now = f.now.Add(time.Second)
	wantError(t, "another subscription", f.push(c, Asked{SubscriptionID: asked.SubscriptionID + 1}, data), ErrUnknownSubscription)
	wantError(t, "which counts as a push", f.push(c, asked, data), ErrTooEarly)
	f.now = f.now.Add(time.Second)
	wantError(t, "another subscription again", f.push(c, Asked{}, data), ErrUnknownSubscription)
	asked = f.subscribe(c) // though it is early: it was told to ask

	f.now = f.now.Add(time.Second)
	wantError(t, "unknown codec", f.r.Push(t.Context(), f.now, c, Push{SubscriptionID: asked.SubscriptionID, Codec: 9, Metrics: data}), ErrUnsupportedCodec)
	f.now = f.now.Add(time.Second)
	wantError(t, "too large", f.push(c, asked, make([]byte, 201)), ErrTooLarge)
	f.now = f.now.Add(time.Second)
	wantError(t, "corrupt", f.push(c, asked, []byte{0xff}), ErrCorrupt)
	f.now = f.now.Add(time.Second)
	bomb := recordbatchtest.Compress(make([]byte, 8*200+1), recordbatch.Gzip, false)
	wantError(t, "too large when decompressed", f.r.Push(t.Context(), f.now, c, Push{SubscriptionID: asked.SubscriptionID, Codec: recordbatch.Gzip, Metrics: bomb}), ErrTooLarge)
	f.now = f.now.Add(time.Second)
	wantError(t, "nothing", f.push(c, asked, nil), nil)

	last := Push{SubscriptionID: asked.SubscriptionID, Terminating: true, Metrics: data}
	wantError(t, "the last may be early", f.r.Push(t.Context(), f.now, c, last), nil)
	f.now = f.now.Add(time.Second)
	wantError(t, "after the last", f.push(c, asked, data), ErrTerminated)
}

func TestClientsMayAskAtOnceWhenSubscriptionsChange(t *testing.T) {
	f := newFixture(t, Options{}, nil)
	first := f.subscribe(javaClient)
	f.set(map[string]map[string]string{"other": {"metrics": "a", "match": "client_id=other"}})
	_, err := f.r.Subscribe(f.now, javaClient)
	wantError(t, "what does not concern it", err, ErrTooEarly)
	f.set(all)
	second := f.subscribe(javaClient)
	if second.SubscriptionID == first.SubscriptionID || second.Interval != time.Second {
		t.Errorf("%+v", second)
	}
	wantError(t, "push for the subscription that was", f.push(javaClient, first, message(gauge("a", 1))), ErrUnknownSubscription)
}

func TestPushToABrokerThatWasNotAsked(t *testing.T) {
	asked := newFixture(t, Options{}, all).subscribe(javaClient)
	f := newFixture(t, Options{}, all)
	wantError(t, "push", f.push(javaClient, asked, message(gauge("org.apache.kafka.a.b", 2))), nil)
	if n := len(f.shown()); n != 1 {
		t.Errorf("%d series", n)
	}
}

func TestMetricsAreShownAsPrometheusMetrics(t *testing.T) {
	f := newFixture(t, Options{}, map[string]map[string]string{"s": {"metrics": "org.apache.kafka.producer.,x", "interval.ms": "1000"}})
	asked := f.subscribe(javaClient)
	resource := attributes(1, "client_rack", "a", "client_id", "not theirs to say", "9 lives", "yes")
	push := func(codec recordbatch.Codec, metrics ...[]byte) {
		t.Helper()
		b := message(append([][]byte{resource}, metrics...)...)
		err := f.r.Push(t.Context(), f.now, javaClient, Push{SubscriptionID: asked.SubscriptionID, Codec: codec, Metrics: recordbatchtest.Compress(b, codec, true)})
		if err != nil {
			t.Fatal(err)
		}
		f.now = f.now.Add(time.Second)
	}
	total := func(delta float64) []byte {
		return metricOf("org.apache.kafka.producer.record.send.total", 7, 1, true, value(delta, "topic", "a\"b"), value(2*delta, "topic", "c"))
	}
	push(recordbatch.None, total(5), gauge("org.apache.kafka.producer.record.queue.time.avg", 1.5), gauge("org.apache.kafka.consumer.lag", 3))
	push(recordbatch.Gzip, total(7), gauge("org.apache.kafka.producer.record.queue.time.avg", 2.5), gauge("x", math.NaN()))
	push(recordbatch.Snappy, metricOf("x.cumulative", 7, 2, true, value(9)), metricOf("x.down", 7, 1, false, value(4)), []byte{}, histogram("x.h"))
	push(recordbatch.LZ4, metricOf("x.cumulative", 7, 2, true, value(11)), metricOf("x.down", 7, 1, false, value(-1)), total(-100))
	push(recordbatch.Zstd, gauge("x.cumulative.total", 1)) // the name of a counter
	const who = `{_9_lives="yes",client_id="orders",client_instance_id="BwAAAAAAAAAAAAAAAAAAAA",client_rack="a",client_software_name="apache-kafka-java",client_software_version="4.2.0"`
	want := []string{
		`kafka_client_producer_record_queue_time_avg` + who + `} 2.5`,
		`kafka_client_producer_record_send_total` + who + `,topic="a\"b"} 12`,
		`kafka_client_producer_record_send_total` + who + `,topic="c"} 24`,
		`kafka_client_x_cumulative_total` + who + `} 11`,
		`kafka_client_x_down` + who + `} 3`,
	}
	if got := f.shown(); !slices.Equal(got, want) {
		t.Errorf("shown\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	f.now = f.now.Add(2 * time.Minute)
	if got := f.shown(); len(got) > 0 {
		t.Errorf("of a client that is gone: %q", got)
	}
	if len(f.r.series.names) > 0 || f.r.series.count != 0 || f.r.recent.Len() != 0 {
		t.Errorf("left over: %+v", f.r.series)
	}
}

func TestSeriesEndWhenTheClientTellsThemNoMore(t *testing.T) {
	f := newFixture(t, Options{}, map[string]map[string]string{"s": {"metrics": "*", "interval.ms": "30000"}})
	asked := f.subscribe(javaClient)
	for i, c := range []struct {
		metrics [][]byte
		want    []string
	}{
		{[][]byte{gauge("avg", 3), gauge("never", math.NaN()), metricOf("joined", 5, 0, false, value(1))}, []string{"avg 3", "joined 1"}},
		{[][]byte{gauge("avg", math.NaN()), metricOf("joined", 5, 0, false, value(2, "member", "m"))}, []string{"avg NaN", "joined 1", "joined 2"}},
		{[][]byte{gauge("avg", 4), metricOf("joined", 5, 0, false, value(3, "member", "m"))}, []string{"avg 4", "joined 1", "joined 3"}},
		{[][]byte{gauge("avg", math.Inf(1)), metricOf("joined", 5, 0, false, value(4, "member", "m"))}, []string{"avg +Inf", "joined 4"}},
	} {
		wantError(t, "push", f.push(javaClient, asked, message(c.metrics...)), nil)
		var got []string
		for _, line := range f.shown() {
			name, rest, _ := strings.Cut(strings.TrimPrefix(line, "kafka_client_"), "{")
			got = append(got, name+rest[strings.LastIndex(rest, "}")+1:])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("after push %d: %q, want %q", i, got, c.want)
		}
		f.now = f.now.Add(30 * time.Second)
	}
}

func TestWhatClientsCanMakeABrokerKeepIsBounded(t *testing.T) {
	f := newFixture(t, Options{MaxInstances: 10, MaxSeries: 5, MaxAllSeries: 12}, all)
	for i := range 30 {
		c := Client{Instance: uuid.UUID{1, byte(i)}, ID: strings.Repeat("\xffé", 1000), Software: strings.Repeat("s", 1000)}
		asked := f.subscribe(c)
		var metrics [][]byte
		for j := range 10 {
			metrics = append(metrics, metricOf(fmt.Sprint("m", i, "-", j, strings.Repeat("x", 500)), 5, 0, false, value(1, "k", strings.Repeat("v", 500))))
		}
		wantError(t, "push", f.push(c, asked, message(metrics...)), nil)
		lines := f.shown()
		if len(lines) > 12 || len(f.r.instances) > 10 || f.r.recent.Len() != len(f.r.instances) {
			t.Fatalf("%d series of %d clients", len(lines), len(f.r.instances))
		}
		for _, line := range lines {
			if len(line) > 1000 {
				t.Fatalf("line of %d bytes", len(line))
			}
		}
		own := f.r.instances[c.Instance].Value.(*instance)
		if len(own.series) > 5 {
			t.Fatalf("%d series of a client", len(own.series))
		}
	}
}

// What follows encodes OTLP metrics.

func sub(n protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), b)
}

func attributes(n protowire.Number, pairs ...string) (b []byte) {
	for i := 0; i+1 < len(pairs); i += 2 {
		b = append(b, sub(n, append(sub(1, []byte(pairs[i])), sub(2, sub(1, []byte(pairs[i+1])))...))...)
	}
	return b
}

func value(x float64, pairs ...string) []byte {
	b := protowire.AppendTag(nil, 4, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(x))
	return append(b, attributes(7, pairs...)...)
}

// metricOf is one of a kind (the field), with points that come before what says how to read them.
func metricOf(name string, kind protowire.Number, temporality uint64, monotonic bool, points ...[]byte) []byte {
	var data []byte
	for _, p := range points {
		data = append(data, sub(1, p)...)
	}
	data = protowire.AppendVarint(protowire.AppendTag(data, 2, protowire.VarintType), temporality)
	data = protowire.AppendVarint(protowire.AppendTag(data, 3, protowire.VarintType), protowire.EncodeBool(monotonic))
	return append(sub(kind, data), sub(1, []byte(name))...)
}

func gauge(name string, x float64) []byte { return metricOf(name, 5, 0, false, value(x)) }

func histogram(name string) []byte { return metricOf(name, 9, 0, false) }

// message is MetricsData of one resource; what begins with attributes of field 1 is the resource, which comes last.
func message(parts ...[]byte) []byte {
	var scope, resource []byte
	for _, p := range parts {
		if len(p) > 0 && p[0] == 1<<3|2 {
			resource = append(resource, p...)
			continue
		}
		scope = append(scope, sub(2, p)...)
	}
	return sub(1, append(sub(2, scope), sub(1, resource)...))
}

func FuzzDecodeMetrics(f *testing.F) {
	f.Add(message(gauge("a", 1), metricOf("b", 7, 1, true, value(1, "k", "v"), value(2)), histogram("c")))
	f.Add(message(attributes(1, "a", "b"), gauge("a", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		shown := 0
		err := decodeMetrics(b, func(p point) {
			shown++
			if len(p.attributes) > 2*maxAttributes {
				t.Errorf("%d attributes", len(p.attributes))
			}
			for _, a := range p.attributes {
				if len(a.key) > maxText || len(a.value) > maxText {
					t.Errorf("attribute %q %q", a.key, a.value)
				}
			}
		}, func() {})
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("error %v", err)
		}
		if shown > len(b) {
			t.Errorf("%d points in %d bytes", shown, len(b))
		}
	})
}

// FuzzPush looks for pushes, compressed or not, that a receiver does not survive.
func FuzzPush(f *testing.F) {
	metrics := message(attributes(1, "a", "b"), gauge("a", 1))
	for codec := recordbatch.None; codec <= recordbatch.Zstd; codec++ {
		f.Add(int8(codec), recordbatchtest.Compress(metrics, codec, false))
	}
	f.Add(int8(recordbatch.Snappy), recordbatchtest.Compress(metrics, recordbatch.Snappy, true))
	f.Fuzz(func(t *testing.T, codec int8, b []byte) {
		r := newFixture(t, Options{MaxBytes: 1 << 16}, map[string]map[string]string{"all": {"metrics": "*"}})
		c := Client{Instance: uuid.UUID{1}}
		err := r.r.Push(t.Context(), r.now, c, Push{SubscriptionID: r.subscribe(c).SubscriptionID, Codec: recordbatch.Codec(codec), Metrics: b})
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnsupportedCodec) {
			t.Errorf("error %v", err)
		}
	})
}
