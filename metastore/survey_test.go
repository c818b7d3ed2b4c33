package metastore

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// entryLog is a log that never was trimmed, with a snapshot of anybody's making.
type entryLog struct {
	entries  []Entry
	snapshot *Snapshot
}

func (l *entryLog) End(context.Context) (Seq, error) { return Seq(len(l.entries)), nil }

func (l *entryLog) LatestSnapshot(context.Context) (Snapshot, error) {
	if l.snapshot == nil {
		return Snapshot{}, ErrNoSnapshot
	}
	return *l.snapshot, nil
}

func (l *entryLog) Read(_ context.Context, after Position, _ int) ([]Entry, error) {
	return l.entries[after.Seq:min(int(after.Seq)+7, len(l.entries))], nil
}

// survey surveys the entries of a ledger beside a snapshot.
func (l *ledger) survey(t fataler, snapshot []byte, at Position) *Survey {
	t.Helper()
	s, err := TakeSurvey(context.Background(), &entryLog{l.entries, &Snapshot{Position: at, State: snapshot}})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s
}

// storied is a ledger with something of everything.
func storied(t *testing.T) *ledger {
	t.Helper()
	l := newLedger()
	topic := TopicID{1}
	l.fold(createTopic{id: topic, name: "a", partitions: 2, replicationFactor: 1})
	l.fold(createTopic{id: TopicID{2}, name: "b", partitions: 1, replicationFactor: 1})
	l.fold(allocateProducerIDs{first: 0, count: 100})
	l.fold(alterConfigs{changes: []ConfigChange{{ConfigResource: ConfigResource{Kind: BrokerConfig, Name: ""}, Set: map[string]string{"k": "v"}}}})
	l.decide(TopicPartition{topic, 0}, 0, 60, 61)
	transact := func(requests ...TxnRequest) {
		t.Helper()
		c := l.s.decideTxns(requests, nil)
		for _, r := range c.results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		l.fold(c)
	}
	for n, id := range []string{"aborts", "is open"} {
		transact(InitTxn{ID: id, Timeout: time.Minute, Producer: NoProducerID, Epoch: -1, Fresh: ProducerID(n)})
		transact(AddToTxn{ID: id, Producer: ProducerID(n), Partitions: []TopicPartition{{topic, 1}}, Groups: []string{"g"}})
		transact(CommitTxnOffsets{ID: id, Producer: ProducerID(n), Group: "g",
			Offsets: []CommittedOffset{{TopicPartition: TopicPartition{topic, 0}, Offset: 1, CommittedAt: time.UnixMilli(7)}}})
		in := &SegmentCommit{ID: NewSegmentID(time.UnixMilli(l.time)), Size: 1 << 20, Runs: []RunCommit{{TopicPartition: TopicPartition{topic, 1},
			Batches: []BatchCommit{{Length: 100, Records: 1, ProducerID: ProducerID(n), Transactional: true}}}}}
		c, _ := l.s.decideCommit([]*SegmentCommit{in}, nil)
		l.fold(c)
		if n == 0 {
			transact(EndTxn{ID: id, Producer: ProducerID(n), Version: 1, Fresh: NoProducerID})
		}
	}
	return l
}

// rewrittenStory is storied with a swap, garbage, and a partition that was cleaned.
func rewrittenStory(t *testing.T) (l *ledger, merged SegmentID) {
	t.Helper()
	l = storied(t)
	tp := TopicPartition{TopicID{1}, 0}
	l.decide(tp, 1, 60, 61)
	g := RewrittenSegment{ID: NewRewrittenID(time.UnixMilli(l.time)), Size: 7000}
	p := l.s.partition(tp)
	w := Rewrite{TopicPartition: tp, Old: []Run{l.s.export(p.runs.at(0))}, CleanedTo: 2}
	w.New = []Run{{Base: w.Old[0].Base, Records: w.Old[0].Records, Segment: g.ID, Length: 100}}
	c, err := l.s.decideSwap([]RewrittenSegment{g}, []Rewrite{w}, l.time)
	if err != nil || len(c.swapped) != 1 {
		t.Fatal(c, err)
	}
	l.fold(c)
	l.decide(TopicPartition{TopicID{1}, 9}, 0, 60) // refused
	return l, g.ID
}

func TestSurveyTellsGarbage(t *testing.T) {
	l, merged := rewrittenStory(t)
	s := l.survey(t, l.s.clone().encode(), l.s.at)
	if len(s.Faults) > 0 {
		t.Fatal(s.Faults)
	}
	list := slices.Collect(s.Garbage())
	if len(list) != 2 || s.GarbageCount() != 2 || list[0].Number != 0 || list[1].Number != 1 || list[1].Size != 1<<30 || !list[0].Since.Equal(s.LogTime()) {
		t.Errorf("garbage %+v", list)
	}
	for _, g := range list {
		if !s.IsGarbage(g.ID) || !s.Known(g.ID) || slices.Contains(slices.Collect(s.Named()), g.ID) {
			t.Errorf("%s is not garbage alone", g.ID)
		}
	}
	if s.IsGarbage(merged) || !s.Known(merged) || s.IsGarbage(SegmentID{1}) || s.Known(SegmentID{1}) {
		t.Error("garbage is what is not")
	}
	if to := s.CleanedTo(TopicPartition{TopicID{1}, 0}); to != 2 || s.CleanedTo(TopicPartition{TopicID{1}, 9}) != 0 {
		t.Errorf("cleaned to %d", to)
	}
}

