package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	metamemory "github.com/runnel-io/runnel/metastore/memory"
)

// TestClientsAreAskedThroughOneNodeAndPushToAnother: the metastore's clock is far from the nodes' own, by which they once
// held all that was pushed to be old.
func TestClientsAreAskedThroughOneNodeAndPushToAnother(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	stores.Metastore = metamemory.New(metamemory.Options{Now: func() time.Time { return time.Now().Add(-365 * 24 * time.Hour) }})
	asked, _ := startWith(t, stores, nil)
	pushed, _ := startWith(t, stores, map[string]string{"cluster.telemetry.max.bytes": "100"})
	eventually(t, "both are in view", func() bool { return len(asked.members.Live()) == 2 && len(pushed.members.Live()) == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	from := client(t, asked, kgo.DisableClientMetrics())
	to := client(t, pushed, kgo.DisableClientMetrics()).Broker(int(pushed.members.Self().NodeID))

	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeClientMetrics, "all"
	for name, value := range map[string]string{"metrics": "a.", "interval.ms": "60000"} {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = name, &value
		resource.Configs = append(resource.Configs, config)
	}
	alter.Resources = append(alter.Resources, resource)
	altered, err := alter.RequestWith(ctx, from)
	if err != nil || altered.Resources[0].ErrorCode != 0 {
		t.Fatal(altered, err)
	}

	subscription, err := kmsg.NewPtrGetTelemetrySubscriptionsRequest().RequestWith(ctx, from)
	if err != nil || len(subscription.RequestedMetrics) != 1 || subscription.RequestedMetrics[0] != "a." || subscription.PushIntervalMillis != 60_000 {
		t.Fatal(subscription, err)
	}
	eventually(t, "the other node has heard of it", func() bool { return pushed.replica.ConfigsVersion() > 0 })
	push := func(metrics string) int16 {
		t.Helper()
		req := kmsg.NewPtrPushTelemetryRequest()
		req.ClientInstanceID, req.SubscriptionID, req.Metrics = subscription.ClientInstanceID, subscription.SubscriptionID, []byte(metrics)
		req.Terminating = len(metrics) > 100
		resp, err := req.RequestWith(ctx, to)
		if err != nil {
			t.Fatal(err)
		}
		return resp.ErrorCode
	}
	// OTLP: the gauge a.b with the value 1.
	if got := push("\x0a\x18\x12\x16\x12\x14\x0a\x03a.b\x2a\x0d\x0a\x0b\x21\x00\x00\x00\x00\x00\x00\xf0\x3f\x48\x00"); got != 0 {
		t.Errorf("a push: %v", kerr.ErrorForCode(got))
	}
	if got := push(strings.Repeat("x", 101)); got != kerr.TelemetryTooLarge.Code {
		t.Errorf("a push of more than telemetry.max.bytes: %v", kerr.ErrorForCode(got))
	}
	families, err := pushed.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "kafka_client_a_b" && f.GetMetric()[0].GetGauge().GetValue() == 1 {
			return
		}
	}
	t.Error("what was pushed is not shown")
}
