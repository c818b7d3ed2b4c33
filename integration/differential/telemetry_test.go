package differential

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

var telemetryScripts = []script{{"telemetry", func(s *side) {
	s.each(kmsg.GetTelemetrySubscriptions, func(v int16) {
		get := func(label string, instance [16]byte) *kmsg.GetTelemetrySubscriptionsResponse {
			req := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
			req.ClientInstanceID = instance
			return ask[*kmsg.GetTelemetrySubscriptionsResponse](s, label, v, req)
		}
		push := func(label string, instance [16]byte, change func(*kmsg.PushTelemetryRequest)) {
			req := kmsg.NewPtrPushTelemetryRequest()
			req.ClientInstanceID = instance
			if change != nil {
				change(req)
			}
			ask[*kmsg.PushTelemetryResponse](s, label, v, req)
		}
		asked := get("first", [16]byte{})
		same := func(r *kmsg.PushTelemetryRequest) { r.SubscriptionID = asked.SubscriptionID }
		get("again", asked.ClientInstanceID)
		push("nothing", asked.ClientInstanceID, same)
		push("too early", asked.ClientInstanceID, same)
		get("after a push", asked.ClientInstanceID)
		push("the last may be early", asked.ClientInstanceID, func(r *kmsg.PushTelemetryRequest) { same(r); r.Terminating = true })
		push("after the last", asked.ClientInstanceID, same)
		push("the last once more", asked.ClientInstanceID, func(r *kmsg.PushTelemetryRequest) { same(r); r.Terminating = true })

		push("no instance", [16]byte{}, nil)
		push("reserved instance", [16]byte{15: 1}, nil)
		for i, change := range []func(*kmsg.PushTelemetryRequest){
			func(r *kmsg.PushTelemetryRequest) { r.SubscriptionID++ },
			func(r *kmsg.PushTelemetryRequest) { r.CompressionType = 9 },
			func(r *kmsg.PushTelemetryRequest) { r.CompressionType = -1 },
			func(r *kmsg.PushTelemetryRequest) { r.Metrics = make([]byte, 1<<20+1) },
			func(r *kmsg.PushTelemetryRequest) { r.CompressionType, r.Metrics = 4, []byte("not zstd") },
			func(r *kmsg.PushTelemetryRequest) { r.Metrics = []byte("\x0a\x00") },
			func(r *kmsg.PushTelemetryRequest) { r.Metrics = []byte("not OTLP") },
			func(r *kmsg.PushTelemetryRequest) { r.CompressionType, r.Terminating = 9, true },
		} {
			// Each has an instance of its own: what is refused counts as a push.
			asked := get("", [16]byte{})
			push([]string{
				"unknown subscription", "unknown codec", "negative codec", "too large", "not zstd", "empty resource", "not OTLP", "last of an unknown codec",
			}[i], asked.ClientInstanceID, func(r *kmsg.PushTelemetryRequest) { r.SubscriptionID = asked.SubscriptionID; change(r) })
			get("after that", asked.ClientInstanceID)
		}
		other := [16]byte{3, 4}
		push("of who has not asked", other, nil)
		get("who pushed and is told to ask", other)

		// Kafka evaluates the subscriptions for those clients that it does not know yet.
		subscribe := func(value, want string, changes ...change) {
			ask[*kmsg.IncrementalAlterConfigsResponse](s, value, 1, alterConfigs(ofMetrics, "telemetry", changes...))
			s.settle("described", ofMetrics, "telemetry", "interval.ms", want)
		}
		subscribe("subscribe", "60000", change{"interval.ms", set, text("60000")}, change{"metrics", set, text("b.c,a,b.c")},
			change{"match", set, text("client_id=differ.*")})
		subscribed := get("subscribed", [16]byte{})
		push("what is asked for", subscribed.ClientInstanceID, func(r *kmsg.PushTelemetryRequest) { r.SubscriptionID = subscribed.SubscriptionID })
		subscribe("others", "70000", change{"interval.ms", set, text("70000")}, change{"match", set, text("client_id=dif")})
		get("not matched", [16]byte{})
		get("matched before", subscribed.ClientInstanceID)
		subscribe("all", "80000", change{"interval.ms", set, text("80000")}, change{"metrics", set, text("*")}, change{"match", unset, nil})
		get("all metrics", [16]byte{})
		subscribe("end", "300000", change{"interval.ms", unset, nil}, change{"metrics", unset, nil})
		get("nothing any more", [16]byte{})
	})
}}}
