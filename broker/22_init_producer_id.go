package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// InitProducerId (22), versions 0 to 5: gives an idempotent producer an id that nobody had before, at epoch 0. Without a
// transactional id the id and epoch that v3 (KIP-360) sends are ignored, but for one without the other, as in Kafka.
//
// There are no transactions yet. A transactional id gets UNSUPPORTED_VERSION, here and from FindCoordinator, whose answer
// has a text that says so: an error that the Java client and franz-go neither retry nor explain with missing rights.
// librdkafka (2.0 to 2.15) retries whatever FindCoordinator says, except for missing rights, so its init_transactions
// times out; we rather have it late than wrong.

func (b *Broker) initProducerID(ctx context.Context, _ *wire.Conn, req *kmsg.InitProducerIDRequest) *kmsg.InitProducerIDResponse {
	resp := respond[*kmsg.InitProducerIDResponse](req)
	resp.ProducerID, resp.ProducerEpoch = int64(metastore.NoProducerID), -1
	switch {
	case req.Version >= 3 && (req.ProducerID < 0) != (req.ProducerEpoch < 0):
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp
	case req.TransactionalID == nil:
	case *req.TransactionalID == "":
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp
	default:
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		return resp
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	id, err := b.ProducerIDs.NextProducerID(ctx)
	if err != nil {
		// COORDINATOR_LOAD_IN_PROGRESS is what Kafka says when it has no ids, and what producers wait out.
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		if !errors.Is(err, context.Canceled) {
			b.Logger.Warn("cannot allocate a producer id", "error", err)
		}
		return resp
	}
	resp.ProducerID, resp.ProducerEpoch = int64(id), 0
	return resp
}
