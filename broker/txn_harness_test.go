package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

// txnClient is a producer with a transactional id, whose transactions begin and end in the log.
type txnClient struct {
	*recordHarness
	id       string
	producer metastore.ProducerID
	epoch    metastore.ProducerEpoch
	sequence map[metastore.TopicPartition]int32
}

func (h *recordHarness) txnClient(id string) *txnClient {
	h.t.Helper()
	fresh, err := h.replica.NextProducerID(h.t.Context())
	must(h.t, err)
	c := &txnClient{recordHarness: h, id: id}
	c.took(c.transact(metastore.InitTxn{ID: id, Timeout: 60_000_000_000, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh}))
	return c
}

// transact sends one request, which must succeed.
func (c *txnClient) transact(request metastore.TxnRequest) metastore.TxnResult {
	c.t.Helper()
	results, err := c.replica.Transact(c.t.Context(), []metastore.TxnRequest{request})
	must(c.t, err)
	must(c.t, results[0].Err)
	return results[0]
}

// took is the client as an answer has it: sequences begin anew in a new epoch.
func (c *txnClient) took(result metastore.TxnResult) {
	if result.Producer != c.producer || result.Epoch != c.epoch || c.sequence == nil {
		c.sequence = make(map[metastore.TopicPartition]int32)
	}
	c.producer, c.epoch = result.Producer, result.Epoch
}

func (c *txnClient) number() metastore.TxnNumber {
	c.t.Helper()
	txn, ok := c.replica.Transaction(c.id)
	if !ok {
		c.t.Fatalf("no transactional id %s", c.id)
	}
	return txn.Number
}

func (c *txnClient) add(tps ...metastore.TopicPartition) {
	c.t.Helper()
	c.took(c.transact(metastore.AddToTxn{ID: c.id, Producer: c.producer, Epoch: c.epoch, Partitions: tps, Number: c.number()}))
}

func (c *txnClient) end(commit bool, version int8) {
	c.t.Helper()
	c.took(c.transact(metastore.EndTxn{ID: c.id, Producer: c.producer, Epoch: c.epoch, Commit: commit, Version: version, Number: c.number(), Fresh: metastore.NoProducerID}))
}

func (c *txnClient) options(tp metastore.TopicPartition) recordbatchtest.Options {
	return recordbatchtest.Options{ProducerID: int64(c.producer), ProducerEpoch: int16(c.epoch), BaseSequence: c.sequence[tp], Transactional: true}
}

func (c *txnClient) request(topic *metastore.Topic, partition int32, records []recordbatch.Record) *kmsg.ProduceRequest {
	tp := metastore.TopicPartition{Topic: topic.ID, Partition: partition}
	req := produceRequest(topic, partition, recordbatchtest.Encode(records, c.options(tp)))
	req.TransactionID = &c.id
	return req
}

// send produces n records at a version, and returns the row of the answer.
func (c *txnClient) send(version int16, topic *metastore.Topic, partition int32, records []recordbatch.Record) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	row := c.sendRequest(version, c.request(topic, partition, records))[0]
	if row.ErrorCode == 0 {
		c.sequence[metastore.TopicPartition{Topic: topic.ID, Partition: partition}] += int32(len(records))
	}
	return row
}

func (h *recordHarness) sendRequest(version int16, req *kmsg.ProduceRequest) (rows []kmsg.ProduceResponseTopicPartition) {
	h.t.Helper()
	req.SetVersion(version)
	resp := h.broker.produce(h.t.Context(), h.producer, req)(h.t.Context()).(*kmsg.ProduceResponse)
	for i := range resp.Topics {
		rows = append(rows, resp.Topics[i].Partitions...)
	}
	return rows
}

// produce sends n records as transaction version 2 does, and returns their first offset.
func (c *txnClient) produce(topic *metastore.Topic, partition int32, n int) int64 {
	c.t.Helper()
	row := c.send(implicitVersion, topic, partition, testRecords(n, 1_000_000))
	equal(c.t, "error", row.ErrorCode, 0)
	return row.BaseOffset
}
