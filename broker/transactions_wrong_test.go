package broker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

// wrongedTxns is a broker with transactions of both versions, open and ended, which wrong requests must not harm.
type wrongedTxns struct {
	*recordHarness
	stays, gone *metastore.Topic
	old         *txnProducer // of version 1: has "stays", "gone" and offsets in an open transaction
	begun       *txnProducer // of version 2: as well
	ended       *txnProducer // of version 2: has committed a transaction
	fenced      *txnProducer // whose id another has
}

func newWrongedTxns(t *testing.T) *wrongedTxns {
	h := newRecordHarness(t, nil)
	w := &wrongedTxns{recordHarness: h, stays: h.topic("stays", 4, 1), gone: h.topic("gone", 4, 1)}
	w.old, w.begun, w.ended, w.fenced = h.transactional("old"), h.transactional("begun"), h.transactional("ended"), h.transactional("fenced")
	for _, topic := range []string{"stays", "gone"} {
		equal(t, "setup: add", w.old.add(3, topic, 0)[0], 0)
	}
	equal(t, "setup: add offsets", w.old.addOffsets(3, "old-group"), 0)
	for i, p := range []*txnProducer{w.old, w.begun} {
		for _, topic := range []*metastore.Topic{w.stays, w.gone} {
			equal(t, "setup: produce", producedCodes(w.send(p, 9+3*int16(i), topic, int32(i), 0)), "NONE")
			equal(t, "setup: commit", p.commitOffset(4+int16(i), p.id+"-group", topic.Name, 0, 7), 0)
		}
	}
	equal(t, "setup: produce", producedCodes(w.send(w.ended, 12, w.stays, 2, 0)), "NONE")
	equal(t, "setup: end", w.ended.end(5, true), 0)
	equal(t, "setup: add", w.fenced.add(3, "stays", 3)[3], 0)
	h.transactional("fenced")
	must(t, h.replica.DeleteTopic(t.Context(), w.gone.ID))
	return w
}

// produceOf is a request with one transactional record of a producer.
func produceOf(p *txnProducer, topic *metastore.Topic, partition, sequence int32) *kmsg.ProduceRequest {
	req := produceRequest(topic, partition, recordbatchtest.Encode(testRecords(1, 1_000_000), recordbatchtest.Options{
		ProducerID: p.pid, ProducerEpoch: p.epoch, BaseSequence: sequence, Transactional: true,
	}))
	req.TransactionID = &p.id
	return req
}

func (w *wrongedTxns) send(p *txnProducer, version int16, topic *metastore.Topic, partition, sequence int32) kmsg.Response {
	req := produceOf(p, topic, partition, sequence)
	req.SetVersion(version)
	return w.ask(req)
}

// producedCodes names the codes in answers that producers get.
func producedCodes(resp kmsg.Response) string {
	var names []string
	add := func(code int16) { names = append(names, codesOf(&kmsg.HeartbeatResponse{ErrorCode: code})) }
	switch r := resp.(type) {
	case *kmsg.ProduceResponse:
		add(r.Topics[0].Partitions[0].ErrorCode)
	case *kmsg.AddPartitionsToTxnResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				add(p.ErrorCode)
			}
		}
	case *kmsg.AddOffsetsToTxnResponse:
		add(r.ErrorCode)
	case *kmsg.EndTxnResponse:
		add(r.ErrorCode)
	case *kmsg.InitProducerIDResponse:
		add(r.ErrorCode)
	default:
		return codesOf(resp)
	}
	return strings.Join(names, " ")
}

// state is all that wrong requests must not change.
func (w *wrongedTxns) state() string {
	w.t.Helper()
	describe := kmsg.NewPtrDescribeTransactionsRequest()
	describe.TransactionalIDs = []string{"old", "begun", "ended", "fenced", "unknown"}
	all := bytes.NewBuffer(ask[*kmsg.DescribeTransactionsResponse](w.harness, 0, describe).AppendTo(nil))
	for p := range w.stays.Partitions {
		all.Write(ask[*kmsg.DescribeProducersResponse](w.harness, 0, describeProducersRequest("stays", p)).AppendTo(nil))
		marks, _ := w.replica.Watermarks(metastore.TopicPartition{Topic: w.stays.ID, Partition: p})
		fmt.Fprintln(all, marks)
	}
	for _, group := range []string{"old-group", "begun-group"} {
		offset, code := w.position(group, "stays", 0, true)
		fmt.Fprintln(all, offset, code)
	}
	return all.String()
}

