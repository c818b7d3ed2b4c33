package differential

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// concurrent is CONCURRENT_TRANSACTIONS: Kafka says it while the markers of the transaction before are written, which may
// or may not be seen.
const concurrent = 51

// unavailable is COORDINATOR_NOT_AVAILABLE: on a busy machine Runnel may not get a look at its log within a second, and
// clients ask again.
const unavailable = 15

// settled takes down the answer that is given once the transaction before has ended everywhere.
func settled[R kmsg.Response](s *side, label string, v int16, req kmsg.Request, code func(R) int16) R {
	var resp R
	s.until(label, func() bool {
		resp = quiet[R](s, v, req)
		return code(resp) != concurrent
	})
	s.record(label, s.flatten(resp))
	return resp
}

// txnSide is a producer with a transactional id during one script.
type txnSide struct {
	s     *side
	id    string
	pid   int64
	epoch int16
}

func initTxnRequest(id string, timeout int32) *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &id, timeout
	req.ProducerID, req.ProducerEpoch = -1, -1
	return req
}

// transactional starts a producer.
func (s *side) transactional(id string) *txnSide {
	p := &txnSide{s: s, id: id}
	p.restart("init " + id)
	return p
}

// restart starts the producer anew, which fences what is left of it.
func (p *txnSide) restart(label string) {
	resp := settled(p.s, label, 4, initTxnRequest(p.id, 60_000), func(r *kmsg.InitProducerIDResponse) int16 { return r.ErrorCode })
	p.pid, p.epoch = resp.ProducerID, resp.ProducerEpoch
}

// as is the producer with other names.
func (p *txnSide) as(change func(p *txnSide)) *txnSide {
	other := *p
	change(&other)
	return &other
}

func (p *txnSide) add(label string, v int16, topic string, partitions ...int32) {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = p.id, p.pid, p.epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	single := kmsg.NewAddPartitionsToTxnRequestTransaction()
	single.TransactionalID, single.ProducerID, single.ProducerEpoch = p.id, p.pid, p.epoch
	single.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: partitions}}
	req.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{single}
	settled(p.s, label, v, req, func(r *kmsg.AddPartitionsToTxnResponse) int16 {
		for _, t := range r.Topics {
			return t.Partitions[0].ErrorCode
		}
		for _, x := range r.Transactions {
			return x.Topics[0].Partitions[0].ErrorCode
		}
		return 0
	})
}

func (p *txnSide) addOffsets(label string, v int16, group string) {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = p.id, p.pid, p.epoch, group
	settled(p.s, label, v, req, func(r *kmsg.AddOffsetsToTxnResponse) int16 { return r.ErrorCode })
}

func (p *txnSide) end(label string, v int16, commit bool) {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = p.id, p.pid, p.epoch, commit
	resp := settled(p.s, label, v, req, func(r *kmsg.EndTxnResponse) int16 { return r.ErrorCode })
	if v >= 5 && resp.ErrorCode == 0 {
		p.pid, p.epoch = resp.ProducerID, resp.ProducerEpoch
	}
}

func (p *txnSide) commit(label string, v int16, group, topic string, offset int64, change func(r *kmsg.TxnOffsetCommitRequest), partitions ...int32) {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = p.id, p.pid, p.epoch, group
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic = topic
	for _, n := range partitions {
		row := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		row.Partition, row.Offset, row.Metadata = n, offset, text("m")
		t.Partitions = append(t.Partitions, row)
	}
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{t}
	if change != nil {
		change(req)
	}
	settled(p.s, label, v, req, func(r *kmsg.TxnOffsetCommitResponse) int16 {
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				return p.ErrorCode
			}
		}
		return 0
	})
}

// position takes down what a group has committed; stable waits for nothing.
func (p *txnSide) position(label, group, topic string, stable bool, partitions ...int32) {
	req := fetchOffsets(group, topic, [16]byte{}, partitions...)
	req.RequireStable = stable
	var resp *kmsg.OffsetFetchResponse
	p.s.until(label, func() bool {
		resp = quiet[*kmsg.OffsetFetchResponse](p.s, 7, req)
		return resp.ErrorCode != unavailable
	})
	p.s.record(label, p.s.flatten(resp))
}

