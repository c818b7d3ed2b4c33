package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/broker/telemetry"
	"github.com/runnel-io/runnel/broker/wire"
)

// GetTelemetrySubscriptions (71), version 0 (KIP-714): tells a client which metrics to push, how often and how. A client
// without an instance id gets one. Subscriptions are CLIENT_METRICS resources, see IncrementalAlterConfigs; without any that
// matches, the client is asked for nothing and asks again after five minutes. Who asks before its interval is over gets
// THROTTLING_QUOTA_EXCEEDED, unless the last answer told it to ask.

// Telemetry takes the metrics of clients; telemetry.Receiver does. It is called concurrently.
type Telemetry interface {
	Subscribe(now time.Time, c telemetry.Client) (telemetry.Asked, error)
	Push(ctx context.Context, now time.Time, c telemetry.Client, p telemetry.Push) error
}

// acceptedCodecs are Kafka's, in its order: clients take the first that they know.
var acceptedCodecs = []int8{int8(recordbatch.Zstd), int8(recordbatch.LZ4), int8(recordbatch.Gzip), int8(recordbatch.Snappy)}

// telemetrySubscriptions is the Handler.
func (b *Broker) telemetrySubscriptions(_ context.Context, c *wire.Conn, req kmsg.Request) wire.Pending {
	asked := req.(*kmsg.GetTelemetrySubscriptionsRequest)
	resp := respond[*kmsg.GetTelemetrySubscriptionsResponse](req)
	answer, err := b.Telemetry.Subscribe(b.Now(), telemetryClient(c, asked.ClientInstanceID))
	if err != nil {
		resp.ErrorCode = code(err)
		return wire.Ready(resp)
	}
	resp.ClientInstanceID, resp.SubscriptionID = answer.Instance, answer.SubscriptionID
	resp.RequestedMetrics, resp.PushIntervalMillis = answer.Metrics, int32(answer.Interval.Milliseconds())
	resp.AcceptedCompressionTypes, resp.TelemetryMaxBytes, resp.DeltaTemporality = acceptedCodecs, int32(answer.MaxBytes), true
	return wire.Ready(resp)
}

// telemetryClient is called by Handlers.
func telemetryClient(c *wire.Conn, instance [16]byte) telemetry.Client {
	software := &attached(c).software
	return telemetry.Client{
		Instance: instance, ID: c.ClientID(), Software: software.name, Version: software.version,
		Address: c.ClientHost(), Port: c.ClientPort(),
	}
}
