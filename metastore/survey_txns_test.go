package metastore

import (
	"slices"
	"testing"
)

func TestSurveyFindsTransactionsThatPartitionsAndIDsDisagreeOn(t *testing.T) {
	at := TopicPartition{TopicID{1}, 1}
	id := func(s *State) *txn { return s.txns.change(s.txns.byID["is open"]) } // producer 1, its first record at 2
	for _, tt := range []struct {
		name   string
		change func(*State)
		want   []StrayTxn
	}{
		{"nothing", func(*State) {}, nil},
		{"a partition that has no record", func(s *State) { id(s).ongoing.partitions[TopicPartition{TopicID{1}, 0}] = NoOffset }, nil},
		{"the topic is gone", func(s *State) { delete(s.topics, TopicID{1}) }, nil},
		{"the id has ended it", func(s *State) { id(s).ongoing = nil }, []StrayTxn{{at, 1, "is open", 2, NoOffset}}},
		{"the id lacks the partition", func(s *State) { delete(id(s).ongoing.partitions, at) }, []StrayTxn{{at, 1, "is open", 2, NoOffset}}},
		{"the id has no record there", func(s *State) { id(s).ongoing.partitions[at] = NoOffset }, []StrayTxn{{at, 1, "is open", 2, NoOffset}}},
		{"the id has another beginning", func(s *State) { id(s).ongoing.partitions[at] = 1 }, []StrayTxn{{at, 1, "is open", 2, 1}}},
		{"nobody has the producer", func(s *State) {
			id(s).ongoing = nil
			s.txns.remove("is open")
		}, []StrayTxn{{at, 1, "", 2, NoOffset}}},
		{"the partition has ended it", func(s *State) { s.partition(at).txns.open = nil }, []StrayTxn{{at, 1, "is open", NoOffset, 2}}},
		{"each has one of its own", func(s *State) { s.partition(at).txns.open[0].producer = 9 },
			[]StrayTxn{{at, 9, "", 2, NoOffset}, {at, 1, "is open", NoOffset, 2}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := storied(t)
			tt.change(l.s)
			if got := slices.Collect(l.s.strayTxns()); !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
