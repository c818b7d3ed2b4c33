package metastore

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// lifeModel is the naive truth of runs, segments and garbage: plain lists, looked through each time.
type lifeModel struct {
	l          *ledger
	other      *State // folds the same entries, and is restarted on its own
	partitions map[TopicPartition]*lifePartition
	sizes      map[SegmentID]int64 // of all that ever were in the log
	recent     []SegmentID
	rewritten  []SegmentID
	garbage    []Garbage
	next       int64
	refused    int // swaps, of which pending were decided late
	accepted   int
}

type lifePartition struct {
	logStart, high, cleanedTo Offset
	runs                      []Run
}

func newLifeModel() *lifeModel {
	return &lifeModel{
		l: newLedger(), other: NewState(), partitions: make(map[TopicPartition]*lifePartition), sizes: make(map[SegmentID]int64),
	}
}

// fold appends the change, and lets both states fold it.
func (m *lifeModel) fold(t *rapid.T, c change) {
	m.l.fold(c)
	e := m.l.entries[len(m.l.entries)-1]
	rec, err := decodeRecord(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	m.other.apply(e.Position, rec, func(TopicPartition) {})
}

// names counts the runs of each segment.
func (m *lifeModel) names() map[SegmentID]int {
	counts := make(map[SegmentID]int)
	for _, p := range m.partitions {
		for _, r := range p.runs {
			if r.Marker == nil {
				counts[r.Segment]++
			}
		}
	}
	return counts
}

// settle notes what became of segments in an entry: was is what named them before it, gone the runs that went, in order, and
// fresh the segments that came with it.
func (m *lifeModel) settle(was map[SegmentID]int, gone []Run, fresh []SegmentID) {
	is, left := m.names(), maps.Clone(was)
	discard := func(id SegmentID) {
		m.garbage = append(m.garbage, Garbage{Number: m.next, ID: id, Size: m.sizes[id], Since: m.l.s.logTime()})
		m.next++
	}
	for _, r := range gone {
		if r.Marker == nil {
			if left[r.Segment]--; left[r.Segment] == 0 && is[r.Segment] == 0 {
				discard(r.Segment)
			}
		}
	}
	for _, id := range fresh {
		if is[id] == 0 {
			discard(id)
		}
	}
	m.forget()
}

func (m *lifeModel) forget() {
	for list, age := range map[*[]SegmentID]time.Duration{&m.recent: MaxSegmentAge, &m.rewritten: MaxRewriteAge} {
		for len(*list) > 0 && m.l.s.logTime().Sub((*list)[0].Time()) > age {
			*list = (*list)[1:]
		}
	}
}

func (m *lifeModel) known() map[SegmentID]bool {
	known := make(map[SegmentID]bool)
	for id := range m.names() {
		known[id] = true
	}
	for _, id := range slices.Concat(m.recent, m.rewritten) {
		known[id] = true
	}
	for _, g := range m.garbage {
		known[g.ID] = true
	}
	return known
}

func (m *lifeModel) createTopic(t *rapid.T, topic TopicID) {
	if m.l.s.topics[topic] != nil {
		return
	}
	n := rapid.Int32Range(1, 3).Draw(t, "partitions")
	m.fold(t, createTopic{id: topic, name: topic.String(), partitions: n, replicationFactor: 1})
	for i := range n {
		m.partitions[TopicPartition{topic, i}] = &lifePartition{}
	}
	m.forget()
}

func (m *lifeModel) deleteTopic(t *rapid.T, topic TopicID) {
	was := m.names()
	m.fold(t, deleteTopic{id: topic})
	var gone []Run
	for _, tp := range m.inOrder() {
		if tp.Topic == topic {
			gone = append(gone, m.partitions[tp].runs...)
			delete(m.partitions, tp)
		}
	}
	m.settle(was, gone, nil)
}

func (m *lifeModel) inOrder() []TopicPartition {
	return slices.SortedFunc(maps.Keys(m.partitions), TopicPartition.compare)
}

// commit lets the decision say which batches are accepted, which is another model's business.
func (m *lifeModel) commit(t *rapid.T, topic TopicID) {
	was := m.names()
	in := &SegmentCommit{ID: NewSegmentID(time.UnixMilli(m.l.time)), Size: rapid.Int64Range(1<<20, 1<<30).Draw(t, "size")}
	for p := range rapid.Int32Range(0, 3).Draw(t, "runs") {
		run := RunCommit{TopicPartition: TopicPartition{topic, p}, Position: uint32(1000 * p)}
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			b := BatchCommit{
				Length: rapid.Uint32Range(1, 100).Draw(t, "length"), Records: rapid.Int32Range(1, 5).Draw(t, "records"),
				MaxTimestamp: rapid.Int64Range(-5, 50).Draw(t, "timestamp"), ProducerID: ProducerID(rapid.Int64Range(-1, 4).Draw(t, "producer")),
			}
			if id := m.l.s.txns.ofProducer(b.ProducerID); id != nil {
				b.Transactional, b.Implicit, b.ProducerEpoch = true, true, id.epoch
			}
			if rapid.IntRange(0, 9).Draw(t, "far") == 0 {
				b.At = m.l.s.high(run.TopicPartition) + 10
			}
			run.Batches = append(run.Batches, b)
		}
		in.Runs = append(in.Runs, run)
	}
	c, _ := m.l.s.decideCommit([]*SegmentCommit{in}, nil)
	m.fold(t, c)
	m.sizes[in.ID] = in.Size
	m.recent = append(m.recent, in.ID)
	for _, run := range c.segments[0].runs {
		p, position, touches := m.partitions[run.TopicPartition], run.position, false
		for _, b := range run.batches {
			if b.verdict == Accepted {
				if last := len(p.runs) - 1; touches && p.runs[last].End() == b.offset {
					p.runs[last].Records += b.records
					p.runs[last].Length += b.length
					p.runs[last].MaxTimestamp = max(p.runs[last].MaxTimestamp, b.maxTimestamp)
				} else {
					p.runs = append(p.runs, Run{
						Base: b.offset, Records: b.records, Segment: in.ID, SegmentSize: in.Size,
						Position: position, Length: b.length, MaxTimestamp: b.maxTimestamp,
					})
				}
				p.high = b.offset + Offset(b.records)
			}
			touches = b.verdict == Accepted
			position += b.length
		}
	}
	m.settle(was, nil, []SegmentID{in.ID})
}

