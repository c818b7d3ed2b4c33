package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// InitProducerId (22), versions 0 to 5: gives an idempotent producer an id that nobody had before, at epoch 0, and a
// transactional id its producer at the next epoch, which fences the producers before. v3 (KIP-360) brings the id and epoch
// that a producer believes it has, for one that goes on after an error; without a transactional id they are ignored, but
// for one without the other, as in Kafka. v4 (KIP-588) has PRODUCER_FENCED, v5 (KIP-890) TRANSACTION_ABORTABLE, which never
// happens here.
//
// An open transaction is aborted in the same entry, so nobody is told to come again with CONCURRENT_TRANSACTIONS, as Kafka
// does until its markers are written. When the epochs are used up the transactional id gets another producer id.

func (b *Broker) initProducerID(ctx context.Context, c *wire.Conn, req *kmsg.InitProducerIDRequest) *kmsg.InitProducerIDResponse {
	resp := respond[*kmsg.InitProducerIDResponse](req)
	id, epoch, err := b.initProducer(ctx, c, req)
	if err != nil {
		id, epoch = metastore.NoProducerID, -1
		resp.ErrorCode = txnCode(err, fencedSince(4, req.Version))
	}
	resp.ProducerID, resp.ProducerEpoch = int64(id), int16(epoch)
	return resp
}

// mayProduce tells whether the client may have a producer id: to write with a transactional id, or at all.
func (b *Broker) mayProduce(c *wire.Conn, transactionalID *string) error {
	switch {
	case transactionalID != nil && !b.may(c, acl.Write, acl.TransactionalID, *transactionalID):
		return errTxnDenied
	case transactionalID != nil, !b.Access.Enabled(), b.Access.AllowedOnAny(client(c), acl.Write, acl.Topic):
		return nil
	case !b.mayOnCluster(c, acl.IdempotentWrite):
		return errClusterDenied
	}
	return nil
}

func (b *Broker) initProducer(ctx context.Context, c *wire.Conn, req *kmsg.InitProducerIDRequest) (metastore.ProducerID, metastore.ProducerEpoch, error) {
	if err := b.mayProduce(c, req.TransactionalID); err != nil {
		return 0, 0, err
	}
	if req.Version >= 3 && (req.ProducerID < 0) != (req.ProducerEpoch < 0) {
		return 0, 0, errHalfAProducer
	}
	if req.TransactionalID == nil {
		return b.initIdempotent(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, txnWait)
	defer cancel()
	timeout := millis(req.TransactionTimeoutMillis)
	switch {
	case *req.TransactionalID == "":
		return 0, 0, errNoTxnID
	case timeout <= 0 || timeout > b.Settings.Load().TransactionMaxTimeout:
		return 0, 0, errTxnTimeout
	}
	if err := b.roomForTransactionalID(*req.TransactionalID); err != nil {
		return 0, 0, err
	}
	result, err := b.withFresh(ctx, *req.TransactionalID, func(t metastore.Transaction) bool { return t.ID == "" || exhausted(t) },
		func(t metastore.Transaction, fresh metastore.ProducerID) (metastore.TxnRequest, error) {
			ask := metastore.InitTxn{ID: *req.TransactionalID, Timeout: timeout, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh, AsOf: t.AsOf}
			if req.Version >= 3 && req.ProducerID >= 0 {
				ask.Producer, ask.Epoch = metastore.ProducerID(req.ProducerID), metastore.ProducerEpoch(req.ProducerEpoch)
			}
			return ask, nil
		})
	return result.Producer, result.Epoch, err
}

var (
	errHalfAProducer = refuse(kerr.InvalidRequest, "a producer id without an epoch, or the other way round")
	errTxnTimeout    = refuse(kerr.InvalidTransactionTimeout, "the transaction timeout is above transaction.max.timeout.ms, or not positive")
	errNoProducerIDs = refuse(kerr.CoordinatorLoadInProgress, "no producer ids can be reserved")
)

func (b *Broker) initIdempotent(ctx context.Context) (metastore.ProducerID, metastore.ProducerEpoch, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	id, err := b.ProducerIDs.NextProducerID(ctx)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			b.Logger.Warn("cannot allocate a producer id", "error", err)
		}
		return 0, 0, errNoProducerIDs // what Kafka says when it has no ids, and what producers wait out
	}
	return id, 0, nil
}
