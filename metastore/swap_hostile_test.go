package metastore

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// TestSwapThatNoBrokerDecidesLeavesTheStateSound folds entries that name any runs: the state is never out of order, and what
// is not replaced is lost by none.
func TestSwapThatNoBrokerDecidesLeavesTheStateSound(t *testing.T) {
	topic := TopicID{1}
	replaced, left := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		l.fold(createTopic{id: topic, name: "t", partitions: 1, replicationFactor: 1})
		tp := TopicPartition{Topic: topic}
		for range rapid.IntRange(1, 5).Draw(t, "commits") {
			l.decide(tp, 0, NoProducerID, NoProducerID)
		}
		c, _ := l.s.decideDeletion([]RecordDeletion{{TopicPartition: tp, Before: Offset(rapid.Int64Range(0, 3).Draw(t, "log start"))}})
		l.fold(c)
		before := describe(t, l.s).Partitions[tp]
		offset := func(what string) Offset { return Offset(rapid.Int64Range(0, 12).Draw(t, what)) }
		w := swappedRuns{TopicPartition: tp, from: offset("from"), count: rapid.IntRange(0, 4).Draw(t, "count"), cleanedTo: offset("cleaned to")}
		w.end = w.from + offset("offsets")
		if rapid.Bool().Draw(t, "of runs") {
			w.end = w.from + Offset(2*w.count)
		}
		next := Offset(0)
		for range rapid.IntRange(0, 2).Draw(t, "runs") {
			r := run{base: next + offset("base"), records: rapid.Int32Range(1, 6).Draw(t, "records"), segment: 0, length: 1}
			w.runs, next = append(w.runs, r), r.end()
		}
		l.fold(swapRuns{segments: []RewrittenSegment{{ID: SegmentID{6: 0x80}}}, swapped: []swappedRuns{w}})
		after := describe(t, l.s).Partitions[tp]
		if reflect.DeepEqual(before, after) {
			left++
			return
		}
		replaced++
		if w.count == 0 && !reflect.DeepEqual(before.Runs, after.Runs) || len(after.Runs) != len(before.Runs)-w.count+len(w.runs) {
			t.Fatalf("%+v made\n%+v of\n%+v", w, after, before)
		}
	})
	t.Logf("%d were folded, %d were not", replaced, left)
}
