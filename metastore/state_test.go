package metastore

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ledger folds changes into a state, at times of its own.
type ledger struct {
	s       *State
	time    int64
	entries []Entry // all that were folded
}

func newLedger() *ledger { return &ledger{s: NewState(), time: time.Now().UnixMilli()} }

func (l *ledger) fold(c change) {
	rec := record{time: l.time, nonce: 7, change: c}
	e := l.s.at.Next(rec.encode())
	l.entries = append(l.entries, e)
	l.s.apply(e.Position, rec, func(TopicPartition) {})
}

// refold folds the first entries anew.
func (l *ledger) refold(t fataler, until Seq) *State {
	t.Helper()
	s := NewState()
	for _, e := range l.entries[:until] {
		rec, err := decodeRecord(e.Payload)
		if err != nil {
			t.Fatalf("%v", err)
		}
		s.apply(e.Position, rec, func(TopicPartition) {})
	}
	return s
}

// decide folds a segment with one batch of one record for each producer, in one partition.
func (l *ledger) decide(tp TopicPartition, sequence int32, producers ...ProducerID) commitSegments {
	in := &SegmentCommit{ID: NewSegmentID(time.UnixMilli(l.time)), Size: 1 << 30, Runs: []RunCommit{{TopicPartition: tp}}}
	for _, id := range producers {
		in.Runs[0].Batches = append(in.Runs[0].Batches, BatchCommit{Length: 100, Records: 1, ProducerID: id, BaseSequence: sequence})
	}
	c, _ := l.s.decideCommit([]*SegmentCommit{in}, nil)
	l.fold(c)
	return c
}

// transact makes some request of one of five transactional ids, whose producers are 0 to 4 at first.
func (l *ledger) transact(t *rapid.T, topic TopicID) {
	n := rapid.Int64Range(0, 4).Draw(t, "id")
	id := string(rune('a' + n))
	is := l.s.txns.find(id)
	if is == nil {
		is = &txn{}
	}
	tp := TopicPartition{topic, 0}
	requests := []TxnRequest{
		InitTxn{ID: id, Producer: NoProducerID, Epoch: -1, Fresh: ProducerID(n)},
		AbortTxn{ID: id, Number: is.number},
		EndTxn{ID: id, Producer: is.producer, Epoch: is.epoch, Number: is.number, Commit: n%2 == 0, Version: 2, Fresh: NoProducerID},
		ForgetTxn{ID: id, Epoch: is.epoch, Number: is.number},
		AddToTxn{ID: id, Producer: is.producer, Epoch: is.epoch, Number: is.number, Groups: []string{"g"}},
		CommitTxnOffsets{ID: id, Producer: is.producer, Epoch: is.epoch, Number: is.number, Group: "h", Implicit: true,
			Offsets: []CommittedOffset{
				{TopicPartition: tp, Offset: Offset(n), CommittedAt: time.UnixMilli(7)},
				{TopicPartition: TopicPartition{topic, 1}, Offset: Offset(n), CommittedAt: time.UnixMilli(7)},
			}},
	}
	if c := l.s.decideTxns([]TxnRequest{rapid.SampledFrom(requests).Draw(t, "request")}, nil); len(c.changes) > 0 {
		l.fold(c)
	}
}

