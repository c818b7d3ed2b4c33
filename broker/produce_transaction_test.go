package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

func TestTransactionalProduceErrors(t *testing.T) {
	h := newRecordBroker(t, nil)
	topic := h.topic("events", 8, 1)
	records := testRecords(1, 1_000_000)
	tp := func(p int32) metastore.TopicPartition {
		return metastore.TopicPartition{Topic: topic.ID, Partition: p}
	}
	other := h.txnClient("other")
	for i, tc := range []struct {
		name    string
		version int16
		before  func(c *txnClient)
		change  func(c *txnClient, req *kmsg.ProduceRequest)
		want    *kerr.Error
	}{
		{name: "begun by version 2", version: 12},
		{name: "not added, version 1", version: 9, want: kerr.InvalidTxnState},
		{name: "not added, abortable", version: 11, want: kerr.TransactionAbortable},
		{name: "added, version 1", version: 3, before: func(c *txnClient) { c.add(tp(0)) }},
		{name: "another partition added", version: 9, before: func(c *txnClient) { c.add(tp(1)) }, want: kerr.InvalidTxnState},
		{name: "ended, version 1", version: 9, before: func(c *txnClient) {
			c.add(tp(0))
			c.end(true, 1)
		}, want: kerr.InvalidTxnState},
		{name: "no transactional id", version: 12, change: func(_ *txnClient, req *kmsg.ProduceRequest) { req.TransactionID = nil }, want: kerr.TransactionalIDAuthorizationFailed},
		{name: "id of another producer", version: 12, change: func(_ *txnClient, req *kmsg.ProduceRequest) { req.TransactionID = &other.id }, want: kerr.InvalidProducerIDMapping},
		{name: "unknown id", version: 12, change: func(_ *txnClient, req *kmsg.ProduceRequest) {
			unknown := "unknown"
			req.TransactionID = &unknown
		}, want: kerr.InvalidProducerIDMapping},
		{name: "several producers", version: 12, change: func(_ *txnClient, req *kmsg.ProduceRequest) {
			req.Topics = append(req.Topics, other.request(topic, 1, records).Topics...)
		}, want: kerr.InvalidProducerIDMapping},
		{name: "several epochs", version: 12, change: func(c *txnClient, req *kmsg.ProduceRequest) {
			old := *c
			old.epoch++
			req.Topics = append(req.Topics, old.request(topic, 1, records).Topics...)
		}, want: kerr.InvalidProducerIDMapping},
		{name: "earlier epoch", version: 12, before: func(c *txnClient) {
			c.produce(topic, 0, 1)
			c.end(true, 2)
			c.epoch--
			c.sequence[tp(0)] = 1
		}, want: kerr.InvalidProducerEpoch},
		{name: "earlier epoch where nothing was written", version: 12, before: func(c *txnClient) {
			c.produce(topic, 1, 1)
			c.end(true, 2)
			c.epoch--
		}, want: kerr.InvalidProducerEpoch},
		{name: "plain while a transaction is open", version: 12, before: func(c *txnClient) { c.produce(topic, 0, 1) }, change: func(c *txnClient, req *kmsg.ProduceRequest) {
			opts := c.options(tp(0))
			opts.Transactional = false
			req.Topics[0].Partitions[0].Records = recordbatchtest.Encode(records, opts)
		}, want: kerr.InvalidTxnState},
		{name: "control batch", version: 12, change: func(c *txnClient, req *kmsg.ProduceRequest) {
			opts := c.options(tp(0))
			opts.Control = true
			req.Topics[0].Partitions[0].Records = recordbatchtest.Encode(records, opts)
		}, want: kerr.InvalidRecord},
		{name: "acks=1", version: 12, change: func(_ *txnClient, req *kmsg.ProduceRequest) { req.Acks = 1 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			topic = h.topic(fmt.Sprint("events-", i), 8, 1)
			c := h.txnClient(tc.name)
			if tc.before != nil {
				tc.before(c)
			}
			marks, _ := h.replica.Watermarks(tp(0))
			req := c.request(topic, 0, records)
			if tc.change != nil {
				tc.change(c, req)
			}
			rows := h.sendRequest(tc.version, req)
			for _, row := range rows {
				if tc.want == nil {
					equal(t, "error", row.ErrorCode, 0)
					continue
				}
				if row.ErrorCode != tc.want.Code || row.BaseOffset != -1 || row.ErrorMessage == nil {
					t.Fatalf("error %d at offset %d, want %d", row.ErrorCode, row.BaseOffset, tc.want.Code)
				}
				if row.LogStartOffset != -1 && batchIsTransactional(req) {
					t.Errorf("the refusal of a transactional batch tells of log start %d", row.LogStartOffset)
				}
			}
			if after, _ := h.replica.Watermarks(tp(0)); tc.want != nil && after != marks {
				t.Errorf("refused, and the partition moved from %+v to %+v", marks, after)
			}
		})
	}
}

// A request may bring plain batches of other partitions along.
func TestPlainAndTransactionalBatchesOfARequest(t *testing.T) {
	h := newRecordBroker(t, nil)
	topic := h.topic("events", 2, 1)
	c := h.txnClient("payments")
	req := c.request(topic, 0, testRecords(2, 1_000_000))
	req.Topics = append(req.Topics, produceRequest(topic, 1, testBatch(3)).Topics...)
	for _, row := range h.sendRequest(12, req) {
		equal(t, "error", row.ErrorCode, 0)
	}
	for p, want := range []metastore.Watermarks{{High: 2, Stable: 0}, {High: 3, Stable: 3}} {
		marks, _ := h.replica.Watermarks(metastore.TopicPartition{Topic: topic.ID, Partition: int32(p)})
		equal(t, "watermarks", marks, want)
	}
}

// The producer got its id from another broker a moment ago.
func TestTransactionalProduceLooksForIDsThatItHasNotHeardOf(t *testing.T) {
	h := newRecordBroker(t, nil)
	topic := h.topic("events", 1, 1)
	elsewhere := h.elsewhere()
	there := *h
	harness := *h.harness
	there.harness = &harness
	there.replica = elsewhere
	c := there.txnClient("payments")
	if _, ok := h.replica.Transaction("payments"); ok {
		t.Fatal("the broker knows already: the test does not test what it should")
	}
	c.recordHarness = h
	equal(t, "first offset", c.produce(topic, 0, 1), 0)
}

func batchIsTransactional(req *kmsg.ProduceRequest) bool {
	header, err := recordbatch.ParseHeader(req.Topics[0].Partitions[0].Records)
	return err == nil && header.Transactional()
}