// stablePosition takes it down once no transaction may change it.
func (p *txnSide) stablePosition(label, group, topic string, partitions ...int32) {
	req := fetchOffsets(group, topic, [16]byte{}, partitions...)
	req.RequireStable = true
	var resp *kmsg.OffsetFetchResponse
	p.s.until(label, func() bool {
		resp = quiet[*kmsg.OffsetFetchResponse](p.s, 7, req)
		return len(resp.Topics) > 0 && resp.Topics[0].Partitions[0].ErrorCode != 88
	})
	p.s.record(label, p.s.flatten(resp))
}

func (p *txnSide) describe(label string, ids ...string) {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = ids
	var resp *kmsg.DescribeTransactionsResponse
	p.s.until(label, func() bool {
		resp = quiet[*kmsg.DescribeTransactionsResponse](p.s, 0, req)
		for _, t := range resp.TransactionStates {
			if strings.HasPrefix(t.State, "Prepare") {
				return false
			}
		}
		return true
	})
	for _, t := range resp.TransactionStates {
		for _, topic := range t.Topics {
			slices.Sort(topic.Partitions) // which Kafka keeps in a set
		}
	}
	p.s.record(label, p.s.flatten(resp))
}

// strangers asks as everybody who may not.
func (p *txnSide) strangers(ask func(label string, p *txnSide)) {
	ask("no id", p.as(func(p *txnSide) { p.id = "" }))
	ask("an unknown id", p.as(func(p *txnSide) { p.id += "-unknown" }))
	ask("another producer", p.as(func(p *txnSide) { p.pid = madeUpProducer }))
	ask("producer -1", p.as(func(p *txnSide) { p.pid = -1 }))
	ask("an old epoch", p.as(func(p *txnSide) { p.epoch-- }))
	ask("an epoch to come", p.as(func(p *txnSide) { p.epoch++ }))
	ask("epoch -1", p.as(func(p *txnSide) { p.epoch = -1 }))
}