// wrongProducer is a producer that is not what it says.
type wrongProducer struct {
	name string
	p    *txnProducer
	// What the requests of its transactions say, writes and commits of offsets, each from the version on that has a new name for it.
	ends, writes, keeps string
}

func (w *wrongedTxns) wrongProducers() []wrongProducer {
	as := func(p *txnProducer, change func(p *txnProducer)) *txnProducer {
		other := *p
		change(&other)
		return &other
	}
	return []wrongProducer{
		{"zombie", w.fenced, "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "INVALID_PRODUCER_EPOCH"},
		{"epoch to come", as(w.old, func(p *txnProducer) { p.epoch++ }), "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "INVALID_PRODUCER_EPOCH"},
		{"no epoch", as(w.begun, func(p *txnProducer) { p.epoch = -1 }), "PRODUCER_FENCED", "INVALID_RECORD", "INVALID_PRODUCER_EPOCH"},
		{"producer id of another", as(w.old, func(p *txnProducer) { p.pid = w.begun.pid }), "INVALID_PRODUCER_ID_MAPPING", "INVALID_PRODUCER_ID_MAPPING", "INVALID_PRODUCER_ID_MAPPING"},
		{"unknown id", as(w.old, func(p *txnProducer) { p.id = "unknown" }), "INVALID_PRODUCER_ID_MAPPING", "INVALID_PRODUCER_ID_MAPPING", "INVALID_PRODUCER_ID_MAPPING"},
		{"empty id", as(w.old, func(p *txnProducer) { p.id = "" }), "INVALID_REQUEST", "INVALID_PRODUCER_ID_MAPPING", "INVALID_REQUEST"},
	}
}

func (w *wrongedTxns) wrongRequests() (all []wrongRequest) {
	offsets := func(p *txnProducer) *kmsg.AddOffsetsToTxnRequest {
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = p.id, p.pid, p.epoch, "old-group"
		return req
	}
	for _, x := range w.wrongProducers() {
		before := strings.Replace(x.ends, "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", 1) // KIP-588
		all = append(all, []wrongRequest{
			{x.name + ": add", 3, x.p.addRequest("stays", 1), x.ends},
			{x.name + ": add, old version", 1, x.p.addRequest("stays", 1), before},
			{x.name + ": add offsets", 4, offsets(x.p), x.ends},
			{x.name + ": add offsets, old version", 1, offsets(x.p), before},
			{x.name + ": commit", 5, x.p.endRequest(true), x.ends},
			{x.name + ": abort", 4, x.p.endRequest(false), x.ends},
			{x.name + ": commit, old version", 1, x.p.endRequest(true), before},
			{x.name + ": commit of offsets", 5, x.p.commitRequest("old-group", "stays", 9, 0), x.keeps},
			{x.name + ": commit of offsets, old version", 0, x.p.commitRequest("old-group", "stays", 9, 0), x.keeps},
			{x.name + ": write", 12, produceOf(x.p, w.stays, 0, 0), x.writes},
			{x.name + ": write, old version", 3, produceOf(x.p, w.stays, 0, 0), x.writes},
		}...)
	}
	init := func(change func(r *kmsg.InitProducerIDRequest)) *kmsg.InitProducerIDRequest {
		return changed(initRequest("old", 60_000), change)
	}
	late := *w.ended
	late.epoch--
	metadata := func(r *kmsg.TxnOffsetCommitRequest) {
		r.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("m", 10<<20))
	}
	return append(all, []wrongRequest{
		{"init: empty id", 5, init(func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = new(string) }), "INVALID_REQUEST"},
		{"init: no time-out", 5, init(func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 0 }), "INVALID_TRANSACTION_TIMEOUT"},
		{"init: time-out too long", 0, init(func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 900_001 }), "INVALID_TRANSACTION_TIMEOUT"},
		{"init: an id and no epoch", 3, init(func(r *kmsg.InitProducerIDRequest) { r.ProducerID = w.old.pid }), "INVALID_REQUEST"},
		{"init: another epoch", 4, init(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = w.old.pid, w.old.epoch+1 }), "PRODUCER_FENCED"},
		{"init: another epoch, old version", 3, init(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = w.old.pid, w.old.epoch+1 }), "INVALID_PRODUCER_EPOCH"},
		{"init: another producer id", 5, init(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = w.begun.pid, w.old.epoch }), "PRODUCER_FENCED"},

		{"a transaction of a deleted topic: add", 3, w.old.addRequest("gone", 0), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"a transaction of a deleted topic: add with others", 3, changed(w.old.addRequest("gone", 0), func(r *kmsg.AddPartitionsToTxnRequest) {
			r.Topics = append(r.Topics, w.old.addRequest("stays", 1).Topics...)
		}), "UNKNOWN_TOPIC_OR_PARTITION OPERATION_NOT_ATTEMPTED"},
		{"a transaction of a deleted topic: write, version 1", 9, produceOf(w.old, w.gone, 0, 1), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"a transaction of a deleted topic: write, version 2", 12, produceOf(w.begun, w.gone, 1, 1), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"a transaction of a deleted topic: write by its id", 13, produceOf(w.begun, w.gone, 1, 1), "UNKNOWN_TOPIC_ID"},
		{"a transaction of a deleted topic: commit of offsets, version 1", 4, w.old.commitRequest("old-group", "gone", 9, 0), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"a transaction of a deleted topic: commit of offsets, version 2", 5, w.begun.commitRequest("begun-group", "gone", 9, 0), "UNKNOWN_TOPIC_OR_PARTITION"},

		{"write to what was not added", 9, produceOf(w.old, w.stays, 1, 0), "INVALID_TXN_STATE"},
		{"write to what was not added, abortable", 11, produceOf(w.old, w.stays, 1, 0), "TRANSACTION_ABORTABLE"},
		{"write with a gap", 12, produceOf(w.begun, w.stays, 1, 5), "OUT_OF_ORDER_SEQUENCE_NUMBER"},
		{"write of the transaction before", 12, produceOf(&late, w.stays, 2, 1), "INVALID_PRODUCER_EPOCH"},
		{"commit of offsets of a group that was not added", 3, w.old.commitRequest("other", "stays", 9, 0), "INVALID_TXN_STATE"},
		{"commit of offsets of a group that was not added, abortable", 4, w.old.commitRequest("other", "stays", 9, 0), "TRANSACTION_ABORTABLE"},
		{"commit of offsets of the transaction before", 5, late.commitRequest("begun-group", "stays", 9, 0), "INVALID_PRODUCER_EPOCH"},
		{"commit of offsets without a group", 4, w.old.commitRequest("", "stays", 9, 0), "INVALID_GROUP_ID"},
		{"commit of offsets with 10 MiB of metadata", 4, changed(w.old.commitRequest("old-group", "stays", 9, 0), metadata), "OFFSET_METADATA_TOO_LARGE"},
		{"commit of nothing", 5, w.ended.endRequest(true), "INVALID_TXN_STATE"},
		{"abort of what is committed", 5, late.endRequest(false), "INVALID_TXN_STATE"},
	}...)
}

