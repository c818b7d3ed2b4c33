package metastore

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestDecisionOnADecisionIsThatOnTheStateItMakes decides along two ways: one state has every entry folded before the next
// is decided, the other is always one behind and goes by the decision of the entry that it lacks.
func TestDecisionOnADecisionIsThatOnTheStateItMakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topic := TopicID{1}
		ahead, behind := NewState(), NewState()
		at := time.Now().UnixMilli()
		fold := func(s *State, c change) {
			rec := record{time: at, nonce: 7, change: c}
			s.apply(s.at.Next(rec.encode()).Position, rec, func(TopicPartition) {})
		}
		for _, s := range []*State{ahead, behind} {
			fold(s, createTopic{id: topic, name: "t", partitions: 2, replicationFactor: 1})
			fold(s, transact{changes: []txnChange{ // of the producers that drawBatch makes, one has a transaction
				{id: "a", becomes: &txn{producer: 0, epoch: 1, version: 1, state: TxnOngoing}, partitions: []TopicPartition{{topic, 0}}},
				{id: "b", becomes: &txn{producer: 1, epoch: 1}},
			}})
		}
		var before *commitDecision
		var inFlight *commitSegments
		for range rapid.IntRange(2, 12).Draw(t, "commits") {
			var asked []*SegmentCommit
			for range rapid.IntRange(1, 2).Draw(t, "segments") {
				asked = append(asked, inTransactions(t, drawSegment(t, topic)))
			}
			want, _ := ahead.decideCommit(asked, nil)
			got, next := behind.decideCommit(asked, before)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("decided on a decision\n%+v\nwant\n%+v", got, want)
			}
			again, same := behind.decideCommit(asked, before)
			if !reflect.DeepEqual(again, want) {
				t.Fatalf("decided once more\n%+v\nwant\n%+v", again, want)
			}
			same.release()
			for _, segment := range asked {
				if !next.holds(segment.ID) || before.holds(segment.ID) {
					t.Fatalf("segment %s: held %v, held before %v", segment.ID, next.holds(segment.ID), before.holds(segment.ID))
				}
			}
			fold(ahead, want)
			if inFlight != nil {
				fold(behind, *inFlight)
			}
			if before != nil {
				before.release()
			}
			before, inFlight = next, &got
			if rapid.IntRange(0, 3).Draw(t, "drain") == 0 {
				fold(behind, *inFlight)
				before, inFlight = nil, nil
			}
		}
	})
}

// inTransactions makes some of the batches transactional.
func inTransactions(t *rapid.T, c *SegmentCommit) *SegmentCommit {
	for i := range c.Runs {
		for j := range c.Runs[i].Batches {
			b := &c.Runs[i].Batches[j]
			b.Transactional = b.ProducerID != NoProducerID && rapid.Bool().Draw(t, "transactional")
			b.Implicit = b.Transactional && rapid.Bool().Draw(t, "implicit")
		}
	}
	return c
}
