package rebuild

import (
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// plainWorld has one topic, with configs, and nothing in it.
func plainWorld(t *testing.T, configs map[string]string) (*world, metastore.TopicPartition) {
	w := newWorld(t, 1)
	topic, err := w.replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "plain", Partitions: 2, ReplicationFactor: 1, Configs: configs})
	w.must(err)
	w.topics = []*metastore.Topic{topic}
	return w, metastore.TopicPartition{Topic: topic.ID}
}

// writeTo commits a segment with one batch of the last client, which has no transactional id, to each partition.
func (w *world) writeTo(partitions ...metastore.TopicPartition) metastore.SegmentID {
	w.t.Helper()
	c := w.clients[len(w.clients)-1]
	var parts []segment.Part
	var entries []*entry
	for _, tp := range partitions {
		b, e := w.batch(c, tp)
		parts, entries = append(parts, segment.Part{Topic: tp.Topic, Partition: tp.Partition, Batches: []segment.Batch{b}}), append(entries, e)
	}
	id := metastore.NewSegmentID(time.Now())
	object, x, err := segment.Assemble(id, id.Time(), parts)
	w.must(err)
	w.must(w.objects.Put(w.t.Context(), segment.Key(id), object))
	commit := metastore.SegmentCommit{ID: id, Size: x.Size}
	for i, run := range x.Runs {
		b := parts[i].Batches[0]
		commit.Runs = append(commit.Runs, metastore.RunCommit{TopicPartition: partitions[i], Position: run.Position, Batches: []metastore.BatchCommit{{
			Length: run.Length, Records: b.Records, MaxTimestamp: b.MaxTimestamp, ProducerID: c.producer, ProducerEpoch: c.epoch, BaseSequence: b.BaseSequence,
		}}})
	}
	results, err := w.replica.Commit(w.t.Context(), []metastore.SegmentCommit{commit})
	w.must(err)
	w.holds[id] = make(map[*entry]bool)
	for i, e := range entries {
		r := results[0].Runs[i][0]
		if r.Verdict != metastore.Accepted {
			w.t.Fatalf("verdict %d", r.Verdict)
		}
		e.offset, e.end = r.Offset, r.Offset+metastore.Offset(commit.Runs[i].Batches[0].Records)
		w.logs[partitions[i]] = append(w.logs[partitions[i]], e)
		w.holds[id][e] = true
	}
	return id
}

// lift puts all batches of partitions, as they are now, in one object of tier 1, in place of others.
func (w *world) lift(partitions ...metastore.TopicPartition) metastore.SegmentID {
	w.t.Helper()
	return w.liftFrom(0, partitions...)
}

// liftFrom lifts what is not before an offset.
func (w *world) liftFrom(from metastore.Offset, partitions ...metastore.TopicPartition) metastore.SegmentID {
	w.t.Helper()
	id := metastore.NewRewrittenID(time.Now())
	b := segment.NewBuilder(id, id.Time())
	var rewrites []metastore.Rewrite
	w.holds[id] = make(map[*entry]bool)
	for _, tp := range partitions {
		w.must(b.Begin(tp.Topic, tp.Partition))
		for _, e := range w.logs[tp] {
			if e.offset < from {
				continue
			}
			h, err := recordbatch.ParseHeader(e.bytes)
			w.must(err)
			w.must(b.Add([][]byte{e.bytes}, segment.InfoOf(h, int64(e.offset))))
			w.holds[id][e] = true
		}
		_, runs, err := w.replica.Runs(tp, max(w.logStart(tp), from), 1<<40)
		w.must(err)
		rewrites = append(rewrites, metastore.Rewrite{TopicPartition: tp, Old: runs})
	}
	object, x := b.Finish()
	w.must(w.objects.Put(w.t.Context(), segment.Key(id), object))
	for i := range rewrites {
		rewrites[i].New = newRuns(rewrites[i].TopicPartition, []segment.Index{x})
	}
	_, err := w.replica.Swap(w.t.Context(), []metastore.RewrittenSegment{{ID: id, Size: x.Size}}, rewrites)
	w.must(err)
	return id
}