// TestWrongRequestsOfTransactions: each gets the error code that Kafka has for it and changes nothing. integration/differential
// asks Apache Kafka the same.
func TestWrongRequestsOfTransactions(t *testing.T) {
	w := newWrongedTxns(t)
	before := w.state()
	for _, tc := range w.wrongRequests() {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			tc.req.SetVersion(tc.version)
			equal(t, "error", producedCodes(w.ask(tc.req)), tc.want)
			equal(t, "something has changed", w.state() != before, false)
		})
	}
	w.t = t
	for i, p := range []*txnProducer{w.old, w.begun} {
		equal(t, "commit of "+p.id, p.end(4+int16(i), true), 0)
		offset, code := w.position(p.id+"-group", "stays", 0, true)
		equal(t, "position of "+p.id, offset, 7)
		equal(t, "code of the position", code, 0)
	}
	equal(t, "the one that has ended goes on", producedCodes(w.harness.ask(changed(produceOf(w.ended, w.stays, 2, 0), func(r *kmsg.ProduceRequest) { r.SetVersion(12) }))), "NONE")
	equal(t, "and ends", w.ended.end(5, true), 0)
}

// TestAProducerGoesOnAfterItsTransactionTimedOut as clients of both versions do, which bump their epoch by InitProducerId (KIP-360):
// franz-go cannot go on if that is refused.
func TestAProducerGoesOnAfterItsTransactionTimedOut(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	for version, begin := range map[int16]func(p *txnProducer) int16{
		4: func(p *txnProducer) int16 { return p.add(3, "t", 0)[0] },
		5: func(p *txnProducer) int16 { return p.commitOffset(5, "g", "t", 0, 1) },
	} {
		p := h.transactional(fmt.Sprint("id-", version))
		equal(t, "begin", begin(p), 0)
		must(t, h.decide(metastore.AbortTxn{ID: p.id, Number: h.txn(p.id).Number}).Err)
		late := *p
		equal(t, "commit of what was aborted", late.end(version, true) != 0, true)
		req := initRequest(p.id, 60_000)
		req.ProducerID, req.ProducerEpoch = p.pid, p.epoch
		for range 2 { // the answer was lost
			resp := ask[*kmsg.InitProducerIDResponse](h, 4, req)
			equal(t, "init with its epoch", resp.ErrorCode, 0)
			equal(t, "producer", resp.ProducerID, p.pid)
			equal(t, "epoch", resp.ProducerEpoch, late.epoch+1)
			p.epoch = resp.ProducerEpoch
		}
		equal(t, "the epoch before is fenced", late.add(3, "t", 0)[0] != 0, true)
		equal(t, "begin anew", begin(p), 0)
		equal(t, "commit", p.end(version, true), 0)
	}
}

