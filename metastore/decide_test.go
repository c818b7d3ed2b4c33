package metastore

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the naive truth: every accepted batch of every partition, in order.
type model map[TopicPartition]*[]accepted

type accepted struct {
	BatchCommit
	offset Offset
}

// judge looks through all of history for what Kafka's rules ask. Only the last five batches of an epoch are known.
func (m model) judge(tp TopicPartition, b BatchCommit) (Verdict, Offset) {
	history, ok := m[tp]
	if !ok {
		return UnknownPartition, NoOffset
	}
	high := Offset(0)
	var mine []accepted // of the producer's newest epoch
	for _, a := range *history {
		high = a.offset + Offset(a.Records)
		if b.ProducerID == NoProducerID || a.ProducerID != b.ProducerID {
			continue
		}
		if len(mine) > 0 && mine[0].ProducerEpoch != a.ProducerEpoch {
			mine = nil
		}
		mine = append(mine, a)
	}
	if len(mine) > 0 {
		switch epoch := mine[0].ProducerEpoch; {
		case b.ProducerEpoch < epoch:
			return StaleProducerEpoch, NoOffset
		case b.ProducerEpoch > epoch && b.BaseSequence != 0:
			return OutOfOrderSequence, NoOffset
		case b.ProducerEpoch == epoch:
			for _, a := range mine[max(0, len(mine)-5):] {
				if a.BaseSequence == b.BaseSequence && a.Records == b.Records {
					return Duplicate, a.offset
				}
			}
			last := mine[len(mine)-1]
			if int64(b.BaseSequence) != (int64(last.BaseSequence)+int64(last.Records))%(1<<31) {
				return OutOfOrderSequence, NoOffset
			}
		}
	}
	offset := high
	if b.At > 0 {
		if offset = b.At - 1; offset < high {
			return OffsetNotMonotonic, NoOffset
		}
	}
	*history = append(*history, accepted{b, offset})
	return Accepted, offset
}

func drawBatch(t *rapid.T) BatchCommit {
	b := BatchCommit{
		Length:       rapid.Uint32Range(61, 200).Draw(t, "length"),
		Records:      rapid.Int32Range(1, 3).Draw(t, "records"),
		MaxTimestamp: rapid.Int64Range(-1, 1<<41).Draw(t, "timestamp"),
		ProducerID:   NoProducerID,
	}
	if rapid.Bool().Draw(t, "idempotent") {
		b.ProducerID = ProducerID(rapid.Int64Range(0, 2).Draw(t, "producer"))
		b.ProducerEpoch = ProducerEpoch(rapid.Int16Range(0, 2).Draw(t, "epoch"))
		// Close to the wrap and to the start, so that batches often fit together.
		b.BaseSequence = rapid.OneOf(rapid.Int32Range(0, 8), rapid.Int32Range(math.MaxInt32-6, math.MaxInt32)).Draw(t, "sequence")
	}
	if rapid.IntRange(0, 9).Draw(t, "at") == 0 {
		b.At = Offset(rapid.Int64Range(1, 200).Draw(t, "asked offset"))
	}
	return b
}

// TestDecisionAgreesWithTheNaiveModel folds what is decided, through the codec, and now and then through a snapshot.
func TestDecisionAgreesWithTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := NewState(), make(model)
		topic := TopicID{1}
		fold := func(c change) {
			rec := record{time: time.Now().UnixMilli(), nonce: 7, change: c}
			next := s.at.Next(rec.encode())
			decoded, err := decodeRecord(next.Payload)
			if err != nil {
				t.Fatalf("decode own record: %v", err)
			}
			s.apply(next.Position, decoded, func(TopicPartition) {})
		}
		fold(createTopic{id: topic, name: "t", partitions: 2, replicationFactor: 1})
		for p := range int32(2) {
			m[TopicPartition{topic, p}] = new([]accepted)
		}
		for range rapid.IntRange(1, 20).Draw(t, "commits") {
			var asked []*SegmentCommit
			for range rapid.IntRange(1, 2).Draw(t, "segments") {
				asked = append(asked, drawSegment(t, topic))
			}
			c, _ := s.decideCommit(asked, nil)
			compare(t, m, asked, c)
			fold(c)
			if rapid.IntRange(0, 4).Draw(t, "snapshot") == 0 {
				restored, err := decodeState(Snapshot{Position: s.at, State: s.clone().encode()})
				if err != nil {
					t.Fatalf("decode own snapshot: %v", err)
				}
				s = restored
			}
		}
		compareRuns(t, m, s)
	})
}

