package metastore_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

func TestNoteCleanedForgetsAbortedTransactions(t *testing.T) {
	b := newTxnBench(t, 2)
	r, tp := b.Replica, b.tp(0)
	of := b.init("app")
	var ends []metastore.AbortedTxn
	for i := range metastore.Offset(4) {
		b.wantVerdict(b.write(batch(of, 0, 2, true), 0), metastore.Accepted, 3*i)
		of = b.must(metastore.EndTxn{ID: "app", Producer: of.Producer, Epoch: of.Epoch, Version: 2, Number: b.number("app"), Fresh: metastore.NoProducerID})
		ends = append(ends, metastore.AbortedTxn{Producer: of.Producer, First: 3 * i, Last: 3*i + 2})
	}
	aborted := func(r *metastore.Replica) []metastore.AbortedTxn {
		t.Helper()
		_, _, list, err := r.CommittedRuns(tp, 0, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	cleanedTo := func(r *metastore.Replica) (to metastore.Offset) {
		r.VisitPartitions(func(v *metastore.PartitionView) bool { to = v.CleanedTo; return true })
		return to
	}
	if got := aborted(r); !slices.Equal(got, ends) {
		t.Fatalf("aborted %v, want %v", got, ends)
	}
	runs := runsOf(t, r, tp)
	end := runs[len(runs)-1].End()

	for _, c := range []struct {
		to        metastore.Offset
		forgotten []metastore.Offset
		want      []metastore.AbortedTxn
		cleanedTo metastore.Offset
	}{
		{5, nil, ends, 5},
		{3, []metastore.Offset{ends[0].Last, ends[1].Last - 1, ends[2].Last}, []metastore.AbortedTxn{ends[1], ends[3]}, 5},
		{end, []metastore.Offset{ends[0].Last, ends[3].Last, end + 7}, ends[1:2], end},
		{end, []metastore.Offset{ends[1].Last}, nil, end},
	} {
		for range 2 { // asked again, it is the same
			if err := r.NoteCleaned(t.Context(), tp, c.to, c.forgotten); err != nil {
				t.Fatal(err)
			}
			at := r.Position()
			if got := aborted(r); !slices.Equal(got, c.want) || cleanedTo(r) != c.cleanedTo {
				t.Errorf("to %d, %v: aborted %v, want %v; cleaned to %d, want %d", c.to, c.forgotten, got, c.want, cleanedTo(r), c.cleanedTo)
			}
			if err := r.NoteCleaned(t.Context(), tp, c.to, c.forgotten); err != nil || r.Position() != at {
				t.Errorf("what changes nothing was appended: %v, %v", r.Position(), err)
			}
		}
	}
	if err := r.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := open(t, b.store, metastore.ReplicaOptions{})
	if diff := other.Differences(r); len(diff) > 0 || cleanedTo(other) != end {
		t.Errorf("one that starts differs: %v", diff)
	}

	empty := metastore.TopicPartition{Topic: tp.Topic, Partition: 1}
	for name, c := range map[string]struct {
		tp        metastore.TopicPartition
		to        metastore.Offset
		forgotten []metastore.Offset
		want      error
	}{
		"beyond the end":    {tp, end + 1, nil, metastore.ErrOffsetOutOfRange},
		"of what was never": {empty, 1, nil, metastore.ErrOffsetOutOfRange},
		"below 0":           {tp, -1, nil, metastore.ErrOffsetOutOfRange},
		"no such partition": {metastore.TopicPartition{Topic: tp.Topic, Partition: 2}, 0, nil, metastore.ErrUnknownPartition},
	} {
		if err := r.NoteCleaned(t.Context(), c.tp, c.to, c.forgotten); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, forgotten := range [][]metastore.Offset{{5, 4}, {-1}, make([]metastore.Offset, metastore.MaxForgotten+1)} {
		if err := r.NoteCleaned(t.Context(), tp, end, forgotten); err == nil {
			t.Errorf("%d offsets that are not in order, or too many, were taken", len(forgotten))
		}
	}
}
