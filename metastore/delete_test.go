package metastore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func deleteBefore(tp metastore.TopicPartition, before metastore.Offset) metastore.RecordDeletion {
	return metastore.RecordDeletion{TopicPartition: tp, Before: before}
}

func TestDeletedRecordsAreGoneForEveryBroker(t *testing.T) {
	store := memory.New(memory.Options{})
	a, b := open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{})
	topic := createTopic(t, a, "t", 2)
	tp, other := metastore.TopicPartition{Topic: topic.ID}, metastore.TopicPartition{Topic: topic.ID, Partition: 1}
	for range 3 { // runs 0-4, 5-9, 10-14
		if _, err := a.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 2, 3)}); err != nil {
			t.Fatal(err)
		}
	}
	stranger := metastore.TopicPartition{Topic: topic.ID, Partition: 2}
	asked := []metastore.RecordDeletion{
		deleteBefore(tp, 7), deleteBefore(other, metastore.HighWatermark), deleteBefore(stranger, 0), deleteBefore(tp, 16), deleteBefore(tp, -2),
		deleteBefore(tp, 3), deleteBefore(metastore.TopicPartition{}, 0),
	}
	results, err := a.DeleteRecords(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	want := []metastore.DeletionResult{
		{LogStart: 7}, {LogStart: 0}, {LogStart: -1, Err: metastore.ErrUnknownPartition}, {LogStart: -1, Err: metastore.ErrOffsetOutOfRange},
		{LogStart: -1, Err: metastore.ErrOffsetOutOfRange}, {LogStart: 7}, {LogStart: -1, Err: metastore.ErrUnknownPartition},
	}
	if !reflect.DeepEqual(results, want) {
		t.Errorf("results %+v\nwant %+v", results, want)
	}
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*metastore.Replica{"the broker": a, "another": b, "one that starts": open(t, store, metastore.ReplicaOptions{})} {
		w, _ := r.Watermarks(tp)
		if w != (metastore.Watermarks{LogStart: 7, High: 15, Stable: 15}) {
			t.Errorf("%s: %+v", name, w)
		}
		if _, _, err := r.Runs(tp, 6, 1); !errors.Is(err, metastore.ErrOffsetOutOfRange) {
			t.Errorf("%s reads below the log start: %v", name, err)
		}
		if _, runs, err := r.Runs(tp, 7, 1); err != nil || len(runs) != 1 || runs[0].Base != 5 {
			t.Errorf("%s reads at the log start: %+v, %v", name, runs, err)
		}
		if run, ok := r.RunAt(tp, 0); !ok || run.Base != 5 {
			t.Errorf("%s looks for a time: %+v", name, run)
		}
		if got := r.PartitionSizes(topic.ID); !reflect.DeepEqual(got, []int64{400, 0}) {
			t.Errorf("%s: sizes %v, want the run of the log start and the one after it", name, got)
		}
	}
}

func TestNothingIsAppendedForRecordsThatAreGoneAlready(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	if _, err := r.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 10)}); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ before, start metastore.Offset }{{4, 4}, {4, 4}, {0, 4}, {-1, 10}, {-1, 10}} {
		was := r.Position().Seq
		results, err := r.DeleteRecords(t.Context(), []metastore.RecordDeletion{deleteBefore(tp, c.before)})
		if err != nil || results[0] != (metastore.DeletionResult{LogStart: c.start}) {
			t.Fatalf("deletion %d: %+v, %v", i, results, err)
		}
		if appended, moved := r.Position().Seq-was, i == 0 || i == 3; appended == 1 != moved {
			t.Errorf("deletion %d appended %d entries", i, appended)
		}
	}
	w, runs, err := r.Runs(tp, 10, 1)
	if err != nil || len(runs) != 0 || w.LogStart != 10 {
		t.Errorf("the end of an emptied partition: %+v, %+v, %v", w, runs, err)
	}
	if _, ok := r.RunWithMaxTimestamp(tp); ok {
		t.Error("an emptied partition has a greatest timestamp")
	}
}

