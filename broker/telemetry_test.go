package broker

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/telemetry"
)

// oneGauge is OTLP: the gauge a.b with the value 1.
var oneGauge = []byte("\x0a\x18\x12\x16\x12\x14\x0a\x03a.b\x2a\x0d\x0a\x0b\x21\x00\x00\x00\x00\x00\x00\xf0\x3f\x48\x00")

func subscribe(h *harness, instance [16]byte) *kmsg.GetTelemetrySubscriptionsResponse {
	h.t.Helper()
	req := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
	req.ClientInstanceID = instance
	return ask[*kmsg.GetTelemetrySubscriptionsResponse](h, 0, req)
}

func TestClientsAreAskedForNoMetricsByDefault(t *testing.T) {
	h := newHarness(t, nil, 0)
	asked := subscribe(h, [16]byte{})
	equal(t, "error", asked.ErrorCode, 0)
	equal(t, "there is an instance id", asked.ClientInstanceID != [16]byte{}, true)
	equal(t, "metrics", len(asked.RequestedMetrics), 0)
	equal(t, "interval", asked.PushIntervalMillis, 300_000)
	equal(t, "most bytes", asked.TelemetryMaxBytes, 1<<20)
	equal(t, "delta temporality", asked.DeltaTemporality, true)
	if want := []int8{4, 3, 1, 2}; !slices.Equal(asked.AcceptedCompressionTypes, want) {
		t.Errorf("codecs %v, want %v", asked.AcceptedCompressionTypes, want)
	}
	early := subscribe(h, asked.ClientInstanceID)
	equal(t, "asked again", early.ErrorCode, kerr.ThrottlingQuotaExceeded.Code)
}

func TestClientsPushMetrics(t *testing.T) {
	h := newHarness(t, nil, 0)
	registry := prometheus.NewRegistry()
	h.broker.Telemetry = telemetry.New(telemetry.Source{Resources: func() map[string]map[string]string {
		return map[string]map[string]string{"s": {"metrics": "*", "interval.ms": "60000", "match": "client_software_name=teller,client_source_address=127.*,client_source_port=\\d+"}}
	}}, telemetry.Options{Registerer: registry})
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "teller", "1"
	ask[*kmsg.ApiVersionsResponse](h, 3, versions)
	asked := subscribe(h, [16]byte{})
	equal(t, "interval", asked.PushIntervalMillis, 60_000)
	push := func(change func(*kmsg.PushTelemetryRequest)) int16 {
		t.Helper()
		req := kmsg.NewPtrPushTelemetryRequest()
		req.ClientInstanceID, req.SubscriptionID, req.Metrics = asked.ClientInstanceID, asked.SubscriptionID, oneGauge
		change(req)
		return ask[*kmsg.PushTelemetryResponse](h, 0, req).ErrorCode
	}
	later := time.Now()
	h.broker.Now = func() time.Time { return later }
	for _, c := range []struct {
		name   string
		change func(*kmsg.PushTelemetryRequest)
		want   *kerr.Error
	}{
		{"no instance", func(r *kmsg.PushTelemetryRequest) { r.ClientInstanceID = [16]byte{} }, kerr.InvalidRequest},
		{"good", func(*kmsg.PushTelemetryRequest) {}, nil},
		{"other subscription", func(r *kmsg.PushTelemetryRequest) { r.SubscriptionID++ }, kerr.UnknownSubscriptionID},
		{"other codec", func(r *kmsg.PushTelemetryRequest) { r.CompressionType = 9 }, kerr.UnsupportedCompressionType},
		{"not compressed as it says", func(r *kmsg.PushTelemetryRequest) { r.CompressionType = 4 }, kerr.InvalidRecord},
		{"large", func(r *kmsg.PushTelemetryRequest) { r.Metrics = make([]byte, 1<<20+1) }, kerr.TelemetryTooLarge},
		{"no metrics", func(r *kmsg.PushTelemetryRequest) { r.Metrics = []byte{0xff} }, kerr.InvalidRecord},
		{"the last", func(r *kmsg.PushTelemetryRequest) { r.Terminating = true }, nil},
		{"after the last", func(*kmsg.PushTelemetryRequest) {}, kerr.InvalidRequest},
	} {
		later = later.Add(time.Minute)
		want := int16(0)
		if c.want != nil {
			want = c.want.Code
		}
		equal(t, c.name, push(c.change), want)
	}
	families, err := registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == "kafka_client_a_b" {
			equal(t, "value", f.GetMetric()[0].GetGauge().GetValue(), 1)
			return
		}
	}
	t.Error("what was pushed is not shown")
}