func (w *world) remove(ids ...metastore.SegmentID) {
	w.t.Helper()
	for _, id := range ids {
		w.must(w.objects.Delete(w.t.Context(), []string{segment.Key(id)}))
		delete(w.holds, id)
	}
}

// TestConsumersGetPastRecordsThatAreMissingAtTheEnd: nobody would ever write at these offsets, for they were given away.
func TestConsumersGetPastRecordsThatAreMissingAtTheEnd(t *testing.T) {
	w, tp := plainWorld(t, nil)
	w.writeTo(tp)
	last := w.writeTo(tp)
	w.writeIndex()
	was := w.end(tp)
	w.remove(last)
	r := w.rebuild(Options{})
	marks, runs, err := r.replica.Runs(tp, 0, 1<<30)
	w.must(err)
	r.lossy = true
	r.check()
	end := runs[len(runs)-1]
	if marks.High < was || end.Marker == nil || end.Marker.Commit || r.report.MissingRanges != 1 {
		t.Errorf("watermarks %+v, the last run is %+v, %+v", marks, end, r.report.Missing)
	}
	for _, c := range r.clients {
		if end.Marker.Producer == c.producer {
			t.Errorf("the marker is one of producer %d, which there is", c.producer)
		}
	}
}

// TestAPartitionBeginsBehindWhatIsMissingAtItsBeginning: that was deleted, most likely.
func TestAPartitionBeginsBehindWhatIsMissingAtItsBeginning(t *testing.T) {
	w, tp := plainWorld(t, nil)
	first := w.writeTo(tp)
	second := w.end(tp)
	w.writeTo(tp)
	w.writeIndex()
	w.remove(first)
	r := w.rebuild(Options{})
	if start := r.start(tp); start != second || len(r.report.Missing) != 1 || !r.report.Missing[0].Deleted {
		t.Errorf("it begins at %d, want %d; %+v", start, second, r.report.Missing)
	}
	r.lossy = true
	r.check()
}

// TestTheEndOfAnAbortedTransactionIsMadeAnewWhereItIsMissing: who is told of the transaction skips what its producer wrote
// until there.
func TestTheEndOfAnAbortedTransactionIsMadeAnewWhereItIsMissing(t *testing.T) {
	w, tp := plainWorld(t, nil)
	c := w.clients[0] // of version 1, which has one epoch for all
	write := func(commit bool) {
		w.begin(c, tp)
		b, e := w.batch(c, tp)
		id := metastore.NewSegmentID(time.Now())
		object, x, err := segment.Assemble(id, id.Time(), []segment.Part{{Topic: tp.Topic, Batches: []segment.Batch{b}}})
		w.must(err)
		w.must(w.objects.Put(t.Context(), segment.Key(id), object))
		e.offset = w.end(tp)
		e.end = e.offset + metastore.Offset(b.Records)
		_, err = w.replica.Commit(t.Context(), []metastore.SegmentCommit{{ID: id, Size: x.Size, Runs: []metastore.RunCommit{{TopicPartition: tp, Position: x.Runs[0].Position,
			Batches: []metastore.BatchCommit{{Length: x.Runs[0].Length, Records: b.Records, MaxTimestamp: b.MaxTimestamp, ProducerID: c.producer, ProducerEpoch: c.epoch, BaseSequence: b.BaseSequence, Transactional: true}}}}}})
		w.must(err)
		w.logs[tp], w.holds[id] = append(w.logs[tp], e), map[*entry]bool{e: true}
		x2, _ := w.replica.Transaction(c.id)
		w.transact(metastore.EndTxn{ID: c.id, Producer: c.producer, Epoch: c.epoch, Commit: commit, Version: 1, Number: x2.Number, Fresh: metastore.NoProducerID})
		w.markers(c, c.epoch, commit)
	}
	w.writeTo(tp)
	from := w.end(tp)
	write(false)
	lifted := w.liftFrom(from, tp)
	for _, g := range w.replica.Garbage(10) {
		w.remove(g.ID)
	}
	write(true)
	w.writeIndex()
	w.remove(lifted)
	r := w.rebuild(Options{})
	_, _, aborted, err := r.replica.CommittedRuns(tp, 0, 1<<30)
	w.must(err)
	if len(aborted) != 1 || len(r.report.Missing) != 1 || !r.found[tp][aborted[0].Last].control {
		t.Errorf("aborted %+v, missing %+v", aborted, r.report.Missing)
	}
	r.lossy = true
	r.check()
}