var transactionScripts = []script{{"init-transactional", func(s *side) {
	s.each(kmsg.InitProducerID, func(v int16) {
		id := s.named("id")
		init := func(label string, change func(r *kmsg.InitProducerIDRequest)) *kmsg.InitProducerIDResponse {
			req := initTxnRequest(id, 60_000)
			change(req)
			return settled(s, label, v, req, func(r *kmsg.InitProducerIDResponse) int16 { return r.ErrorCode })
		}
		same := func(*kmsg.InitProducerIDRequest) {}
		first := init("first", same)
		init("again", same)
		init("empty id", func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = text("") })
		for _, timeout := range []int32{-1, 0, 1, 900_000, 900_001} {
			init(fmt.Sprint("time-out ", timeout), func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = timeout })
		}
		init("empty id, time-out 0", func(r *kmsg.InitProducerIDRequest) { r.TransactionalID, r.TransactionTimeoutMillis = text(""), 0 })
		if v < 3 {
			return
		}
		last := init("again, with its epoch to come", same)
		with := func(label string, pid int64, epoch int16) {
			init(label, func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = pid, epoch })
		}
		with("an id without an epoch", first.ProducerID, -1)
		with("an epoch without an id", -1, 0)
		with("the producer", first.ProducerID, last.ProducerEpoch)
		with("the producer, asked again", first.ProducerID, last.ProducerEpoch)
		with("a zombie", first.ProducerID, 0)
		with("an epoch to come", first.ProducerID, last.ProducerEpoch+9)
		with("another producer", madeUpProducer, last.ProducerEpoch)
		with("another producer, last epoch", madeUpProducer, 32767)
		with("the producer, last epoch", first.ProducerID, 32767)
		id = s.named("other")
		with("an unknown id", madeUpProducer, 5)
	})
}}, {"transactions", func(s *side) {
	s.topic("transactions-topic", 3)
	const topic = "transactions-topic"
	s.at(kmsg.AddPartitionsToTxn, []int16{0, 1, 2, 3, 4, 5}, func(v int16) {
		vOffsets, vEnd, vCommit := min(v, 4), min(v, 4), min(v, 4)
		group := s.named("group")
		p := s.transactional(s.named("id"))
		p.end("commit nothing", vEnd, true)
		p.end("abort nothing", vEnd, false)
		p.strangers(func(label string, p *txnSide) { p.add("add, "+label, v, topic, 0) })
		p.add("add what there is not", v, topic, 0, 7, -1)
		p.add("add an unknown topic", v, "transactions-unknown", 0)
		p.add("add a bad topic", v, "a b", 0)
		p.describe("nothing is added", p.id)
		p.add("add", v, topic, 0, 1)
		p.add("add again", v, topic, 1)
		p.describe("added", p.id)
		p.strangers(func(label string, p *txnSide) { p.addOffsets("add offsets, "+label, vOffsets, group) })
		p.commit("commit offsets of a group that was not added", vCommit, group, topic, 5, nil, 0)
		p.addOffsets("add offsets", vOffsets, group)
		p.addOffsets("add offsets again", vOffsets, group)
		p.commit("commit offsets", vCommit, group, topic, 5, nil, 0, 1)
		p.commit("commit offsets of what there is not", vCommit, group, topic, 5, nil, 2, 7, -1)
		p.commit("commit offsets of an unknown topic", vCommit, group, "transactions-unknown", 5, nil, 0)
		p.commit("commit offsets, no group", vCommit, "", topic, 5, nil, 0)
		p.commit("commit offsets, too much metadata", vCommit, group, topic, 5, func(r *kmsg.TxnOffsetCommitRequest) {
			r.Topics[0].Partitions[0].Metadata = text(strings.Repeat("m", 4097))
		}, 0)
		p.position("position, not committed", group, topic, false, 0, 1, 2)
		p.position("stable position, not committed", group, topic, true, 0, 1)
		p.strangers(func(label string, p *txnSide) { p.end("commit, "+label, vEnd, true) })
		p.end("commit", vEnd, true)
		p.describe("committed", p.id)
		p.stablePosition("stable position, committed", group, topic, 0, 1, 2)
		p.end("commit, asked again", vEnd, true)
		p.end("abort, after a commit", vEnd, false)

		p.add("add, second", v, topic, 2)
		p.addOffsets("add offsets, second", vOffsets, group)
		p.commit("commit offsets, second", vCommit, group, topic, 9, nil, 0)
		p.end("abort", vEnd, false)
		p.describe("aborted", p.id)
		p.stablePosition("stable position, aborted", group, topic, 0)
		p.end("abort, asked again", vEnd, false)
		p.end("commit, after an abort", vEnd, true)

		p.add("add, third", v, topic, 0)
		zombie := *p
		p.restart("init with a transaction open")
		zombie.add("add, a zombie", v, topic, 0)
		zombie.addOffsets("add offsets, a zombie", vOffsets, group)
		zombie.end("commit, a zombie", vEnd, true)
		p.end("commit, nothing since", vEnd, true)
	})
}}, {"transactions-2", func(s *side) {
	const topic, group = "transactions-2-topic", "transactions-2-group"
	s.topic(topic, 3)
	p := s.transactional("transactions-2-id")
	p.end("commit nothing", 5, true)
	p.end("abort nothing", 5, false)
	p.commit("commit offsets", 5, group, topic, 5, nil, 0)
	p.describe("begun", p.id)
	p.position("stable position, not committed", group, topic, true, 0)
	before := *p
	p.end("commit", 5, true)
	p.describe("committed", p.id)
	p.stablePosition("stable position, committed", group, topic, 0)
	again := before
	again.end("commit, asked again", 5, true)
	again = before
	again.end("abort, after a commit, at its epoch", 5, false)
	before.commit("commit offsets, late", 5, group, topic, 9, nil, 0)
	p.strangers(func(label string, p *txnSide) { p.end("commit, "+label, 5, true) })
	p.commit("commit offsets, second", 5, group, topic, 9, nil, 0)
	before = *p
	p.end("abort", 5, false)
	p.describe("aborted", p.id)
	p.stablePosition("stable position, aborted", group, topic, 0)
	before.end("abort, asked again", 5, false)
	p.end("abort, nothing since", 5, false)
	p.end("abort, nothing since, again", 5, false)
	p.end("commit, nothing since", 5, true)
	p.commit("commit offsets, third", 5, group, topic, 9, nil, 0)
	p.end("commit at the version before", 4, true)
	p.describe("committed at the version before", p.id)
	p.end("commit at the version before, asked again", 4, true)
}}, {"transactions-members", func(s *side) {
	const topic = "transactions-members-topic"
	s.topic(topic, 1)
	s.at(kmsg.TxnOffsetCommit, []int16{2, 3, 4, 5}, func(v int16) {
		group := s.named("group")
		p := s.transactional(s.named("id"))
		p.addOffsets("add offsets", 4, group)
		commit := func(label, member string, generation int32, instance *string) {
			p.commit(label, v, group, topic, 1, func(r *kmsg.TxnOffsetCommitRequest) {
				r.MemberID, r.Generation, r.InstanceID = member, generation, instance
			}, 0)
		}
		commit("no group yet, a member", "nobody", 1, nil)
		commit("no group yet, a member without generation", "nobody", -1, nil)
		commit("no group yet", "", -1, nil)
		m := s.main.join("join", 5, joinRequest(group, "", "a"))
		commit("before sync", m.MemberID, m.Generation, nil)
		ask[*kmsg.SyncGroupResponse](s, "sync", 3, syncRequest(group, m.MemberID, m.Generation, m.MemberID))
		commit("the member", m.MemberID, m.Generation, nil)
		commit("nobody", "", -1, nil)
		commit("old generation", m.MemberID, m.Generation-1, nil)
		commit("future generation", m.MemberID, m.Generation+1, nil)
		commit("the member, no generation", m.MemberID, -1, nil)
		commit("another member", "nobody", m.Generation, nil)
		commit("unknown instance", m.MemberID, m.Generation, text("i"))
		p.end("commit", 4, true)
	})
}}, {"transactions-list", func(s *side) {
	s.topic("transactions-list-topic", 1)
	p, q := s.transactional("transactions-list-a"), s.transactional("transactions-list-b")
	p.add("add", 3, "transactions-list-topic", 0)
	p.describe("known, unknown and empty", p.id, "transactions-list-unknown", "")
	p.describe("twice", p.id, p.id)
	s.each(kmsg.ListTransactions, func(v int16) {
		list := func(label string, change func(r *kmsg.ListTransactionsRequest)) {
			req := kmsg.NewPtrListTransactionsRequest()
			req.ProducerIDFilters = []int64{p.pid, q.pid} // scripts run side by side
			change(req)
			ask[*kmsg.ListTransactionsResponse](s, label, v, req)
		}
		list("all", func(*kmsg.ListTransactionsRequest) {})
		list("one", func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{q.pid, madeUpProducer} })
		list("by state", func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing", "PrepareCommit", "Dead"} })
		list("by another state", func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Empty", "x", "empty", "x"} })
		list("by unknown states", func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"x"} })
		if v >= 1 {
			for _, millis := range []int64{-1, 3_600_000, 1 << 62} {
				list(fmt.Sprint("longer than ", millis), func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = millis })
			}
		}
		if v >= 2 {
			for _, pattern := range []string{"", ".*", "transactions-list-a", "list", "transactions-list-(a|c)", "(", "[[:alpha:]-]+"} {
				list("pattern "+pattern, func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = &pattern })
			}
		}
	})
	p.end("abort", 4, false)
}}}