// TestSurveyOfATrimmedLogKnowsOfSwaps: what is kept of the entries before the snapshot says where offsets lay then.
func TestSurveyOfATrimmedLogKnowsOfSwaps(t *testing.T) {
	partition := func(s *State) *partition { return s.partition(TopicPartition{TopicID{1}, 0}) }
	for _, tt := range []struct {
		name   string
		change func(*State)
		want   string // "" for none
	}{
		{"nothing", func(*State) {}, ""},
		{"cleaned away", func(s *State) { s.replaceRuns(partition(s), 0, 1, nil, s.becomesGarbage) }, " gave offsets 0 to 1 of partition 0"}, // by no swap
		{"another segment", func(s *State) {
			s.table.change(partition(s).runs.at(0).segment).id[15]++
		}, " gave offsets 0 to 1 of partition 0"},
		{"not rewritten", func(s *State) {
			was := s.table.change(partition(s).runs.at(0).segment)
			was.id[6] = was.id[6]&0x0f | 0x70
		}, " gave offsets 0 to 0 of partition 0"},
		{"not replaced", func(s *State) { s.table.change(partition(s).runs.at(1).segment).id[15]++ }, " gave offsets 2 to 2 of partition 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := rewrittenStory(t)
			changed, err := decodeState(Snapshot{Position: l.s.at, State: l.s.clone().encode()})
			if err != nil {
				t.Fatal(err)
			}
			tt.change(changed)
			log := &trimmedLog{entryLog{l.entries, &Snapshot{Position: changed.at, State: changed.clone().encode()}}, oldestNeeded(l.s).Seq}
			s, err := TakeSurvey(context.Background(), log)
			if err != nil || log.trimmed == 0 {
				t.Fatal(s, log.trimmed, err)
			}
			if tt.want == "" {
				if len(s.Faults) > 0 || s.Broken || s.Position != l.s.at {
					t.Errorf("%+v", s)
				}
				return
			}
			if len(s.Faults) == 0 || s.Faults[0].Kind != SnapshotDisagrees || !strings.Contains(s.Faults[0].Detail, tt.want) {
				t.Errorf("%v, want %q", s.Faults, tt.want)
			}
		})
	}
}

// trimmedLog lacks the entries up to a number.
type trimmedLog struct {
	entryLog
	trimmed Seq
}

func (l *trimmedLog) Read(ctx context.Context, after Position, maxBytes int) ([]Entry, error) {
	if after.Seq < l.trimmed {
		return nil, ErrTrimmed
	}
	return l.entryLog.Read(ctx, after, maxBytes)
}

