package broker

import (
	"context"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/metastore"
)

// txnProducer is a producer with a transactional id, as a client sees it.
type txnProducer struct {
	h     *harness
	id    string
	pid   int64
	epoch int16
}

func initRequest(id string, timeoutMillis int32) *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &id, timeoutMillis
	req.ProducerID, req.ProducerEpoch = -1, -1
	return req
}

// transactional starts a producer.
func (h *harness) transactional(id string) *txnProducer {
	h.t.Helper()
	resp := ask[*kmsg.InitProducerIDResponse](h, 5, initRequest(id, 60_000))
	equal(h.t, "init", resp.ErrorCode, 0)
	return &txnProducer{h, id, resp.ProducerID, resp.ProducerEpoch}
}

func (p *txnProducer) addRequest(topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = p.id, p.pid, p.epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	// From version 4 on.
	single := kmsg.NewAddPartitionsToTxnRequestTransaction()
	single.TransactionalID, single.ProducerID, single.ProducerEpoch = p.id, p.pid, p.epoch
	single.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: partitions}}
	req.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{single}
	return req
}

// codes are the codes of the answer, by partition, of the one topic that was asked for.
func addCodes(resp *kmsg.AddPartitionsToTxnResponse) map[int32]int16 {
	codes := make(map[int32]int16)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			codes[p.Partition] = p.ErrorCode
		}
	}
	for _, x := range resp.Transactions {
		for _, t := range x.Topics {
			for _, p := range t.Partitions {
				codes[p.Partition] = p.ErrorCode
			}
		}
	}
	return codes
}

func (p *txnProducer) add(version int16, topic string, partitions ...int32) map[int32]int16 {
	p.h.t.Helper()
	return addCodes(ask[*kmsg.AddPartitionsToTxnResponse](p.h, version, p.addRequest(topic, partitions...)))
}

func (p *txnProducer) addOffsets(version int16, group string) int16 {
	p.h.t.Helper()
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = p.id, p.pid, p.epoch, group
	return ask[*kmsg.AddOffsetsToTxnResponse](p.h, version, req).ErrorCode
}

func (p *txnProducer) endRequest(commit bool) *kmsg.EndTxnRequest {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = p.id, p.pid, p.epoch, commit
	return req
}

// end ends the transaction, and goes on with the producer that the answer names.
func (p *txnProducer) end(version int16, commit bool) int16 {
	p.h.t.Helper()
	resp := ask[*kmsg.EndTxnResponse](p.h, version, p.endRequest(commit))
	if version >= 5 && resp.ErrorCode == 0 {
		p.pid, p.epoch = resp.ProducerID, resp.ProducerEpoch
	} else {
		equal(p.h.t, "producer id of an answer without one", resp.ProducerID, -1)
		equal(p.h.t, "epoch of an answer without one", resp.ProducerEpoch, -1)
	}
	return resp.ErrorCode
}

func (p *txnProducer) commitRequest(group, topic string, offset int64, partitions ...int32) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = p.id, p.pid, p.epoch, group
	asked := kmsg.NewTxnOffsetCommitRequestTopic()
	asked.Topic = topic
	for _, n := range partitions {
		row := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		row.Partition, row.Offset, row.Metadata = n, offset, kmsg.StringPtr("m")
		asked.Partitions = append(asked.Partitions, row)
	}
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{asked}
	return req
}

// commitOffset commits one partition's offset and returns the code.
func (p *txnProducer) commitOffset(version int16, group, topic string, partition int32, offset int64) int16 {
	p.h.t.Helper()
	return ask[*kmsg.TxnOffsetCommitResponse](p.h, version, p.commitRequest(group, topic, offset, partition)).Topics[0].Partitions[0].ErrorCode
}

// position is what OffsetFetch says of a partition: the offset, and the code.
func (h *harness) position(group, topic string, partition int32, stable bool) (int64, int16) {
	h.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = stable
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = group
	asked.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{partition}}}
	req.Groups = []kmsg.OffsetFetchRequestGroup{asked}
	got := ask[*kmsg.OffsetFetchResponse](h, 9, req).Groups[0]
	if got.ErrorCode != 0 {
		return -1, got.ErrorCode
	}
	return got.Topics[0].Partitions[0].Offset, got.Topics[0].Partitions[0].ErrorCode
}

func (h *harness) txn(id string) metastore.Transaction {
	h.t.Helper()
	t, ok := h.replica.Transaction(id)
	if !ok {
		h.t.Fatalf("there is no transactional id %q", id)
	}
	return t
}

// delayed is a way to the log that holds the next request back when it is told to, or loses answers.
type delayed struct {
	Transactions
	mu   sync.Mutex
	next *held // nil: no request is to be held
	fail error // instead of the answer
}

// held is a request on its way to the log.
type held struct {
	waits    chan struct{}            // closed when it is on its way
	gone     chan struct{}            // closed when nobody waits for it any more
	goOn     chan struct{}            // to be closed when it is to arrive
	outcomes chan metastore.TxnResult // what came of it
}

// hold makes the next request wait.
func (d *delayed) hold() *held {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = &held{make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan metastore.TxnResult, 1)}
	return d.next
}

func (d *delayed) lose(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func (d *delayed) Transact(ctx context.Context, requests []metastore.TxnRequest) ([]metastore.TxnResult, error) {
	d.mu.Lock()
	next, fail := d.next, d.fail
	d.next = nil
	d.mu.Unlock()
	if next != nil {
		defer context.AfterFunc(ctx, func() { close(next.gone) })()
		close(next.waits)
		<-next.goOn // whatever becomes of who asked: it is on its way
		ctx = context.WithoutCancel(ctx)
	}
	results, err := d.Transactions.Transact(ctx, requests)
	if next != nil && err == nil {
		next.outcomes <- results[0]
	}
	if fail != nil {
		return nil, fail
	}
	return results, err
}

// withDelays puts delays between the broker and the log.
func (h *harness) withDelays(t *testing.T) *delayed {
	t.Helper()
	d := &delayed{Transactions: h.broker.Transactions}
	h.broker.Transactions = d
	return d
}

// decide has a request decided as another broker would.
func (h *harness) decide(req metastore.TxnRequest) metastore.TxnResult {
	h.t.Helper()
	results, err := h.replica.Transact(h.t.Context(), []metastore.TxnRequest{req})
	must(h.t, err)
	return results[0]
}