func drawSegment(t *rapid.T, topic TopicID) *SegmentCommit {
	c := &SegmentCommit{ID: NewSegmentID(time.Now()), Size: 1 << 20}
	for p := range int32(3) { // partition 2 does not exist
		run := RunCommit{TopicPartition: TopicPartition{topic, p}, Position: uint32(1000 * p)}
		for range rapid.IntRange(0, 4).Draw(t, "batches") {
			run.Batches = append(run.Batches, drawBatch(t))
		}
		c.Runs = append(c.Runs, run)
	}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	return c
}

func compare(t *rapid.T, m model, asked []*SegmentCommit, c commitSegments) {
	for i, segment := range asked {
		for j, run := range segment.Runs {
			for k, b := range run.Batches {
				verdict, offset := m.judge(run.TopicPartition, b)
				got := c.segments[i].runs[j].batches[k]
				if got.verdict != verdict || got.offset != offset {
					t.Fatalf("batch %+v: decided %d at %d, the model says %d at %d", b, got.verdict, got.offset, verdict, offset)
				}
			}
		}
	}
}

func compareRuns(t *rapid.T, m model, s *State) {
	for tp, history := range m {
		p := s.partition(tp)
		var offsets, want []Offset
		for i := range p.runs.len() {
			for o := range Offset(p.runs.at(i).records) {
				offsets = append(offsets, p.runs.at(i).base+o)
			}
		}
		bytes, size := uint32(0), int64(0)
		for _, a := range *history {
			bytes += a.Length
			size += int64(a.Length)
			for o := range Offset(a.Records) {
				want = append(want, a.offset+o)
			}
		}
		for i := range p.runs.len() {
			bytes -= p.runs.at(i).length
		}
		if p.bytes != size {
			t.Fatalf("%v: counted as %d bytes, is %d", tp, p.bytes, size)
		}
		if len(offsets) != len(want) || bytes != 0 {
			t.Fatalf("%v: runs hold %d offsets, want %d; bytes off by %d", tp, len(offsets), len(want), bytes)
		}
		for i := range want {
			if offsets[i] != want[i] {
				t.Fatalf("%v: runs hold offset %d in place of %d", tp, offsets[i], want[i])
			}
		}
	}
}

func TestCommitThatCannotBeEncodedIsRefused(t *testing.T) {
	good := func() SegmentCommit {
		return SegmentCommit{ID: NewSegmentID(time.Now()), Size: 1000, Runs: []RunCommit{{
			TopicPartition: TopicPartition{TopicID{1}, 0}, Position: 16,
			Batches: []BatchCommit{{Length: 100, Records: 1, ProducerID: 3}},
		}}}
	}
	if c := good(); c.check() != nil {
		t.Fatal("a good commit is refused")
	}
	for name, spoil := range map[string]func(c *SegmentCommit){
		"no records":         func(c *SegmentCommit) { c.Runs[0].Batches[0].Records = 0 },
		"negative sequence":  func(c *SegmentCommit) { c.Runs[0].Batches[0].BaseSequence = -1 },
		"negative epoch":     func(c *SegmentCommit) { c.Runs[0].Batches[0].ProducerEpoch = -1 },
		"negative producer":  func(c *SegmentCommit) { c.Runs[0].Batches[0].ProducerID = -2 },
		"negative partition": func(c *SegmentCommit) { c.Runs[0].Partition = -1 },
		"past the object":    func(c *SegmentCommit) { c.Runs[0].Batches[0].Length = 985 },
		"negative offset":    func(c *SegmentCommit) { c.Runs[0].Batches[0].At = -1 },
	} {
		c := good()
		spoil(&c)
		if c.check() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestManyRecordsInOneRunDoNotOverflow(t *testing.T) {
	s := NewState()
	s.apply(Position{Seq: 1}, record{change: createTopic{id: TopicID{1}, name: "t", partitions: 1}}, func(TopicPartition) {})
	tp := TopicPartition{TopicID{1}, 0}
	b := BatchCommit{Length: 100, Records: math.MaxInt32, ProducerID: NoProducerID}
	c, _ := s.decideCommit([]*SegmentCommit{{ID: NewSegmentID(time.Now()), Size: 1000, Runs: []RunCommit{{TopicPartition: tp, Batches: []BatchCommit{b, b, b}}}}}, nil)
	s.apply(Position{Seq: 2}, record{change: c}, func(TopicPartition) {})
	if p := s.partition(tp); p.runs.len() != 3 || p.high != 3*math.MaxInt32 || p.runs.at(2).position != 200 {
		t.Errorf("%d runs, high watermark %d", p.runs.len(), p.high)
	}
}
