package metastore

import (
	"reflect"
	"testing"
	"time"
)

// TestRunsBelowTheLogStartOfAnOlderSnapshotAreDropped: earlier versions kept them. What is left is what the entries give; but
// for their segments, which nothing names: these are not garbage with numbers of which other brokers do not know.
func TestRunsBelowTheLogStartOfAnOlderSnapshotAreDropped(t *testing.T) {
	l := newLedger()
	topic := TopicID{1}
	l.fold(createTopic{id: topic, name: "t", partitions: 2, replicationFactor: 1})
	tp := TopicPartition{Topic: topic}
	l.fold(l.s.decideTxns([]TxnRequest{InitTxn{ID: "a", Timeout: time.Minute, Producer: NoProducerID, Epoch: -1, Fresh: 5}, InitTxn{ID: "b", Timeout: time.Minute, Producer: NoProducerID, Epoch: -1, Fresh: 6}}, nil))
	for _, id := range []string{"a", "b"} {
		in := &SegmentCommit{ID: NewSegmentID(time.UnixMilli(l.time)), Size: 1 << 20, Runs: []RunCommit{{TopicPartition: tp, Batches: []BatchCommit{
			{Length: 100, Records: 5, ProducerID: l.s.txns.find(id).producer, Transactional: true, Implicit: true},
		}}}}
		c, _ := l.s.decideCommit([]*SegmentCommit{in}, nil)
		l.fold(c)
		l.fold(l.s.decideTxns([]TxnRequest{EndTxn{ID: id, Producer: l.s.txns.find(id).producer, Version: 1, Commit: true, Fresh: NoProducerID}}, nil))
	}
	l.decide(tp, 0, NoProducerID, NoProducerID)
	l.time += 2 * MaxSegmentAge.Milliseconds()
	l.decide(TopicPartition{topic, 1}, 0, NoProducerID) // and the segments are forgotten
	older := restartLedger(t, l.s)
	older.partition(tp).logStart = 8 // inside the second transaction
	snapshot := older.clone().encode()
	if snapshot[0] != snapshotSections {
		t.Fatal("there is nothing of transactions")
	}
	read, err := decodeState(Snapshot{Position: older.at, State: snapshot})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := l.s.decideDeletion([]RecordDeletion{{TopicPartition: tp, Before: 8}})
	at := l.s.at
	l.fold(c)
	want, got := describe(t, l.s), describe(t, read)
	if len(want.Garbage) != 1 || len(got.Garbage) != 0 || got.NextGarbage != 0 {
		t.Errorf("garbage is %+v, want none, and by the entries %+v", got.Garbage, want.Garbage)
	}
	delete(want.Segments, want.Garbage[0].ID)
	want.Garbage, want.NextGarbage, want.At = nil, 0, at
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read as\n%+v\nwant\n%+v", got, want)
	}
	if n := len(got.Partitions[tp].Runs); n != 3 {
		t.Errorf("%d runs, want a transaction with its end, and a run", n)
	}
}

func restartLedger(t *testing.T, s *State) *State {
	t.Helper()
	defer s.thaw()
	restored, err := decodeState(Snapshot{Position: s.at, State: s.clone().encode()})
	if err != nil {
		t.Fatal(err)
	}
	return restored
}
