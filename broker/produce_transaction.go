package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

const (
	// implicitVersion of Produce, and later ones, add partitions to the transaction by themselves.
	implicitVersion = 12
	// abortableVersion of Produce, and later ones, may be told that only the transaction has failed.
	abortableVersion = 11
)

// incarnation of a producer writes the transactional batches of a request.
type incarnation struct {
	id    metastore.ProducerID
	epoch metastore.ProducerEpoch
}

// checkTransaction refuses a request, with all its batches, that has transactional ones without a transactional id, of
// several producers, or of one that does not have the id. Whether there is a transaction for each is decided in the log.
func (b *Broker) checkTransaction(ctx context.Context, c *wire.Conn, req *kmsg.ProduceRequest) error {
	by, several, ok := transactionalProducer(req)
	switch {
	case !ok:
		return nil
	case req.TransactionID == nil:
		return refuse(kerr.TransactionalIDAuthorizationFailed, "transactional records need a transactional id in the request")
	case !b.may(c, acl.Write, acl.TransactionalID, *req.TransactionID):
		return errTxnDenied
	case several:
		return refuse(kerr.InvalidProducerIDMapping, "transactional records of several producers")
	}
	has := func() bool {
		t, ok := b.States.TransactionHead(*req.TransactionID)
		return ok && t.Producer == by.id
	}
	// The producer may have got its id from another broker, a moment ago. Where the log cannot be read nothing is decided.
	if has() || !b.refreshed(ctx) || has() {
		return nil
	}
	return refuse(kerr.InvalidProducerIDMapping, fmt.Sprintf("the transactional id does not have producer id %d", by.id))
}

// transactionalProducer finds the producer of the transactional batches of a request; false if there are none.
func transactionalProducer(req *kmsg.ProduceRequest) (by incarnation, several, ok bool) {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			h, err := recordbatch.PeekHeader(req.Topics[i].Partitions[j].Records)
			if err != nil || !h.Transactional() {
				continue
			}
			this := incarnation{metastore.ProducerID(h.ProducerID), metastore.ProducerEpoch(h.ProducerEpoch)}
			several = several || ok && this != by
			by, ok = this, true
		}
	}
	return by, several, ok
}

// txnVerdictError says why the log did not take a batch, where it has to do with transactions.
func txnVerdictError(v metastore.Verdict, version int16, transactional bool) error {
	switch {
	case v == metastore.UnknownTxnProducer:
		return refuse(kerr.InvalidProducerIDMapping, "no transactional id has the producer id")
	case !transactional:
		return refuse(kerr.InvalidTxnState, "the producer has a transaction open in the partition, and the batch is not part of it")
	case version >= abortableVersion:
		return refuse(kerr.TransactionAbortable, "the partition is not part of an ongoing transaction")
	}
	return refuse(kerr.InvalidTxnState, "the partition is not part of an ongoing transaction")
}

// refuseAll answers every partition of a request with an error.
func (p *production) refuseAll(req *kmsg.ProduceRequest, err error) {
	p.resp.Topics = make([]kmsg.ProduceResponseTopic, len(req.Topics))
	for i := range req.Topics {
		from, to := &req.Topics[i], &p.resp.Topics[i]
		to.Topic, to.TopicID = from.Topic, from.TopicID
		to.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(from.Partitions))
		for j := range from.Partitions {
			row := &to.Partitions[j]
			*row = kmsg.NewProduceResponseTopicPartition()
			row.Partition, row.BaseOffset = from.Partitions[j].Partition, -1
			p.refuse(row, err)
		}
	}
}