// TestCloneIsTheStateOfItsMoment folds on while clones are held, and then compares what they encode with what the state
// said when they were made. The tables must add up at all times.
func TestCloneIsTheStateOfItsMoment(t *testing.T) {
	type held struct {
		of    *State
		clone *State
		said  description
	}
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		var clones []held
		give := func(i int) {
			h := clones[i]
			clones = append(clones[:i:i], clones[i+1:]...)
			restored, err := decodeState(Snapshot{Position: h.clone.at, State: h.clone.encode()})
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(t, restored); !reflect.DeepEqual(got, h.said) {
				t.Fatalf("the clone became\n%+v\nand was\n%+v", got, h.said)
			}
			if faults := l.survey(t, h.clone.encode(), h.clone.at).Faults; len(faults) > 0 {
				t.Fatalf("the entries give another state: %v", faults)
			}
			digest := h.clone.encodeAs(true)
			if !bytes.Equal(digest, restored.clone().encodeAs(true)) {
				t.Fatal("what was restored has another digest")
			}
			restored.thaw()
			if refolded := l.refold(t, h.clone.at.Seq); !bytes.Equal(digest, refolded.clone().encodeAs(true)) {
				t.Fatal("what the entries give has another digest")
			}
			h.of.thaw()
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 && restored.at == l.s.at {
				l.s = restored
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			l.time += rapid.Int64Range(-1000, 30_000).Draw(t, "ms later")
			topic := TopicID{byte(rapid.IntRange(1, 3).Draw(t, "topic"))}
			switch rapid.IntRange(0, 18).Draw(t, "step") {
			case 10, 11, 12:
				l.transact(t, topic)
			case 13, 14:
				said := describe(t, l.s)
				of := func(tp TopicPartition) []Run { return said.Partitions[tp].Runs }
				plan := drawSwap(t, l.time, l.s.partitionsInOrder(), of)
				if checkSwap(plan.segments, plan.rewrites) == nil {
					c, err := l.s.decideSwap(plan.segments, plan.rewrites, l.time)
					if err != nil {
						t.Fatal(err)
					}
					l.fold(c)
				}
			case 15:
				through, kept := rapid.Int64Range(0, l.s.garbage.next).Draw(t, "through"), drawKept(t, l.s.garbage.next)
				if l.fold(collectGarbage{through: through}); len(kept) > 0 {
					l.fold(putOffGarbage{through: through + 1, kept: kept})
				}
			case 0:
				if l.s.topics[topic] == nil {
					l.fold(createTopic{id: topic, name: topic.String(), partitions: rapid.Int32Range(1, 3).Draw(t, "partitions"), replicationFactor: 1})
				}
			case 1:
				if rapid.Bool().Draw(t, "really") {
					l.fold(deleteTopic{id: topic})
				}
			case 2:
				l.fold(createPartitions{id: topic, partitions: rapid.Int32Range(1, 5).Draw(t, "partitions")})
			case 3:
				before := l.time - rapid.Int64Range(-1000, 300_000).Draw(t, "silent for")
				want := describe(t, l.s).Partitions
				for _, p := range want {
					for id, from := range p.Producers {
						open := slices.ContainsFunc(p.Open, func(o openTxnStart) bool { return o.producer == id })
						if from.lastSeen < before && !open {
							delete(p.Producers, id)
						}
					}
				}
				l.fold(expireProducers{before: before})
				if got := describe(t, l.s).Partitions; !reflect.DeepEqual(got, want) {
					t.Fatalf("after expiry\n%+v\nwant\n%+v", got, want)
				}
			case 4:
				said := describe(t, l.s)
				clones = append(clones, held{l.s, l.s.clone(), said})
			case 5:
				if len(clones) > 0 {
					give(rapid.IntRange(0, len(clones)-1).Draw(t, "clone"))
				}
			case 6:
				var asked []RecordDeletion
				for range rapid.IntRange(1, 3).Draw(t, "deletions") {
					asked = append(asked, RecordDeletion{
						TopicPartition: TopicPartition{topic, rapid.Int32Range(0, 3).Draw(t, "partition")}, Before: Offset(rapid.Int64Range(-1, 60).Draw(t, "before")),
					})
				}
				c, _ := l.s.decideDeletion(asked)
				l.fold(c)
			default:
				in := &SegmentCommit{ID: NewSegmentID(time.UnixMilli(l.time)), Size: 1 << 30}
				for p := range int32(3) {
					run := RunCommit{TopicPartition: TopicPartition{topic, p}}
					for range rapid.IntRange(0, 20).Draw(t, "batches") {
						b := BatchCommit{
							Length: 100, Records: 1, ProducerID: ProducerID(rapid.Int64Range(-1, 60).Draw(t, "producer")),
							ProducerEpoch: ProducerEpoch(rapid.Int16Range(0, 3).Draw(t, "epoch")),
						}
						if id := l.s.txns.ofProducer(b.ProducerID); id != nil {
							b.Transactional, b.Implicit, b.ProducerEpoch = true, true, id.epoch
						}
						run.Batches = append(run.Batches, b)
					}
					in.Runs = append(in.Runs, run)
				}
				c, _ := l.s.decideCommit([]*SegmentCommit{in}, nil)
				l.fold(c)
			}
			describe(t, l.s)
		}
		for len(clones) > 0 {
			give(0)
		}
	})
}