// TestWhatWasReplacedIsLookedForWhereItStillLies: in an object that the index names for other runs.
func TestWhatWasReplacedIsLookedForWhereItStillLies(t *testing.T) {
	w, a := plainWorld(t, nil)
	b := a
	b.Partition = 1
	first, second := w.writeTo(a, b), w.writeTo(a, b)
	w.lift(a, b)
	last := w.lift(a)
	w.writeTo(a)
	w.writeIndex()
	w.remove(first, second)
	r := w.rebuild(Options{})
	r.check()
	w.remove(last)
	r = w.rebuild(Options{})
	r.check()
	if r.report.MissingRanges > 0 || r.report.Gone != 1 {
		t.Errorf("%+v", r.report)
	}
}

// TestObjectsThatAreOlderThanTheIndexHoldNothingNewer: such offsets are of records that were given up before.
func TestObjectsThatAreOlderThanTheIndexHoldNothingNewer(t *testing.T) {
	w, tp := plainWorld(t, nil)
	w.writeTo(tp)
	w.writeIndex()
	w.writeTo(tp)
	id := metastore.NewRewrittenID(time.Now().Add(-clockMargin - time.Second))
	b := segment.NewBuilder(id, id.Time())
	w.must(b.Begin(tp.Topic, tp.Partition))
	e := w.logs[tp][1]
	h, err := recordbatch.ParseHeader(e.bytes)
	w.must(err)
	w.must(b.Add([][]byte{e.bytes}, segment.InfoOf(h, int64(e.offset))))
	object, _ := b.Finish()
	w.must(w.objects.Put(t.Context(), segment.Key(id), object))
	r := w.rebuild(Options{})
	if marks, _ := r.replica.Watermarks(tp); marks.High != e.offset || r.report.Stale != 1 || r.report.Unrecorded.Objects != 1 {
		t.Errorf("watermarks %+v, %d stale, %+v", marks, r.report.Stale, r.report.Unrecorded)
	}
}

// TestProducerIDsThatWereSeenAreNotGivenAgain, however far beyond those that the index knows of.
func TestProducerIDsThatWereSeenAreNotGivenAgain(t *testing.T) {
	w, tp := plainWorld(t, nil)
	w.writeTo(tp)
	w.writeIndex()
	const seen = 5 * spareProducerIDs
	b := segment.NewBuilder(metastore.NewRewrittenID(time.Now()), time.Now())
	w.must(b.Begin(tp.Topic, tp.Partition))
	batch := recordbatchtest.Encode([]recordbatch.Record{{Value: []byte("v")}}, recordbatchtest.Options{ProducerID: seen})
	h, err := recordbatch.ParseHeader(batch)
	w.must(err)
	w.must(b.Add([][]byte{batch}, segment.InfoOf(h, int64(w.end(tp)))))
	object, x := b.Finish()
	w.must(w.objects.Put(t.Context(), segment.Key(x.ID), object))
	r := w.rebuild(Options{})
	if id, err := r.replica.NextProducerID(t.Context()); err != nil || id <= seen || id != r.report.ProducerIDsFrom {
		t.Errorf("producer id %d, %v; the report says %d", id, err, r.report.ProducerIDsFrom)
	}
}

