package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
)

// api is a row of the protocol table, from which dispatch, ApiVersions and docs/protocol.md are made.
type api struct {
	key      int16
	name     string
	min, max int16 // versions that are served
	claimed  int16 // how many versions below min ApiVersions names all the same (KAFKA-18659)
	handle   wire.Handler
	order    wire.Order
	budgeted bool
	needs    string // Kafka's authorization: operation and resource; nothing checks it yet
	notes    string // for docs/protocol.md: what is different from Kafka
}

// A minimum is Kafka 4.2's own: clients (librdkafka 2.0 for one) look for exact old versions in the advertised range.
func (b *Broker) apis() []api {
	return []api{
		{key: 3, name: "Metadata", min: 0, max: 13, handle: blocking(b.metadata), needs: "Describe on Topic; Create on Cluster or Topic to auto-create",
			notes: "Every live broker can be named leader of any partition. Replica lists have the length of the topic's replication factor; ids repeat if there are fewer brokers."},
		{key: 18, name: "ApiVersions", min: 0, max: 4, handle: blocking(b.apiVersions), needs: "none"},
		{key: 19, name: "CreateTopics", min: 2, max: 7, handle: blocking(b.createTopics), needs: "Create on Cluster or Topic",
			notes: "Any replication factor is accepted. Replica assignments count as numbers of partitions."},
	}
}

// blocking makes a wire.Handler of a function that does everything while its answer is waited for.
func blocking[Req kmsg.Request, Resp kmsg.Response](answer func(context.Context, *wire.Conn, Req) Resp) wire.Handler {
	return wire.Blocking(func(ctx context.Context, c *wire.Conn, req kmsg.Request) kmsg.Response {
		return answer(ctx, c, req.(Req))
	})
}

// respond makes the answer that belongs to a request, with its version and its defaults.
func respond[Resp kmsg.Response](req kmsg.Request) Resp {
	return req.ResponseKind().(Resp)
}