func TestDeletedTopicIsReleasedInSteps(t *testing.T) {
	l := newLedger()
	const producers = 1000
	ids := make([]ProducerID, producers)
	for i := range ids {
		ids[i] = ProducerID(i)
	}
	fill := func(topic byte, partitions int32) {
		l.fold(createTopic{id: TopicID{topic}, name: string(rune('a' + topic)), partitions: partitions, replicationFactor: 1})
		for p := range partitions {
			l.decide(TopicPartition{TopicID{topic}, p}, 0, ids...)
		}
	}
	fill(1, 3)
	fill(2, 4)
	fill(3, 1)
	used := l.s.producers.used
	clone, said := l.s.clone(), describe(t, l.s)
	l.fold(deleteTopic{id: TopicID{1}})
	l.fold(deleteTopic{id: TopicID{2}})
	if got := l.s.producers.count; got != producers {
		t.Errorf("%d producers counted, want those of the topic that is left, %d", got, producers)
	}
	if len(l.s.dropped.topics) == 0 {
		t.Fatal("released at once: the topics are too small to test the steps")
	}
	l.time += 2 * MaxSegmentAge.Milliseconds()
	l.fold(expireProducers{before: l.time - 1})
	if got := l.s.producers.count; got != 0 {
		t.Errorf("%d producers after their expiry", got)
	}
	for range 10 {
		describe(t, l.s)
		l.fold(alterTopicConfigs{id: TopicID{3}})
	}
	if n := len(l.s.dropped.topics); n != 0 {
		t.Fatalf("%d topics are not released", n)
	}
	if free := len(l.s.producers.free); free != int(used) {
		t.Errorf("%d of %d producers are free", free, used)
	}
	if n := l.s.dropped.free; len(n) != 2 {
		t.Errorf("numbers of topics free: %v", n)
	}
	fill(4, 3) // takes the numbers again
	if l.s.producers.used != used {
		t.Errorf("the table grew from %d to %d producers", used, l.s.producers.used)
	}
	restored, err := decodeState(Snapshot{Position: clone.at, State: clone.encode()})
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(t, restored); !reflect.DeepEqual(got, said) {
		t.Error("a clone made before the deletions does not hold what the state held")
	}
	l.s.thaw()
}

// TestCloneIsEncodedWhileTheStateMovesOn is for the race detector.
func TestCloneIsEncodedWhileTheStateMovesOn(t *testing.T) {
	l := newLedger()
	l.fold(createTopic{id: TopicID{1}, name: "t", partitions: 4, replicationFactor: 1})
	tp := func(i int) TopicPartition { return TopicPartition{TopicID{1}, int32(i % 4)} }
	for i := range 200 {
		l.decide(tp(i), 0, ProducerID(i), ProducerID(i+4))
	}
	for round := range 5 {
		said, clone := describe(t, l.s), l.s.clone()
		encoded := make(chan []byte)
		go func() { encoded <- clone.encode() }()
		for i := range 100 {
			l.time += 1000
			l.decide(tp(i), int32(round+1), ProducerID(i))
			l.decide(tp(i), 0, ProducerID(1000*round+500+i))
			l.fold(expireProducers{before: l.time - 150_000})
		}
		restored, err := decodeState(Snapshot{Position: clone.at, State: <-encoded})
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(t, restored); !reflect.DeepEqual(got, said) {
			t.Errorf("round %d: the clone changed", round)
		}
		l.s.thaw()
	}
}

func TestExpiryGoesInStepsUpToItsLimit(t *testing.T) {
	var times []int64
	for i := range int64(3 * expireStep) {
		times = append(times, i/2) // in pairs
	}
	for _, c := range []struct {
		name  string
		n     int
		limit int64
		want  []int64
	}{
		{"none", 0, 1 << 40, nil},
		{"fewer than none", -5, 1 << 40, nil},
		{"one, with the other of its time", 1, 1 << 40, []int64{1}},
		{"all", len(times), 1 << 40, []int64{expireStep / 2, expireStep, 3 * expireStep / 2}},
		{"up to the limit", len(times), expireStep/2 + 10, []int64{expireStep / 2, expireStep/2 + 10}},
		{"none before the limit", len(times), 0, nil},
	} {
		if got := expirySteps(times, c.n, c.limit); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