func TestWatchHearsOfDeletedRecords(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
	if _, err := r.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 10)}); err != nil {
		t.Fatal(err)
	}
	w := r.Watch([]metastore.TopicPartition{tp})
	defer w.Close()
	if _, err := r.DeleteRecords(t.Context(), []metastore.RecordDeletion{deleteBefore(tp, 10)}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.C:
	default:
		t.Error("who waits for records does not hear that the ones before are gone")
	}
}

func TestManyPartitionsAreTruncatedInOneEntry(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	var asked []metastore.RecordDeletion
	for i := range 3 {
		topic := createTopic(t, r, fmt.Sprint("t", i), 50)
		for p := range int32(50) {
			tp := metastore.TopicPartition{Topic: topic.ID, Partition: p}
			if _, err := r.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 2)}); err != nil {
				t.Fatal(err)
			}
			asked = append(asked, deleteBefore(tp, metastore.HighWatermark))
		}
	}
	was := r.Position().Seq
	results, err := r.DeleteRecords(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	for i, res := range results {
		if res != (metastore.DeletionResult{LogStart: 2}) {
			t.Errorf("%+v: %+v", asked[i], res)
		}
	}
	if n := r.Position().Seq - was; n != 1 {
		t.Errorf("%d entries", n)
	}
}

// TestLogStartAgreesWithANaiveModel deletes and commits at random through two brokers.
func TestLogStartAgreesWithANaiveModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	store := memory.New(memory.Options{})
	brokers := []*metastore.Replica{open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{})}
	topic := createTopic(t, brokers[0], "t", 3)
	var start, high [3]metastore.Offset
	for range 500 {
		r := brokers[random.IntN(2)]
		if err := r.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := int32(random.IntN(3))
		tp := metastore.TopicPartition{Topic: topic.ID, Partition: p}
		if random.IntN(2) == 0 {
			n := int32(1 + random.IntN(5))
			if _, err := r.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, n)}); err != nil {
				t.Fatal(err)
			}
			high[p] += metastore.Offset(n)
			continue
		}
		before := metastore.Offset(random.Int64N(int64(high[p])+4)) - 2
		results, err := r.DeleteRecords(t.Context(), []metastore.RecordDeletion{deleteBefore(tp, before)})
		if err != nil {
			t.Fatal(err)
		}
		want := metastore.DeletionResult{LogStart: max(start[p], before)}
		switch {
		case before == metastore.HighWatermark:
			want.LogStart = high[p]
		case before < 0 || before > high[p]:
			want = metastore.DeletionResult{LogStart: -1, Err: metastore.ErrOffsetOutOfRange}
		}
		if results[0] != want {
			t.Fatalf("before %d of %d to %d: %+v, want %+v", before, start[p], high[p], results[0], want)
		}
		start[p] = max(start[p], want.LogStart)
	}
	for p := range start {
		w, _ := open(t, store, metastore.ReplicaOptions{}).Watermarks(metastore.TopicPartition{Topic: topic.ID, Partition: int32(p)})
		if w.LogStart != start[p] || w.High != high[p] {
			t.Errorf("partition %d: %+v, want %d to %d", p, w, start[p], high[p])
		}
	}
}

func TestReplicationFactorChanges(t *testing.T) {
	store := memory.New(memory.Options{})
	r := open(t, store, metastore.ReplicaOptions{})
	topic := createTopic(t, r, "t", 1)
	if err := r.SetReplicationFactor(t.Context(), topic.ID, 3); err != nil {
		t.Fatal(err)
	}
	was := r.Position()
	if err := r.SetReplicationFactor(t.Context(), topic.ID, 3); err != nil || r.Position() != was {
		t.Errorf("set again: %v, at %v", err, r.Position())
	}
	if err := r.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*metastore.Replica{r, open(t, store, metastore.ReplicaOptions{})} {
		if now, _ := r.Topic("t"); now.ReplicationFactor != 3 || now.ID != topic.ID {
			t.Errorf("%+v", now)
		}
	}
	if topic.ReplicationFactor != 1 {
		t.Error("a topic that was given out has changed")
	}
	if err := r.SetReplicationFactor(t.Context(), metastore.TopicID{}, 3); !errors.Is(err, metastore.ErrUnknownTopic) {
		t.Errorf("of no topic: %v", err)
	}
}
