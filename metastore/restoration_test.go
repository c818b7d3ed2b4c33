package metastore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// copied is what a copy of the ledger's state says.
func (l *ledger) copied() Snapshot { return Snapshot{Position: l.s.at, State: l.s.clone().encode()} }

// restored folds a restoration as the first entry of another log.
func restored(t *testing.T, r *Restoration) *State {
	t.Helper()
	e, snapshot, err := r.Entry()
	if err != nil {
		t.Fatal(err)
	}
	found, err := TakeSurvey(t.Context(), &entryLog{[]Entry{e}, &snapshot})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Faults) > 0 || found.Position != e.Position {
		t.Fatalf("survey at %v: %+v", found.Position, found.Faults)
	}
	return found.state
}

// differences are those that matter to the new log: nothing of the old one can be asked for again.
func differences(want, is *State) []string {
	var all []string
	compareStates(want, is, func(format string, args ...any) {
		what := fmt.Sprintf(format, args...)
		for _, expected := range []string{"its checksum is", "its time is", "segments whose commit may be asked for again", "segments of swaps", "its garbage"} {
			if strings.Contains(what, expected) {
				return
			}
		}
		all = append(all, what)
	})
	return all
}

func TestARestoredStateIsWhatItWasButForWhatTheLostLogWouldBeAsked(t *testing.T) {
	l := storied(t)
	now := time.UnixMilli(l.time).Add(time.Hour)
	r, err := OpenRestoration(l.copied(), now)
	if err != nil {
		t.Fatal(err)
	}
	s := restored(t, r)
	if d := differences(l.s, s); len(d) > 0 {
		t.Error(d)
	}
	if s.at.Seq != 1 || s.time != now.UnixMilli() || len(s.recent)+len(s.rewritten)+s.garbage.len() > 0 {
		t.Errorf("at %v, time %d, %d+%d segments, %d garbage", s.at, s.time, len(s.recent), len(s.rewritten), s.garbage.len())
	}
	for n := range s.table.used {
		if g := s.table.at(n); s.table.uses[n].runs > 0 && g.before.Seq > r.steps || g.before.Checksum != 0 {
			t.Errorf("%s was committed after %v", g.id, g.before)
		}
	}
	// It can be saved and read again, and goes on.
	again, err := decodeState(Snapshot{Position: s.at, State: s.clone().encode()})
	if err != nil {
		t.Fatal(err)
	}
	if d := differences(s, again); len(d) > 0 {
		t.Error(d)
	}
}

