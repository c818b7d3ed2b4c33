package metastore

import (
	"testing"
	"time"
)

// TestAbortedTransactionsAreForgottenWithTheirRecords: nobody may ever abort another in the partition, which is when they
// were dropped before.
func TestAbortedTransactionsAreForgottenWithTheirRecords(t *testing.T) {
	tp := TopicPartition{TopicID{1}, 0}
	s := NewState()
	fold := func(c change) {
		rec := record{time: time.Now().UnixMilli(), nonce: 7, change: c}
		s.apply(s.at.Next(rec.encode()).Position, rec, func(TopicPartition) {})
	}
	fold(createTopic{id: tp.Topic, name: "t", partitions: 1, replicationFactor: 1})
	fold(transact{changes: []txnChange{{id: "app", becomes: &txn{producer: 4}}}})
	for epoch := range ProducerEpoch(3) { // records at 0, 2, 4; markers at 1, 3, 5
		in := &SegmentCommit{ID: NewSegmentID(time.Now()), Size: 1 << 20, Runs: []RunCommit{{TopicPartition: tp, Batches: []BatchCommit{
			{Length: 100, Records: 1, ProducerID: 4, ProducerEpoch: epoch, Transactional: true, Implicit: true},
		}}}}
		c, d := s.decideCommit([]*SegmentCommit{in}, nil)
		d.release()
		fold(c)
		ends := s.decideTxns([]TxnRequest{EndTxn{ID: "app", Producer: 4, Epoch: epoch, Version: 2, Number: TxnNumber(epoch), Fresh: NoProducerID}}, nil)
		if ends.results[0].Err != nil {
			t.Fatal(ends.results[0].Err)
		}
		fold(ends)
	}
	deleteBefore := func(before Offset) {
		c, _ := s.decideDeletion([]RecordDeletion{{TopicPartition: tp, Before: before}})
		fold(c)
	}
	deleteBefore(3)
	if got := s.partition(tp).txns; len(got.aborted) != 2 || got.aborted[0].Last != 3 {
		t.Errorf("from 3 on there are %+v", got.aborted)
	}
	frozen := s.clone()
	deleteBefore(6)
	if got := s.partition(tp).txns; got != nil {
		t.Errorf("of an empty partition it is remembered %+v", got)
	}
	if got := frozen.partition(tp).txns; len(got.aborted) != 2 {
		t.Errorf("the view lost transactions: %+v", got)
	}
	s.thaw()
}
