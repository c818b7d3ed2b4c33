package differential

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const transactional = 0x10 // an attribute of batches

// notEnoughReplicas is what Kafka tells producers of old versions while it cannot look at the transaction.
const notEnoughReplicas = 19

// produce writes a batch of the producer.
func (p *txnSide) produce(label string, v int16, topic string, id [16]byte, partition, sequence int32, change ...func(r *kmsg.ProduceRequest, b *batch)) {
	b := p.s.batch(numbered(1)...).from(p.pid, p.epoch, sequence)
	b.attributes |= transactional
	req := produceRequest(-1, topic, id)
	req.TransactionID = &p.id
	for _, c := range change {
		c(req, b)
	}
	req.Topics[0].Partitions = []kmsg.ProduceRequestTopicPartition{to(partition, b.bytes())}
	settled(p.s, label, v, req, func(r *kmsg.ProduceResponse) int16 {
		if code := r.Topics[0].Partitions[0].ErrorCode; code != notEnoughReplicas {
			return code
		}
		return concurrent
	})
}

// bump has the producer go on at the next epoch (KIP-360).
func (p *txnSide) bump(label string) {
	req := initTxnRequest(p.id, 1)
	req.ProducerID, req.ProducerEpoch = p.pid, p.epoch
	resp := settled(p.s, label, 4, req, func(r *kmsg.InitProducerIDResponse) int16 { return r.ErrorCode })
	if resp.ErrorCode == 0 {
		p.pid, p.epoch = resp.ProducerID, resp.ProducerEpoch
	}
}

// producers takes down which producers a partition knows.
func (p *txnSide) producers(label, topic string, partition int32) {
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
	resp := quiet[*kmsg.DescribeProducersResponse](p.s, 0, req)
	for i := range resp.Topics[0].Partitions {
		active := resp.Topics[0].Partitions[i].ActiveProducers
		for j := range active {
			active[j].LastTimestamp, active[j].CoordinatorEpoch = 0, 0
		}
	}
	p.s.record(label, p.s.flatten(resp))
}

func (s *side) deleteTopic(name string) {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis, req.TopicNames = 10_000, []string{name}
	if code := quiet[*kmsg.DeleteTopicsResponse](s, 4, req).Topics[0].ErrorCode; code != 0 {
		s.fatalf("delete topic %s: %s", name, errorName(code))
	}
	s.awaitNoTopic(name)
}