func TestTheRestoreEntryMatchesItsGoldenFile(t *testing.T) {
	rec := record{time: 1_760_000_000_123, nonce: 0x0102030405060708, change: restoreState{state: goldenTxnState().clone().encode()}}
	encoded := rec.encode()
	want := golden(t, "restore.v1", encoded)
	if !bytes.Equal(encoded, want) {
		t.Errorf("encoded\n%x\nwant\n%x", encoded, want)
	}
	decoded, err := decodeRecord(want)
	if err != nil || !reflect.DeepEqual(decoded, rec) {
		t.Errorf("decoded %+v (%v)\nwant %+v", decoded, err, rec)
	}
	for n := range want {
		if _, err := decodeRecord(want[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := decodeRecord(append(want[:len(want):len(want)], 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("with a byte more: %v", err)
	}
	wrong := record{change: restoreState{state: []byte{snapshotSections, 0}}}.encode()
	if _, err := decodeRecord(wrong); !errors.Is(err, ErrCorrupt) {
		t.Errorf("with a state that cannot be read: %v", err)
	}
	newer := record{change: restoreState{state: []byte{99}}}.encode()
	if _, err := decodeRecord(newer); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("with a state of a newer format: %v", err)
	}
}

// TestAStateIsRestoredByTheFirstEntryAlone: a later one would undo what was folded.
func TestAStateIsRestoredByTheFirstEntryAlone(t *testing.T) {
	rec := record{change: restoreState{state: goldenState().clone().encode()}}
	first := Position{}.Next(rec.encode())
	if _, err := decodeEntry(first); err != nil {
		t.Errorf("the first: %v", err)
	}
	second := first.Next(rec.encode())
	if _, err := decodeEntry(second); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the second: %v", err)
	}
	found, err := TakeSurvey(t.Context(), &entryLog{entries: []Entry{first, second}})
	if err != nil || !found.Broken || found.Position != first.Position || len(found.Topics()) != 1 {
		t.Errorf("survey at %v, broken %t, %+v, %v", found.Position, found.Broken, found.Faults, err)
	}
}

// TestViewsStayGoodWhenAStateIsRestored: whoever encodes the empty state goes on, and the next view is one of the new.
func TestViewsStayGoodWhenAStateIsRestored(t *testing.T) {
	s, l := NewState(), storied(t)
	before := s.clone()
	rec := record{time: l.time, change: restoreState{state: l.copied().State}}
	touched := make(map[TopicPartition]bool)
	e := Position{}.Next(rec.encode())
	s.apply(e.Position, rec, func(tp TopicPartition) { touched[tp] = true })
	if len(touched) != 3 {
		t.Errorf("touched %v", slices.Collect(maps.Keys(touched)))
	}
	if !bytes.Equal(before.encode(), NewState().clone().encode()) {
		t.Error("the view of the empty state changed")
	}
	during := s.clone()
	want := during.encodeAs(true)
	at := Position{Seq: 2}
	for seq := range Seq(20) {
		in := &SegmentCommit{ID: NewSegmentID(time.UnixMilli(l.time)), Size: 1 << 30, Runs: []RunCommit{{TopicPartition: TopicPartition{TopicID{1}, 0},
			Batches: []BatchCommit{{Length: 100, Records: 1, ProducerID: 60, BaseSequence: int32(seq) + 1}}}}}
		c, _ := s.decideCommit([]*SegmentCommit{in}, nil)
		s.apply(at, record{time: l.time, change: c}, func(TopicPartition) {})
		at.Seq++
		if !bytes.Equal(during.encodeAs(true), want) {
			t.Fatal("a view changed")
		}
	}
	s.thaw()
	s.thaw()
	if s.sharing.views != 0 || s.sharing.shared != 0 {
		t.Errorf("%d views are left", s.sharing.views)
	}
}

func TestAPartitionIsWhatItIsSetTo(t *testing.T) {
	l := storied(t)
	r, err := OpenRestoration(l.copied(), time.UnixMilli(l.time))
	if err != nil {
		t.Fatal(err)
	}
	tp := TopicPartition{TopicID{1}, 1} // an aborted transaction of 0 with its marker at 1, and one of 1 open from 2 on
	rewritten := NewRewrittenID(time.UnixMilli(l.time))
	wrote := NewRestoredProducer(60)
	wrote.Wrote(RestoredBatch{Epoch: 3, BaseSequence: 9, Records: 2, Offset: 3})
	wrote.Marked(3)
	set := &RestoredPartition{
		TopicPartition: tp, LogStart: 1, High: 9,
		Runs: []Run{
			{Base: 0, Records: 5, Segment: rewritten, SegmentSize: 1000, Position: 40, Length: 500, MaxTimestamp: 3},
			{Base: 7, Records: 1, Length: MarkerBytes, Marker: &Marker{Producer: 9, Commit: true}},
			{Base: 8, Records: 1, Length: MarkerBytes, Marker: &Marker{Producer: 1, Epoch: 1}},
		},
		Steps: []TxnStep{
			{Offset: 3, Producer: 9, Kind: TxnBegins}, {Offset: 7, Producer: 9, Kind: TxnCommits}, {Offset: 8, Producer: 1, Kind: TxnAborts},
		},
		Producers: []*RestoredProducer{wrote},
	}
	if err := r.SetPartition(set); err != nil {
		t.Fatal(err)
	}
	if got := slices.Collect(r.Runs(tp)); !reflect.DeepEqual(got, set.Runs) {
		t.Errorf("runs %+v, want %+v", got, set.Runs)
	}
	if w, _ := r.Watermarks(tp); w != (Watermarks{LogStart: 1, High: 9, Stable: 9}) {
		t.Errorf("watermarks %+v", w)
	}
	if got, want := r.Aborted(tp), []AbortedTxn{{0, 0, 1}, {1, 2, 8}}; !slices.Equal(got, want) {
		t.Errorf("aborted %+v, want %+v", got, want)
	}
	remembered := slices.Collect(r.BatchesOf(tp, 60))
	if want := []RememberedBatch{{60, 3, 9, 10, 3}}; !slices.Equal(remembered, want) {
		t.Errorf("remembered %+v, want %+v", remembered, want)
	}
	groups, err := r.EndTransaction(1, true, 1)
	if err != nil || len(groups) != 1 || groups[0].Group != "g" || len(groups[0].Offsets) != 1 || groups[0].Offsets[0].Offset != 1 {
		t.Errorf("groups %+v, %v", groups, err)
	}
	if _, err := r.EndTransaction(1, true, 1); !errors.Is(err, ErrInvalidRestoration) {
		t.Errorf("ended twice: %v", err)
	}
	r.RaiseEpoch(0, 7)
	r.SkipProducerIDs(5000)
	s := restored(t, r)
	ids := make(map[string]txn)
	for n := range s.txns.used {
		x := *s.txns.at(n)
		ids[x.id] = x
	}
	if x := ids["is open"]; x.state != TxnCompleteCommit || x.epoch != 1 || x.number != 1 || !x.committed {
		t.Errorf("the transaction that ended is %+v", x)
	}
	if x := ids["aborts"]; x.epoch != 7 || x.lastEpoch != -1 {
		t.Errorf("the id whose producer was seen with a newer epoch is %+v", x)
	}
	if s.nextProducerID != 5000 || s.table.named != 2 {
		t.Errorf("next producer id %d, %d segments", s.nextProducerID, s.table.named)
	}
}

func TestARestorationThatContradictsItselfIsRefused(t *testing.T) {
	tp := TopicPartition{TopicID{1}, 1}
	id := NewRewrittenID(time.Now())
	one := Run{Base: 3, Records: 2, Segment: id, SegmentSize: 10, Length: 5}
	for name, set := range map[string]RestoredPartition{
		"no such partition":             {TopicPartition: TopicPartition{TopicID{1}, 2}, High: 9},
		"the log start goes back":       {TopicPartition: TopicPartition{TopicID{1}, 0}, LogStart: -1, High: 9},
		"the high watermark goes back":  {TopicPartition: tp, High: 2},
		"cleaned behind its end":        {TopicPartition: tp, High: 9, CleanedTo: 10},
		"it starts behind its end":      {TopicPartition: tp, LogStart: 10, High: 9},
		"runs overlap":                  {TopicPartition: tp, High: 9, Runs: []Run{one, one}},
		"a run behind the end":          {TopicPartition: tp, High: 4, Runs: []Run{one}},
		"a run before the log start":    {TopicPartition: tp, LogStart: 5, High: 9, Runs: []Run{one}},
		"a segment of two sizes":        {TopicPartition: tp, High: 9, Runs: []Run{one, {Base: 5, Records: 2, Segment: id, SegmentSize: 11, Length: 5}}},
		"open, and nothing can end it":  {TopicPartition: tp, High: 9, Steps: []TxnStep{{Offset: 4, Producer: 77}}},
		"open, and its id's have ended": {TopicPartition: tp, High: 9, Steps: []TxnStep{{Offset: 4, Producer: 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := OpenRestoration(storied(t).copied(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if err := r.SetPartition(&set); !errors.Is(err, ErrInvalidRestoration) {
				t.Errorf("error %v", err)
			}
		})
	}
	r, err := OpenRestoration(storied(t).copied(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.AddTopic(TopicID{1}, "x", 1, nil), r.AddTopic(TopicID{8}, "a", 1, nil), r.AddTopic(TopicID{8}, "x", 0, nil), r.GrowTopic(TopicID{1}, 1), r.GrowTopic(TopicID{8}, 1)); strings.Count(fmt.Sprint(err), "\n") != 4 {
		t.Errorf("topics: %v", err)
	}
	// Its marker is there, and the transactional id has it ongoing still.
	if err := r.SetPartition(&RestoredPartition{TopicPartition: tp, High: 4, Steps: []TxnStep{{Offset: 3, Producer: 1, Kind: TxnAborts}}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Entry(); !errors.Is(err, ErrInvalidRestoration) {
		t.Errorf("error %v", err)
	}
}

// TestWhatIsRestoredKeepsItsOrder: those who rewrite go by it, and take what is of one position as a whole.
func TestWhatIsRestoredKeepsItsOrder(t *testing.T) {
	l := newLedger()
	l.fold(createTopic{id: TopicID{1}, name: "a", partitions: 1, replicationFactor: 1})
	var ids []SegmentID
	for i := range 5000 {
		c := l.decide(TopicPartition{TopicID{1}, 0}, 0, ProducerID(i))
		ids = append(ids, c.segments[0].id)
	}
	r, err := OpenRestoration(l.copied(), time.UnixMilli(l.time))
	if err != nil {
		t.Fatal(err)
	}
	e, snapshot, err := r.Entry()
	if err != nil {
		t.Fatal(err)
	}
	steps := r.Steps(e)
	found, err := TakeSurvey(t.Context(), &entryLog{append([]Entry{e}, steps...), &snapshot})
	if err != nil || len(found.Faults) > 0 {
		t.Fatalf("%v, %+v", err, found.Faults)
	}
	if found.Position.Seq != Seq(len(steps)+1) || len(steps) != mostSteps-1 { // each segment claims to be of 1 GiB
		t.Errorf("%d steps, log at %d", len(steps), found.Position.Seq)
	}
	last, of := Seq(0), 0
	for _, id := range ids {
		n, ok := found.state.table.find(id)
		if !ok {
			t.Fatalf("%s is gone", id)
		}
		switch at := found.state.table.at(n).before.Seq; {
		case at < last || at > last+1:
			t.Fatalf("a segment at %d after one at %d", at, last)
		case at == last:
			of++
		default:
			last, of = at, 1
		}
		if of > 5 {
			t.Fatalf("more than 5 segments of 1 GiB at position %d", last)
		}
	}
	if last >= found.Position.Seq {
		t.Errorf("the last one at %d, and the log ends at %d", last, found.Position.Seq)
	}
}
