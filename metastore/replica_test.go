package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func open(t *testing.T, log metastore.Log, opts metastore.ReplicaOptions) *metastore.Replica {
	t.Helper()
	r := metastore.NewReplica(log, opts)
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func createTopic(t *testing.T, r *metastore.Replica, name string, partitions int32) *metastore.Topic {
	t.Helper()
	topic, err := r.CreateTopic(t.Context(), metastore.NewTopic{Name: name, Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// plain is a segment of batches without a producer: so many records each, all to one partition.
func plain(tp metastore.TopicPartition, records ...int32) metastore.SegmentCommit {
	c := metastore.SegmentCommit{ID: metastore.NewSegmentID(time.Now()), Size: 1 << 20}
	run := metastore.RunCommit{TopicPartition: tp, Position: 16}
	for _, n := range records {
		run.Batches = append(run.Batches, metastore.BatchCommit{Length: 100, Records: n, MaxTimestamp: 5, ProducerID: metastore.NoProducerID})
	}
	c.Runs = []metastore.RunCommit{run}
	return c
}

func TestTwoReplicasSequenceOnePartitionWithoutGapsOrOverlaps(t *testing.T) {
	store := memory.New(memory.Options{})
	a, b := open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, a, "t", 1).ID}
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	const each = 100
	var mu sync.Mutex
	taken := make(map[metastore.Offset]bool)
	var wg sync.WaitGroup
	for _, r := range []*metastore.Replica{a, b} {
		wg.Go(func() {
			for range each {
				res, err := r.Commit(context.Background(), []metastore.SegmentCommit{plain(tp, 2, 3)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i, n := range []metastore.Offset{2, 3} {
					for o := range n {
						at := res[0].Runs[0][i].Offset + o
						if taken[at] {
							t.Errorf("offset %d given twice", at)
						}
						taken[at] = true
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for o := range metastore.Offset(2 * each * 5) {
		if !taken[o] {
			t.Fatalf("offset %d was not given", o)
		}
	}
	for _, r := range []*metastore.Replica{a, b} {
		if err := r.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if w, _ := r.Watermarks(tp); w.High != 2*each*5 {
			t.Errorf("high watermark %d, want %d", w.High, 2*each*5)
		}
	}
}

// lossy loses answers: Append fails with a plain error, before or after it took effect.
type lossy struct {
	metastore.Log
	before, after int // how many appends to lose
}

var errLost = errors.New("connection lost")

func (l *lossy) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	if l.before > 0 {
		l.before--
		return errLost
	}
	err := l.Log.Append(ctx, expected, next)
	if err == nil && l.after > 0 {
		l.after--
		return errLost
	}
	return err
}

func TestAppendWithLostAnswerTakesEffectOnce(t *testing.T) {
	for _, c := range []struct{ before, after int }{{1, 0}, {0, 1}, {2, 1}, {0, 3}} {
		t.Run(fmt.Sprintf("lost %d before and %d after", c.before, c.after), func(t *testing.T) {
			store := memory.New(memory.Options{})
			log := &lossy{Log: store}
			r := open(t, log, metastore.ReplicaOptions{})
			tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
			log.before, log.after = c.before, c.after
			res, err := r.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 10)})
			if err != nil {
				t.Fatal(err)
			}
			if got := res[0].Runs[0][0]; got.Verdict != metastore.Accepted || got.Offset != 0 {
				t.Errorf("result %+v", got)
			}
			if w, _ := r.Watermarks(tp); w.High != 10 {
				t.Errorf("high watermark %d, want 10", w.High)
			}
			log.before, log.after = c.before, c.after
			if _, err := r.CreateTopic(t.Context(), metastore.NewTopic{Name: "u", Partitions: 1}); err != nil {
				t.Errorf("create topic: %v", err)
			}
			log.before, log.after = c.before, c.after
			if err := r.DeleteTopic(t.Context(), tp.Topic); err != nil {
				t.Errorf("delete topic: %v", err)
			}
		})
	}
}

func TestCommitAskedAgainReturnsTheFirstResult(t *testing.T) {
	store := memory.New(memory.Options{})
	a, b := open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, a, "t", 1).ID}
	first := plain(tp, 7)
	if _, err := a.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 3), first}); err != nil {
		t.Fatal(err)
	}
	check := func(r *metastore.Replica) {
		t.Helper()
		res, err := r.Commit(t.Context(), []metastore.SegmentCommit{first, plain(tp, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if got := res[0].Runs[0][0]; got.Verdict != metastore.Accepted || got.Offset != 3 {
			t.Errorf("repeated segment: %+v, want offset 3", got)
		}
	}
	check(a)
	check(b)
	if err := a.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(open(t, store, metastore.ReplicaOptions{}))
	if err := a.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w, _ := a.Watermarks(tp); w.High != 13 {
		t.Errorf("high watermark %d, want 13", w.High)
	}
}

func TestOldSegmentIsRefused(t *testing.T) {
	now := time.Now()
	store := memory.New(memory.Options{})
	r := open(t, store, metastore.ReplicaOptions{Now: func() time.Time { return now }})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	old := plain(tp, 1)
	now = now.Add(metastore.MaxSegmentAge + time.Second)
	res, err := r.Commit(t.Context(), []metastore.SegmentCommit{old})
	if err != nil {
		t.Fatal(err)
	}
	if got := res[0].Runs[0][0]; got.Verdict != metastore.SegmentTooOld || got.Offset != metastore.NoOffset {
		t.Errorf("result %+v", got)
	}
	if w, _ := r.Watermarks(tp); w.High != 0 {
		t.Errorf("high watermark %d, want 0", w.High)
	}
}

func TestWhatFollowsAnOldSegmentIsNoBeginning(t *testing.T) {
	now := time.Now()
	store := memory.New(memory.Options{})
	r := open(t, store, metastore.ReplicaOptions{Now: func() time.Time { return now }})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	sent := func(producer metastore.ProducerID, sequence int32) metastore.SegmentCommit {
		c := plain(tp, 1)
		c.ID = metastore.NewSegmentID(now)
		c.Runs[0].Batches[0].ProducerID, c.Runs[0].Batches[0].BaseSequence = producer, sequence
		return c
	}
	old := sent(1, 0)
	now = now.Add(metastore.MaxSegmentAge + time.Second)
	next, others := sent(1, 1), sent(2, 0)
	res, err := r.Commit(t.Context(), []metastore.SegmentCommit{old, next, others})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []metastore.Verdict{metastore.SegmentTooOld, metastore.OutOfOrderSequence, metastore.Accepted} {
		if got := res[i].Runs[0][0].Verdict; got != want {
			t.Errorf("segment %d: verdict %d, want %d", i, got, want)
		}
	}
	if next.Runs[0].Batches[0].AfterLoss {
		t.Error("the request was written to")
	}
}

func TestSnapshotHoldsTheWholeState(t *testing.T) {
	store := memory.New(memory.Options{})
	a := open(t, store, metastore.ReplicaOptions{})
	topic := createTopic(t, a, "t", 3)
	tp := metastore.TopicPartition{Topic: topic.ID, Partition: 2}
	if err := a.AlterTopicConfigs(t.Context(), topic.ID, map[string]string{"retention.ms": "5"}, nil); err != nil {
		t.Fatal(err)
	}
	commitIdempotent(t, a, tp, 4, 0, 0, 10)
	id, err := a.NextProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := open(t, store, metastore.ReplicaOptions{})
	if a.Position() != b.Position() {
		t.Fatalf("positions %v and %v", a.Position(), b.Position())
	}
	got, ok := b.TopicByID(topic.ID)
	if !ok || got.Name != "t" || got.Partitions != 3 || got.Configs["retention.ms"] != "5" {
		t.Errorf("topic %+v", got)
	}
	wa, runsA, _ := a.Runs(tp, 0, 1<<20)
	wb, runsB, _ := b.Runs(tp, 0, 1<<20)
	if wa != wb || len(runsA) != 1 || len(runsB) != 1 || runsA[0] != runsB[0] {
		t.Errorf("runs %v %v and %v %v", wa, runsA, wb, runsB)
	}
	if sizes := b.PartitionSizes(topic.ID); !slices.Equal(sizes, []int64{0, 0, int64(runsA[0].Length)}) || !slices.Equal(sizes, a.PartitionSizes(topic.ID)) {
		t.Errorf("sizes %v after the snapshot, %v before; the run is of %d bytes", sizes, a.PartitionSizes(topic.ID), runsA[0].Length)
	}
	if sizes := b.PartitionSizes(metastore.TopicID{9}); sizes != nil {
		t.Errorf("sizes of a topic that is not there: %v", sizes)
	}
	if got := commitIdempotent(t, b, tp, 4, 0, 0, 10); got.Verdict != metastore.Duplicate || got.Offset != 0 {
		t.Errorf("repeated batch after snapshot: %+v", got)
	}
	if other, err := b.NextProducerID(t.Context()); err != nil || other == id {
		t.Errorf("producer id %d given twice (%v)", id, err)
	}
}

func commitIdempotent(t *testing.T, r *metastore.Replica, tp metastore.TopicPartition, id metastore.ProducerID, epoch metastore.ProducerEpoch, sequence, records int32) metastore.BatchResult {
	t.Helper()
	c := plain(tp, records)
	b := &c.Runs[0].Batches[0]
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, epoch, sequence
	res, err := r.Commit(t.Context(), []metastore.SegmentCommit{c})
	if err != nil {
		t.Fatal(err)
	}
	return res[0].Runs[0][0]
}

func TestFollowerJumpsOverTrimmedEntriesByASnapshot(t *testing.T) {
	now := time.Now()
	store := memory.New(memory.Options{})
	opts := metastore.ReplicaOptions{Now: func() time.Time { return now }}
	a, late := open(t, store, opts), open(t, store, opts)
	tp := metastore.TopicPartition{Topic: createTopic(t, a, "t", 1).ID}
	for range 10 {
		if _, err := a.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(2 * metastore.MaxSegmentAge)
	createTopic(t, a, "u", 1)
	if err := a.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Read(t.Context(), metastore.Position{}, 1); !errors.Is(err, metastore.ErrTrimmed) {
		t.Fatalf("read of trimmed log: %v", err)
	}
	watch := late.Watch([]metastore.TopicPartition{tp})
	defer watch.Close()
	if err := late.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-watch.C:
	default:
		t.Error("watch did not hear of the jump")
	}
	if w, _ := late.Watermarks(tp); w.High != 10 {
		t.Errorf("high watermark %d, want 10", w.High)
	}
}

func TestLogThatWentBackInTimeIsRefused(t *testing.T) {
	store, other := memory.New(memory.Options{}), memory.New(memory.Options{})
	swap := &swappable{Log: store}
	r := open(t, swap, metastore.ReplicaOptions{})
	createTopic(t, r, "t", 1)
	swap.Log = other
	if _, err := r.CreateTopic(t.Context(), metastore.NewTopic{Name: "u", Partitions: 1}); !errors.Is(err, metastore.ErrRegressed) {
		t.Fatalf("create topic: %v, want ErrRegressed", err)
	}
	swap.Log = store
	if err := r.Health(); !errors.Is(err, metastore.ErrRegressed) {
		t.Errorf("health %v: the refusal must stick", err)
	}
}

type swappable struct{ metastore.Log }

func TestWatchHearsOfItsPartitionsOnly(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	topic := createTopic(t, r, "t", 2)
	w := r.Watch([]metastore.TopicPartition{{Topic: topic.ID, Partition: 1}})
	defer w.Close()
	heard := func() bool {
		select {
		case <-w.C:
			return true
		default:
			return false
		}
	}
	for partition, want := range []bool{false, true} {
		tp := metastore.TopicPartition{Topic: topic.ID, Partition: int32(partition)}
		if _, err := r.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 1)}); err != nil {
			t.Fatal(err)
		}
		if heard() != want {
			t.Errorf("commit to partition %d: heard %v", partition, !want)
		}
	}
	if err := r.DeleteTopic(t.Context(), topic.ID); err != nil {
		t.Fatal(err)
	}
	if !heard() {
		t.Error("deletion was not heard")
	}
}

func TestClosedWatchesLeaveTheOthers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	const partitions = 5
	topic := createTopic(t, r, "t", partitions)
	watches := make(map[*metastore.Watch][partitions]bool)
	for range 300 {
		if random.IntN(3) > 0 {
			var of [partitions]bool
			var tps []metastore.TopicPartition
			for range random.IntN(4) {
				i := random.IntN(partitions) // twice the same at times
				of[i] = true
				tps = append(tps, metastore.TopicPartition{Topic: topic.ID, Partition: int32(i)})
			}
			watches[r.Watch(tps)] = of
		}
		for w := range watches {
			if random.IntN(2*len(watches)) == 0 {
				w.Close()
				delete(watches, w)
			}
		}
		moved := random.IntN(partitions)
		if _, err := r.Commit(t.Context(), []metastore.SegmentCommit{plain(metastore.TopicPartition{Topic: topic.ID, Partition: int32(moved)}, 1)}); err != nil {
			t.Fatal(err)
		}
		for w, of := range watches {
			select {
			case <-w.C:
				if !of[moved] {
					t.Fatal("a watch heard of a partition that it does not watch")
				}
			default:
				if of[moved] {
					t.Fatal("a watch did not hear of its partition")
				}
			}
		}
	}
}
