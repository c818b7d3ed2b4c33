package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// AddOffsetsToTxn (25), versions 0 to 4: registers a group with a producer's transaction, which may then commit offsets of it,
// and begins the transaction (transaction version 1). v2 (KIP-588) has PRODUCER_FENCED; v4 (KIP-890)
// TRANSACTION_ABORTABLE, which never happens here.

func (b *Broker) addOffsetsToTxn(ctx context.Context, c *wire.Conn, req *kmsg.AddOffsetsToTxnRequest) *kmsg.AddOffsetsToTxnResponse {
	ctx, cancel := context.WithTimeout(ctx, txnWait)
	defer cancel()
	resp := respond[*kmsg.AddOffsetsToTxnResponse](req)
	switch {
	case !b.may(c, acl.Write, acl.TransactionalID, req.TransactionalID):
		resp.ErrorCode = code(errTxnDenied)
		return resp
	case !b.may(c, acl.Read, acl.Group, req.Group):
		resp.ErrorCode = code(errGroupDenied)
		return resp
	}
	_, err := b.addToTxn(ctx, req.TransactionalID, req.ProducerID, req.ProducerEpoch, nil, []string{req.Group})
	resp.ErrorCode = txnCode(err, fencedSince(2, req.Version))
	return resp
}