func (s *State) high(tp TopicPartition) Offset {
	if p := s.partition(tp); p != nil {
		return p.high
	}
	return 0
}

// transact takes over the markers that the ends of transactions put.
func (m *lifeModel) transact(t *rapid.T, topic TopicID) {
	before := len(m.l.entries)
	m.l.transact(t, topic)
	for _, e := range m.l.entries[before:] {
		rec, err := decodeRecord(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		m.other.apply(e.Position, rec, func(TopicPartition) {})
	}
	for tp, p := range m.partitions {
		is := m.l.s.partition(tp)
		for i := is.runs.find(p.high); i < is.runs.len(); i++ {
			r := m.l.s.export(is.runs.at(i))
			if r.Marker == nil || r.Base != p.high {
				t.Fatalf("%v: after %d came %+v", tp, p.high, r)
			}
			p.runs = append(p.runs, r)
			p.high++
		}
	}
	m.forget()
}

func (m *lifeModel) deleteRecords(t *rapid.T, topic TopicID) {
	var asked []RecordDeletion
	for p := range rapid.Int32Range(1, 3).Draw(t, "deletions") {
		tp := TopicPartition{topic, p}
		asked = append(asked, RecordDeletion{TopicPartition: tp, Before: Offset(rapid.Int64Range(-1, int64(m.l.s.high(tp))).Draw(t, "before"))})
	}
	c, _ := m.l.s.decideDeletion(asked)
	was := m.names()
	m.fold(t, c)
	var gone []Run
	for _, a := range asked {
		p := m.partitions[a.TopicPartition]
		if p == nil {
			continue
		}
		if a.Before == HighWatermark {
			a.Before = p.high
		}
		p.logStart = max(p.logStart, a.Before)
		for len(p.runs) > 0 && p.runs[0].End() <= p.logStart {
			gone = append(gone, p.runs[0])
			p.runs = p.runs[1:]
		}
	}
	m.settle(was, gone, nil)
}

// plan draws a swap of what is there now.
func (m *lifeModel) plan(t *rapid.T) pendingSwap {
	return drawSwap(t, m.l.time, m.inOrder(), func(tp TopicPartition) []Run { return m.partitions[tp].runs })
}

// accepts tells what is to become of a rewrite: which runs go, from which index on, and which come.
func (p *lifePartition) accepts(w Rewrite) (at int, come []Run, ok bool) {
	old := slices.DeleteFunc(slices.Clone(w.Old), func(r Run) bool { return r.End() <= p.logStart })
	if len(old) == 0 {
		return 0, nil, true
	}
	at = slices.IndexFunc(p.runs, func(r Run) bool { return r.Base == old[0].Base })
	if at < 0 || len(p.runs)-at < len(old) || !slices.EqualFunc(p.runs[at:at+len(old)], old, sameRunBut) {
		return 0, nil, false
	}
	return at, slices.DeleteFunc(slices.Clone(w.New), func(r Run) bool { return r.End() <= p.logStart }), true
}

// sameRunBut compares what says which run it is. A marker has no place.
func sameRunBut(is, read Run) bool {
	if is.Marker != nil {
		read.Segment, read.Position = is.Segment, is.Position
	}
	read.SegmentSize = is.SegmentSize
	return sameRun(is, read)
}

func (m *lifeModel) swap(t *rapid.T, plan pendingSwap) {
	if err := checkSwap(plan.segments, plan.rewrites); err != nil {
		return // spoilt in a way that shows
	}
	known, refused := m.known(), false
	for _, g := range plan.segments {
		age := max(m.l.time, m.l.s.time) - g.ID.Time().UnixMilli()
		refused = refused || known[g.ID] || age > MaxRewriteAge.Milliseconds()
	}
	c, err := m.l.s.decideSwap(plan.segments, plan.rewrites, m.l.time)
	if refused != errors.Is(err, ErrSegmentRefused) {
		t.Fatalf("swap of %v: %v, want it refused: %v", plan.segments, err, refused)
	}
	if refused {
		m.refused++
		return
	}
	was := m.names()
	var gone []Run
	var accepted []int
	sizes := make(map[SegmentID]int64)
	for _, g := range plan.segments {
		sizes[g.ID] = g.Size
	}
	for i, w := range plan.rewrites {
		p := m.partitions[w.TopicPartition]
		if p == nil {
			m.refused++
			continue
		}
		at, come, ok := p.accepts(w)
		if !ok {
			m.refused++
			continue
		}
		m.accepted++
		accepted = append(accepted, i)
		p.cleanedTo = max(p.cleanedTo, w.CleanedTo)
		for j := range come {
			come[j].SegmentSize = sizes[come[j].Segment]
		}
		n := 0
		for _, r := range w.Old {
			if r.End() > p.logStart {
				n++
			}
		}
		gone = append(gone, p.runs[at:at+n]...)
		p.runs = slices.Replace(slices.Clone(p.runs), at, at+n, come...)
	}
	var got []int
	for _, w := range c.swapped {
		got = append(got, w.request)
	}
	if !slices.Equal(got, accepted) {
		t.Fatalf("accepted are rewrites %v of %+v, want %v", got, plan.rewrites, accepted)
	}
	m.fold(t, c)
	var fresh []SegmentID
	for _, g := range plan.segments {
		m.sizes[g.ID] = g.Size
		fresh = append(fresh, g.ID)
	}
	m.rewritten = append(m.rewritten, fresh...)
	m.settle(was, gone, fresh)
}

func (m *lifeModel) collect(t *rapid.T) {
	through := max(rapid.Int64Range(-1, m.next).Draw(t, "through"), 0)
	kept := drawKept(t, m.next)
	if len(kept) == 0 {
		m.fold(t, collectGarbage{through: through})
	} else {
		m.fold(t, putOffGarbage{through: through, kept: kept})
	}
	var again []Garbage
	m.garbage = slices.DeleteFunc(m.garbage, func(g Garbage) bool {
		if g.Number <= through && slices.Contains(kept, g.Number) {
			again = append(again, g)
		}
		return g.Number <= through
	})
	for _, g := range again {
		g.Number, g.Since = m.next, time.UnixMilli(m.l.s.time)
		m.garbage = append(m.garbage, g)
		m.next++
	}
	m.forget()
}

// drawKept draws numbers of garbage that stays.
func drawKept(t *rapid.T, next int64) []int64 {
	kept := rapid.SliceOfNDistinct(rapid.Int64Range(0, next+1), 0, 4, rapid.ID[int64]).Draw(t, "kept")
	slices.Sort(kept)
	return kept
}

// check compares all that the model knows with the state.
func (m *lifeModel) check(t *rapid.T) {
	t.Helper()
	is := describe(t, m.l.s)
	for tp, p := range m.partitions {
		got := is.Partitions[tp]
		if got.LogStart != p.logStart || got.High != p.high || got.CleanedTo != p.cleanedTo || !slices.EqualFunc(got.Runs, p.runs, sameRun) {
			t.Fatalf("%v is\n%+v\nwant\n%+v", tp, got, *p)
		}
		m.checkTimes(t, tp, p)
	}
	if len(is.Partitions) != len(m.partitions) {
		t.Fatalf("%d partitions, want %d", len(is.Partitions), len(m.partitions))
	}
	if is.NextGarbage != m.next || !slices.Equal(is.Garbage, m.garbage) {
		t.Fatalf("garbage up to %d:\n%+v\nwant up to %d:\n%+v", is.NextGarbage, is.Garbage, m.next, m.garbage)
	}
	idOf := func(list []segment) (ids []SegmentID) {
		for _, g := range list {
			ids = append(ids, g.id)
		}
		return ids
	}
	if !slices.Equal(idOf(is.Recent), m.recent) || !slices.Equal(idOf(is.Rewritten), m.rewritten) {
		t.Fatalf("remembered are %v and %v, want %v and %v", idOf(is.Recent), idOf(is.Rewritten), m.recent, m.rewritten)
	}
	known := make(map[SegmentID]bool)
	for id := range is.Segments {
		known[id] = true
	}
	if want := m.known(); !reflect.DeepEqual(known, want) {
		t.Fatalf("known are %v, want %v", known, want)
	}
}

// checkTimes looks for a time in the partition.
func (m *lifeModel) checkTimes(t *rapid.T, tp TopicPartition, p *lifePartition) {
	t.Helper()
	r := NewReplica(nil, ReplicaOptions{})
	r.state = m.l.s
	timestamp := rapid.Int64Range(-6, 51).Draw(t, "timestamp")
	i := slices.IndexFunc(p.runs, func(r Run) bool { return r.MaxTimestamp >= timestamp })
	if got, ok := r.RunAt(tp, timestamp); ok != (i >= 0) || ok && !sameRun(got, p.runs[i]) {
		t.Fatalf("the run of time %d is %+v, %v, want number %d of %+v", timestamp, got, ok, i, p.runs)
	}
	got, ok := r.RunWithMaxTimestamp(tp)
	if ok != (len(p.runs) > 0) || ok && !sameRun(got, slices.MaxFunc(p.runs, func(a, b Run) int { return cmp.Compare(a.MaxTimestamp, b.MaxTimestamp) })) {
		t.Fatalf("the run of the greatest time is %+v, %v, of %+v", got, ok, p.runs)
	}
}

// restart makes a state out of its snapshot.
func restart(t *rapid.T, s *State) *State {
	t.Helper()
	defer s.thaw()
	restored, err := decodeState(Snapshot{Position: s.at, State: s.clone().encode()})
	if err != nil {
		t.Fatal(err)
	}
	return restored
}

// TestRunsAndSegmentsAreWhatANaiveModelSays commits, swaps, deletes and collects at random, with restarts from snapshots in
// between, and swaps that were planned long before. Two states that fold the same entries, restarted on their own, agree.
func TestRunsAndSegmentsAreWhatANaiveModelSays(t *testing.T) {
	accepted, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		m := newLifeModel()
		var plans []pendingSwap
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			m.l.time += rapid.Int64Range(-1000, 30_000).Draw(t, "ms later")
			topic := TopicID{byte(rapid.IntRange(1, 2).Draw(t, "topic"))}
			switch rapid.IntRange(0, 16).Draw(t, "step") {
			case 0, 1:
				m.createTopic(t, topic)
			case 2:
				if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
					m.deleteTopic(t, topic)
				}
			case 3:
				m.deleteRecords(t, topic)
			case 4, 5:
				m.transact(t, topic)
			case 6:
				plans = append(plans, m.plan(t))
			case 7, 8, 9:
				m.swap(t, m.plan(t))
			case 10:
				if len(plans) > 0 {
					i := rapid.IntRange(0, len(plans)-1).Draw(t, "plan")
					m.swap(t, plans[i]) // it may be asked for again
				}
			case 11:
				m.collect(t)
			case 12:
				if rapid.IntRange(0, 3).Draw(t, "pause") == 0 {
					m.l.time += rapid.Int64Range(0, 2*MaxRewriteAge.Milliseconds()).Draw(t, "ms of pause")
				}
				m.fold(t, touch{})
				m.forget()
			case 13:
				m.l.s = restart(t, m.l.s)
			case 14:
				m.other = restart(t, m.other)
			default:
				m.commit(t, topic)
			}
			m.check(t)
			if rapid.IntRange(0, 5).Draw(t, "compare") == 0 {
				if want, got := m.l.s.clone().encodeAs(true), m.other.clone().encodeAs(true); !bytes.Equal(got, want) {
					t.Fatal("two states of the same entries differ")
				}
				m.l.s.thaw()
				m.other.thaw()
			}
		}
		if want, got := m.l.s.clone().encodeAs(true), m.l.refold(t, m.l.s.at.Seq).clone().encodeAs(true); !bytes.Equal(got, want) {
			t.Fatal("the entries, folded anew, give another state")
		}
		accepted += m.accepted
		refused += m.refused
	})
	t.Logf("%d rewrites were accepted, and %d refused", accepted, refused)
	if accepted < 20 || refused < 5 {
		t.Error("the test looks at too few swaps")
	}
}
