package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// EndTxn (26), versions 0 to 5: commits or aborts a transaction: its records in all partitions and its offsets, in one entry
// of the log. Asked again it answers as the first time. v2 (KIP-588) has PRODUCER_FENCED. v5 (KIP-890) is transaction
// version 2: the producer goes on at the next epoch, or with another producer id, which the answer names, so that whatever
// is late of the transaction is refused everywhere.

func (b *Broker) endTxn(ctx context.Context, c *wire.Conn, req *kmsg.EndTxnRequest) *kmsg.EndTxnResponse {
	ctx, cancel := context.WithTimeout(ctx, txnWait)
	defer cancel()
	resp := respond[*kmsg.EndTxnResponse](req)
	if !b.may(c, acl.Write, acl.TransactionalID, req.TransactionalID) {
		resp.ErrorCode = code(errTxnDenied)
		return resp
	}
	result, err := b.end(ctx, req)
	resp.ErrorCode = txnCode(err, fencedSince(2, req.Version))
	if err == nil && req.Version >= 5 {
		resp.ProducerID, resp.ProducerEpoch = int64(result.Producer), int16(result.Epoch)
	}
	return resp
}

// errBehind is what a broker says that has not heard of the transaction before in time: clients of all versions ask again.
var errBehind = refuse(kerr.CoordinatorLoadInProgress, "this broker was behind the others")

func (b *Broker) end(ctx context.Context, req *kmsg.EndTxnRequest) (metastore.TxnResult, error) {
	if req.TransactionalID == "" {
		return metastore.TxnResult{}, errNoTxnID
	}
	version := int8(1)
	if req.Version >= 5 {
		version = 2
	}
	asked := false
	return b.withFresh(ctx, req.TransactionalID, func(t metastore.Transaction) bool { return version == 2 && t.ID != "" && exhausted(t) },
		func(t metastore.Transaction, fresh metastore.ProducerID) (metastore.TxnRequest, error) {
			if asked && version == 1 {
				return nil, errBehind
			}
			asked = true
			return metastore.EndTxn{
				ID: req.TransactionalID, Producer: metastore.ProducerID(req.ProducerID), Epoch: metastore.ProducerEpoch(req.ProducerEpoch),
				Commit: req.Commit, Version: version, Number: t.Number, Fresh: fresh,
			}, nil
		})
}