// TestSurveyFindsEveryDifferenceOfASnapshot changes one thing in the state that a snapshot is made of.
func TestSurveyFindsEveryDifferenceOfASnapshot(t *testing.T) {
	topic := TopicID{1}
	partition := func(s *State, i int32) *partition { return s.partition(TopicPartition{topic, i}) }
	for _, tt := range []struct {
		name   string
		change func(*State)
		want   string // "" for none
	}{
		{"nothing", func(*State) {}, ""},
		{"time", func(s *State) { s.time++ }, "its time is"},
		{"producer ids", func(s *State) { s.nextProducerID++ }, "next producer id"},
		{"segments that may come again", func(s *State) { s.recent = s.recent[1:] }, "may be asked for again, which are not the 5 of the entries: at place 0 of 4 it has "},
		{"settings", func(s *State) {
			s.configs = s.configs.with([]ConfigChange{{ConfigResource: ConfigResource{Kind: BrokerConfig}, Set: map[string]string{"k": "w"}}})
		}, "of {Kind:4 Name:} it has map[k:w], the entries map[k:v]"},
		{"no settings", func(s *State) { s.configs = nil }, "its settings"},
		{"a topic less", func(s *State) { delete(s.topics, TopicID{2}) }, "it lacks topic b"},
		{"a topic more", func(s *State) { s.addTopic(createTopic{id: TopicID{3}, name: "c", partitions: 1}, 0) }, "it has topic c"},
		{"name", func(s *State) { s.topics[topic].Name = "z" }, "is not as the entries made it"},
		{"overrides", func(s *State) { s.topics[topic].Configs = map[string]string{"k": "v"} }, "is not as the entries made it"},
		{"log start", func(s *State) { partition(s, 0).logStart++ }, "it goes from 1 to 4, by the entries from 0"},
		{"high watermark", func(s *State) { partition(s, 0).high++ }, "it goes from 0 to 5, by the entries from 0 to 4"},
		{"a run less", func(s *State) { s.replaceRuns(partition(s, 0), 0, 1, nil, func(uint32) {}) }, "1 runs, by the entries 2"},
		{"length of a run", func(s *State) { partition(s, 0).runs.at(0).length++ }, "its run of offset 0"},
		{"marker", func(s *State) { s.markers.change(0).Commit = true }, "the end of a transaction"},
		{"producer", func(s *State) {
			n, _ := s.producers.find(partition(s, 0).producers, 60)
			s.producers.change(n).batches[0].last++
		}, "of 60 it has epoch 0, seen at "},
		{"open transaction", func(s *State) { partition(s, 1).txns.open[0].producer++ }, "at place 0 of 1 it has {producer:2 first:2}, the entries {producer:1 first:2} at that of 1"},
		{"aborted transaction", func(s *State) { partition(s, 1).txns.aborted = nil }, "at place 0 of 0 it has nothing, the entries {AbortedTxn:{Producer:0 First:0 Last:1} stable:2} at that of 1"},
		{"transactional id", func(s *State) { s.txns.change(0).epoch++ }, `transactional id "aborts" is not as the entries made it: it is of producer 0 at epoch 1 (`},
		{"a group of a transaction more", func(s *State) { s.txns.addGroup(1, "h", 0) }, "of h it has it, the entries nothing"},
		{"garbage less", func(s *State) { s.collected(0) }, "its garbage, of numbers up to 2, is not that of the entries, up to 2: at place 0 of 1 it has {Number:1 "},
		{"garbage of another time", func(s *State) { s.garbage.at(1).since++ }, "its garbage, of numbers up to 2, is not that of the entries, up to 2: at place 1 of 2 it has {Number:1 "},
		{"number of garbage", func(s *State) { s.collected(1); s.garbage.first++; s.garbage.next++ }, "its garbage, of numbers up to 3, is not that of the entries, up to 2"},
		{"segments of swaps", func(s *State) { s.rewritten = nil }, "it remembers 0 segments of swaps, which are not the 1 of the entries"},
		{"how far it is cleaned", func(s *State) { partition(s, 0).cleanedTo++ }, "it is cleaned to 3, by the entries to 2"},
		{"a partition of a transaction less", func(s *State) { clear(s.txns.at(1).ongoing.partitions) }, "it has nothing, the entries 2"},
		{"begin of a transaction", func(s *State) { s.txns.at(1).ongoing.started++ }, "it began at"},
		{"nothing ongoing", func(s *State) { s.txns.change(0).ongoing, s.txns.change(0).state = newOngoing(), TxnOngoing }, "in state 1 since"},
		{"a transactional id less", func(s *State) { s.txns.remove("aborts") }, "it has 1 transactional ids, the entries 2"},
		{"offset of a transaction", func(s *State) {
			for at, o := range s.txns.at(1).ongoing.offsets {
				o.Offset++
				s.txns.at(1).ongoing.offsets[at] = o
			}
		}, "of g 01000000-0000-0000-0000-000000000000-0 it has offset 2 (topic"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := rewrittenStory(t)
			changed, err := decodeState(Snapshot{Position: l.s.at, State: l.s.clone().encode()})
			if err != nil {
				t.Fatal(err)
			}
			tt.change(changed)
			found := l.survey(t, changed.clone().encode(), l.s.at)
			if tt.want == "" {
				if len(found.Faults) > 0 || found.Broken || found.Entries != int64(len(l.entries)) {
					t.Fatalf("%+v", found.Faults)
				}
				return
			}
			if len(found.Faults) == 0 || found.Faults[0].Kind != SnapshotDisagrees || !strings.Contains(found.Faults[0].Detail, tt.want) {
				t.Fatalf("%v, want %q", found.Faults, tt.want)
			}
			if found.Position != l.s.at || describe(t, found.state).Time != l.s.time {
				t.Error("the survey goes by the snapshot, not by the entries")
			}
		})
	}
}

// TestSurveyYieldsEveryRunOfEverySegment compares with a look at all partitions.
func TestSurveyYieldsEveryRunOfEverySegment(t *testing.T) {
	l := storied(t)
	s := l.survey(t, l.s.clone().encode(), l.s.at)
	want := make(map[SegmentID]int)
	markers := 0
	for _, topic := range s.Topics() {
		for p := range topic.Partitions {
			for run := range s.Runs(TopicPartition{topic.ID, p}) {
				if run.Marker != nil {
					markers++
				} else {
					want[run.Segment]++
				}
			}
		}
	}
	last := SegmentID{}
	got := 0
	for of := range s.Segments(func(a, b SegmentID) int { return strings.Compare(string(a[:]), string(b[:])) }) {
		if want[of.ID] != len(of.Runs) || string(of.ID[:]) <= string(last[:]) {
			t.Errorf("%s has %d runs, want %d, after %s", of.ID, len(of.Runs), want[of.ID], last)
		}
		for _, r := range of.Runs {
			if at, ok := s.RunOf(r.TopicPartition, r.Base); !ok || at != r.Run {
				t.Errorf("%+v is not at its offset", r)
			}
		}
		last = of.ID
		got++
	}
	if got != 3 || got != len(want) || got != s.SegmentCount() || markers != 1 || s.MarkerCount() != 1 || s.RunCount() != 4 {
		t.Errorf("%d segments, %d named, %d counted, %d markers", got, len(want), s.SegmentCount(), markers)
	}
}