// TestTheOffsetThatWasCommittedLastCounts, in a transaction or beside it, whichever is made durable last: an administrator who sets
// a position while a transaction is open would find it gone.
func TestTheOffsetThatWasCommittedLastCounts(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 4, 1)
	p, q := h.transactional("p"), h.transactional("q")
	hold := func(p *txnProducer, offset int64, partitions ...int32) {
		t.Helper()
		for _, row := range ask[*kmsg.TxnOffsetCommitResponse](h, 5, p.commitRequest("g", "t", offset, partitions...)).Topics[0].Partitions {
			equal(t, "commit in a transaction", row.ErrorCode, 0)
		}
	}
	plain := func(offset int64, partition int32) {
		t.Helper()
		equal(t, "commit", h.commit(t, 8, "g", "t", [16]byte{}, partition, offset), 0)
	}
	at := func(what string, partition int32, want int64) {
		t.Helper()
		offset, code := h.position("g", "t", partition, true)
		equal(t, what, offset, want)
		equal(t, what+": code", code, 0)
	}
	plain(1, 0)
	hold(p, 2, 0, 1, 2, 3)
	hold(q, 3, 2)
	plain(4, 1)
	plain(5, 2)
	plain(6, 3)
	hold(p, 7, 3)
	offset, code := h.position("g", "t", 1, false)
	equal(t, "beside the transaction", offset, 4)
	equal(t, "beside the transaction: code", code, 0)
	equal(t, "commit of p", p.end(5, true), 0)
	at("in the transaction, later", 0, 2)
	at("beside the transaction, later", 1, 4)
	at("in the transaction once more", 3, 7)
	equal(t, "commit of q", q.end(5, true), 0)
	at("beside two transactions, later", 2, 5)

	hold(p, 8, 0)
	plain(9, 0)
	equal(t, "abort of p", p.end(5, false), 0)
	at("beside a transaction that was aborted", 0, 9)
}

// TestTheOffsetThatWasCommittedLastCountsAtAnotherCoordinator, too, which has not heard yet what the one before had a transaction hold.
func TestTheOffsetThatWasCommittedLastCountsAtAnotherCoordinator(t *testing.T) {
	h := newHarness(t, nil, 0)
	topic := h.topic("t", 1, 1)
	p := h.transactional("p")
	claimed, err := h.store.ClaimGroup(t.Context(), "g", 1)
	must(t, err)
	results, err := h.elsewhere().Transact(t.Context(), []metastore.TxnRequest{metastore.CommitTxnOffsets{
		ID: p.id, Producer: metastore.ProducerID(p.pid), Epoch: metastore.ProducerEpoch(p.epoch), Group: "g", Claim: claimed.Epoch, Implicit: true,
		Offsets: []metastore.CommittedOffset{{TopicPartition: metastore.TopicPartition{Topic: topic.ID}, TopicName: "t", Offset: 1, CommittedAt: time.Now()}},
	}})
	must(t, err)
	must(t, results[0].Err)
	equal(t, "it is heard of here", h.replica.GroupPending("g"), false)
	equal(t, "commit", h.commit(t, 8, "g", "t", [16]byte{}, 0, 2), 0)
	equal(t, "end", p.end(5, true), 0)
	offset, code := h.position("g", "t", 0, true)
	equal(t, "position", offset, 2)
	equal(t, "code of the position", code, 0)
}