// wrongTransactionScripts asks what no producer should, at every step of a transaction.
var wrongTransactionScripts = []script{{"transactions-produce", func(s *side) {
	s.at(kmsg.Produce, []int16{3, 9, 10, 11, 12, 13}, func(v int16) {
		topic := s.named("topic")
		id := s.topic(topic, 4)
		p := s.transactional(s.named("id"))
		// What Kafka takes goes where it moves no offsets of the rest.
		strangers := func(what string, partition, sequence int32) {
			p.strangers(func(label string, p *txnSide) { p.produce(what+", "+label, v, topic, id, partition, sequence) })
			p.produce(what+", without an id", v, topic, id, partition, sequence, func(r *kmsg.ProduceRequest, _ *batch) { r.TransactionID = nil })
		}
		strangers("nothing begun", 3, 0)
		if v < 12 {
			p.produce("not added", v, topic, id, 0, 0)
			p.add("add", 3, topic, 0)
			p.produce("another partition", v, topic, id, 1, 0)
		}
		p.produce("first", v, topic, id, 0, 0)
		p.produce("asked again", v, topic, id, 0, 0)
		p.produce("a gap", v, topic, id, 0, 5)
		p.produce("outside the transaction", v, topic, id, 0, 1, func(_ *kmsg.ProduceRequest, b *batch) { b.attributes = 0 })
		p.produce("a marker", v, topic, id, 0, 1, func(_ *kmsg.ProduceRequest, b *batch) { b.attributes |= 0x20 })
		p.produce("second", v, topic, id, 0, 1)
		if v >= 12 {
			p.produce("not from 0", v, topic, id, 2, 4)
		}
		strangers("begun", 3, 0)
		p.producers("producers", topic, 0)
		before := *p
		if v >= 12 {
			p.end("commit", 5, true)
		} else {
			p.end("commit", 4, true)
		}
		p.describe("committed", p.id)
		p.producers("producers after the commit", topic, 0)
		before.produce("late", v, topic, id, 0, 2)
		if v >= 12 { // else Kafka takes the lower sequence number for one that the next may not exceed
			before.produce("late, asked again", v, topic, id, 0, 1)
		}
		before.produce("late, in another partition", v, topic, id, 1, 0)
		if v < 12 {
			p.add("add, second", 3, topic, 0)
			p.produce("goes on", v, topic, id, 0, 2)
			p.end("abort", 4, false)
		} else {
			p.produce("goes on", v, topic, id, 0, 0)
			p.end("abort", 5, false)
		}
		fenced := *p
		p.restart("init")
		fenced.produce("fenced", v, topic, id, 0, 3)
		ask[*kmsg.ListOffsetsResponse](s, "end", 5, listOffsets(topic, 0, -1))
	})
}}, {"transactions-deleted-topic", func(s *side) {
	for _, version := range []int16{1, 2} {
		name := fmt.Sprintf("transactions-deleted-topic-%d", version)
		s.prefix = fmt.Sprintf("version %d/", version)
		kept, gone, group := name+"-kept", name+"-gone", name+"-group"
		keptID, goneID := s.topic(kept, 1), s.topic(gone, 1)
		p := s.transactional(name)
		vEnd, vProduce, vCommit := int16(4), int16(9), int16(4)
		if version == 2 {
			vEnd, vProduce, vCommit = 5, 12, 5
		} else {
			p.add("add", 3, kept, 0)
			p.add("add, to be deleted", 3, gone, 0)
			p.addOffsets("add offsets", 4, group)
		}
		p.produce("produce", vProduce, kept, keptID, 0, 0)
		p.produce("produce, to be deleted", vProduce, gone, goneID, 0, 0)
		p.commit("commit offsets", vCommit, group, kept, 3, nil, 0)
		p.commit("commit offsets, to be deleted", vCommit, group, gone, 3, nil, 0)
		s.deleteTopic(gone)
		p.add("add what is deleted", 3, gone, 0)
		p.produce("produce to what is deleted", vProduce, gone, goneID, 0, 1)
		p.produce("produce to what is deleted, by its id", 13, gone, goneID, 0, 1)
		p.commit("commit offsets of what is deleted", vCommit, group, gone, 4, nil, 0)
		p.produce("produce to what is left", vProduce, kept, keptID, 0, 1)
		p.end("commit", vEnd, true)
		p.stablePosition("position of what is left", group, kept, 0)
		p.describe("committed", p.id)
		req := listOffsets(kept, 0, -1)
		req.IsolationLevel = 1
		s.until("the marker", func() bool {
			return quiet[*kmsg.ListOffsetsResponse](s, 5, req).Topics[0].Partitions[0].Offset == 3
		})
		if version == 1 {
			p.add("add, second", 3, kept, 0)
		}
		p.produce("goes on", vProduce, kept, keptID, 0, int32(2*(2-version)))
		p.end("abort", vEnd, false)
	}
	s.prefix = ""
}}, {"transactions-timed-out", func(s *side) {
	const topic = "transactions-timed-out-topic"
	id := s.topic(topic, 1)
	type abandoned struct {
		*txnSide
		version int
		then    string
	}
	var all []abandoned
	var ids []string
	for _, version := range []int{1, 2} {
		for _, then := range []string{"ends", "aborts", "writes", "adds", "commits offsets", "begins anew with its epoch", "begins anew"} {
			s.prefix = fmt.Sprintf("version %d, %s/", version, then)
			p := &txnSide{s: s, id: fmt.Sprintf("transactions-timed-out-%d-%s", version, then)}
			resp := settled(s, "init", 4, initTxnRequest(p.id, 1), func(r *kmsg.InitProducerIDResponse) int16 { return r.ErrorCode })
			p.pid, p.epoch = resp.ProducerID, resp.ProducerEpoch
			if version == 1 {
				p.add("add", 3, topic, 0)
				p.addOffsets("add offsets", 4, p.id)
			} else {
				p.commit("commit offsets", 5, p.id, topic, 3, nil, 0)
			}
			all, ids = append(all, abandoned{p, version, then}), append(ids, p.id)
		}
	}
	describe := kmsg.NewPtrDescribeTransactionsRequest()
	describe.TransactionalIDs = ids
	s.until("the end of the transactions", func() bool {
		for _, t := range quiet[*kmsg.DescribeTransactionsResponse](s, 0, describe).TransactionStates {
			if t.State != "CompleteAbort" {
				return false
			}
		}
		return true
	})
	for _, p := range all {
		s.prefix = fmt.Sprintf("version %d, %s/", p.version, p.then)
		vEnd, vProduce, vCommit := int16(4), int16(9), int16(4)
		if p.version == 2 {
			vEnd, vProduce, vCommit = 5, 12, 5
		}
		p.describe("aborted", p.id)
		zombie := *p.txnSide
		switch p.then {
		case "ends":
			p.end("commit", vEnd, true)
			p.end("commit again", vEnd, true)
		case "aborts":
			p.end("abort", vEnd, false)
			zombie.end("abort again", vEnd, false)
			p.commit("goes on with offsets", vCommit, p.id, topic, 4, nil, 0)
		case "writes":
			p.produce("write", vProduce, topic, id, 0, 0)
		case "adds":
			p.add("add", 3, topic, 0)
			p.addOffsets("add offsets", 4, p.id)
		case "commits offsets":
			p.commit("commit offsets", vCommit, p.id, topic, 4, nil, 0)
		case "begins anew with its epoch":
			p.bump("init with its epoch")
			zombie.bump("init with its epoch, again")
			p.add("add", 3, topic, 0)
			zombie.bump("init with its epoch, late")
		default:
			p.restart("init")
			zombie.bump("init with its epoch, too late")
		}
		p.describe("in the end", p.id)
	}
	s.prefix = ""
}}, {"transactions-mixed", func(s *side) {
	const topic = "transactions-mixed-topic"
	id := s.topic(topic, 1)
	p := s.transactional("transactions-mixed-id")
	p.add("add", 3, topic, 0)
	p.produce("of version 1", 9, topic, id, 0, 0)
	before := *p
	p.end("commit at version 2", 5, true)
	p.describe("committed", p.id)
	before.end("asked again at version 2", 5, true)
	again := *p
	again.end("commit at version 1, of nothing", 4, true)
	p.produce("of version 2", 12, topic, id, 0, 0)
	p.add("add, too", 3, topic, 0)
	p.commit("offsets of a group that was not added, version 1", 4, "transactions-mixed-group", topic, 1, nil, 0)
	p.end("abort at version 1", 4, false)
	p.describe("aborted", p.id)
	p.end("abort at version 1, again", 4, false)
	p.end("abort at version 2", 5, false)
	p.describe("aborted again", p.id)
	init := func(label string, pid int64, epoch int16) {
		req := initTxnRequest(p.id, 60_000)
		req.ProducerID, req.ProducerEpoch = pid, epoch
		resp := settled(s, label, 5, req, func(r *kmsg.InitProducerIDResponse) int16 { return r.ErrorCode })
		if resp.ErrorCode == 0 {
			p.pid, p.epoch = resp.ProducerID, resp.ProducerEpoch
		}
	}
	init("init after an end at version 2, with its epoch", p.pid, p.epoch)
	p.produce("begun", 12, topic, id, 0, 0)
	p.describe("before init", p.id)
	old := *p
	init("init with a transaction open and its epoch", p.pid, p.epoch)
	p.describe("after init", p.id)
	init("init, asked again", old.pid, old.epoch)
	old.produce("late", 12, topic, id, 0, 1)
	old.end("late", 5, true)
	old.end("late abort", 5, false)
	p.describe("in the end", p.id)
	ask[*kmsg.ListOffsetsResponse](s, "end", 5, listOffsets(topic, 0, -1))
}}, {"transactions-and-plain-commits", func(s *side) {
	const topic, group = "transactions-and-plain-topic", "transactions-and-plain-group"
	s.topic(topic, 2)
	p := s.transactional("transactions-and-plain-id")
	plain := func(label string, partition int32, offset int64) {
		ask[*kmsg.OffsetCommitResponse](s, label, 8, commitRequest(group, "", -1, topic, partition, offset))
	}
	plain("before, 1", 0, 1)
	p.commit("in a transaction, 2", 5, group, topic, 2, nil, 0, 1)
	p.position("position in between", group, topic, false, 0, 1)
	plain("beside it, 3", 1, 3)
	p.position("position beside it", group, topic, false, 0, 1)
	p.position("stable position beside it", group, topic, true, 0, 1)
	p.end("commit", 5, true)
	p.stablePosition("position of what had none since", group, topic, 0)
	p.stablePosition("position of what was committed beside it", group, topic, 1)
	remove := kmsg.NewPtrOffsetDeleteRequest()
	remove.Group = group
	remove.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	p.commit("in another transaction, 4", 5, group, topic, 4, nil, 0, 1)
	ask[*kmsg.OffsetDeleteResponse](s, "forget", 0, remove)
	p.end("commit the other", 5, true)
	p.stablePosition("position of what was forgotten beside it", group, topic, 0)
	p.commit("in a third transaction, 5", 5, group, topic, 5, nil, 0)
	doomed := kmsg.NewPtrDeleteGroupsRequest()
	doomed.Groups = []string{group}
	ask[*kmsg.DeleteGroupsResponse](s, "delete the group", 2, doomed)
	p.end("commit the third", 5, true)
	p.position("position of the deleted group", group, topic, false, 0, 1)
}}, {"transactions-strangers-offsets", func(s *side) {
	const topic = "transactions-strangers-topic"
	s.topic(topic, 1)
	s.at(kmsg.TxnOffsetCommit, []int16{0, 2, 3, 4, 5}, func(v int16) {
		group := s.named("group")
		p := s.transactional(s.named("id"))
		p.strangers(func(label string, p *txnSide) { p.commit("nothing begun, "+label, v, group, topic, 1, nil, 0) })
		p.addOffsets("add offsets", 4, group)
		p.strangers(func(label string, p *txnSide) { p.commit("begun, "+label, v, group, topic, 1, nil, 0) })
		p.commit("negative offset", v, group, topic, -1, nil, 0)
		p.addOffsets("add offsets of a group without a name", 4, "")
		p.end("abort", 4, false)
	})
}}}