// TestLogCompactionBeginsAnewWhereRunsWereReplaced: an object may hold what was taken out of another that is newer. That it has begun
// stays known, for there may be gaps.
func TestLogCompactionBeginsAnewWhereRunsWereReplaced(t *testing.T) {
	for name, tt := range map[string]struct {
		lift bool
		want metastore.Offset
	}{"replaced": {true, 1}, "as the index says": {false, 2}} {
		t.Run(name, func(t *testing.T) {
			w, tp := plainWorld(t, map[string]string{"cleanup.policy": "compact"})
			for w.end(tp) < 2 {
				w.writeTo(tp)
			}
			w.must(w.replica.NoteCleaned(t.Context(), tp, 2, nil))
			w.writeIndex()
			if tt.lift {
				w.lift(tp)
			}
			r := w.rebuild(Options{})
			r.check()
			r.replica.VisitPartitions(func(v *metastore.PartitionView) bool {
				if v.TopicPartition == tp && v.CleanedTo != tt.want {
					t.Errorf("cleaned to %d, want %d", v.CleanedTo, tt.want)
				}
				return true
			})
		})
	}
}

// TestAbortedTransactionsOfWhichNothingIsLeftAreForgotten: log compaction takes records out, then what is listed, then the
// marker. The index lists what has no marker any more: whoever is told of it skips what the producer wrote later.
func TestAbortedTransactionsOfWhichNothingIsLeftAreForgotten(t *testing.T) {
	for name, tt := range map[string]struct {
		records bool // are left
		want    []metastore.Offset
		missing bool
	}{
		"nothing is left":         {false, nil, false},
		"records are there still": {true, []metastore.Offset{1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, tp := plainWorld(t, map[string]string{"cleanup.policy": "compact"})
			w.writeTo(tp)
			c := w.clients[1] // of version 2
			w.begin(c, tp)
			b, e := w.batch(c, tp)
			e.offset = w.end(tp)
			e.end = e.offset + metastore.Offset(b.Records)
			id := metastore.NewSegmentID(time.Now())
			object, x, err := segment.Assemble(id, id.Time(), []segment.Part{{Topic: tp.Topic, Batches: []segment.Batch{b}}})
			w.must(err)
			w.must(w.objects.Put(t.Context(), segment.Key(id), object))
			_, err = w.replica.Commit(t.Context(), []metastore.SegmentCommit{{ID: id, Size: x.Size, Runs: []metastore.RunCommit{{TopicPartition: tp, Position: x.Runs[0].Position,
				Batches: []metastore.BatchCommit{{Length: x.Runs[0].Length, Records: b.Records, MaxTimestamp: b.MaxTimestamp, ProducerID: c.producer, ProducerEpoch: c.epoch, Transactional: true, Implicit: true}}}}}})
			w.must(err)
			w.logs[tp], w.holds[id] = append(w.logs[tp], e), map[*entry]bool{e: true}
			r := w.transact(metastore.EndTxn{ID: c.id, Producer: c.producer, Epoch: c.epoch, Version: 2, Number: 0, Fresh: metastore.NoProducerID})
			w.markers(c, c.epoch+1, false)
			c.producer, c.epoch = r.Producer, r.Epoch
			w.writeTo(tp)
			w.writeIndex()
			marker := w.logs[tp][2]
			kept := []*entry{w.logs[tp][0], e, w.logs[tp][3]}
			if !tt.records {
				kept = slices.Delete(kept, 1, 2)
			}
			marker.cleaned, e.cleaned = true, !tt.records
			all := w.logs[tp]
			w.logs[tp] = kept
			w.lift(tp)
			w.logs[tp] = all
			for _, g := range w.replica.Garbage(10) {
				w.remove(g.ID)
			}
			got := w.rebuild(Options{})
			_, _, aborted, err := got.replica.CommittedRuns(tp, got.start(tp), 1<<30)
			w.must(err)
			if damaged := len(got.report.Damaged); damaged > 0 != tt.records || !tt.records && len(aborted) > 0 {
				t.Errorf("aborted %+v, %d damaged", aborted, damaged)
			}
			got.lossy = tt.records
			got.check()
		})
	}
}

func (r *restored) start(tp metastore.TopicPartition) metastore.Offset {
	marks, _ := r.replica.Watermarks(tp)
	return marks.LogStart
}
