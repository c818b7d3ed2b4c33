package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/broker/telemetry"
	"github.com/runnel-io/runnel/broker/wire"
)

// PushTelemetry (72), version 0 (KIP-714): takes the metrics of a client, OTLP compressed with one of Kafka's codecs or not
// at all, and shows them among the broker's own until the client has been silent for three intervals. Errors are those of Kafka:
// INVALID_REQUEST for an instance id that is reserved and after a push that was to be the last,
// THROTTLING_QUOTA_EXCEEDED before the interval is over (the last push may come early), UNKNOWN_SUBSCRIPTION_ID,
// UNSUPPORTED_COMPRESSION_TYPE, TELEMETRY_TOO_LARGE (also of what it decompresses to), INVALID_RECORD.

// pushTelemetry is the Handler.
func (b *Broker) pushTelemetry(_ context.Context, c *wire.Conn, req kmsg.Request) wire.Pending {
	pushed := req.(*kmsg.PushTelemetryRequest)
	client := telemetryClient(c, pushed.ClientInstanceID)
	return func(ctx context.Context) kmsg.Response {
		resp := respond[*kmsg.PushTelemetryResponse](req)
		resp.ErrorCode = code(b.Telemetry.Push(ctx, b.Now(), client, telemetry.Push{
			SubscriptionID: pushed.SubscriptionID, Terminating: pushed.Terminating,
			Codec: recordbatch.Codec(pushed.CompressionType), Metrics: pushed.Metrics,
		}))
		return resp
	}
}
