package rebuild

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// upload puts batches of a partition in an object of tier 1, as a rewriter does that dies then.
func (w *world) upload(tp metastore.TopicPartition, entries ...*entry) {
	w.t.Helper()
	id := metastore.NewRewrittenID(time.Now())
	b := segment.NewBuilder(id, id.Time())
	w.must(b.Begin(tp.Topic, tp.Partition))
	w.holds[id] = make(map[*entry]bool)
	for _, e := range entries {
		h, err := recordbatch.ParseHeader(e.bytes)
		w.must(err)
		w.must(b.Add([][]byte{e.bytes}, segment.InfoOf(h, int64(e.offset))))
		w.holds[id][e] = true
	}
	object, _ := b.Finish()
	w.must(w.objects.Put(w.t.Context(), segment.Key(id), object))
}

// TestRecordsWithoutTimestampsAreAsOldAsTheyWere: the objects that they were rewritten to since the index was made do not say when
// they were stored first. What retention waits for would begin anew otherwise.
func TestRecordsWithoutTimestampsAreAsOldAsTheyWere(t *testing.T) {
	for name, tt := range map[string]struct {
		rewrite func(w *world, tp metastore.TopicPartition, first []metastore.SegmentID)
		runs    int
		pieces  int
	}{
		"rewritten since": {runs: 1, rewrite: func(w *world, tp metastore.TopicPartition, _ []metastore.SegmentID) { w.lift(tp) }},
		"rewritten with what came since": {runs: 1, rewrite: func(w *world, tp metastore.TopicPartition, _ []metastore.SegmentID) {
			w.writeTo(tp)
			w.lift(tp)
		}},
		"in parts": {runs: 2, pieces: 1, rewrite: func(w *world, tp metastore.TopicPartition, first []metastore.SegmentID) {
			log := w.logs[tp]
			w.upload(tp, log[:2]...)
			w.upload(tp, log[1:]...)
			w.remove(first...)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(10 * 365 * 24 * time.Hour) // to a time at which a run may have been stored
				w, tp := plainWorld(t, nil)
				w.untimed = true
				var first []metastore.SegmentID
				for range 3 {
					first = append(first, w.writeTo(tp))
					time.Sleep(24 * time.Hour)
				}
				w.writeIndex()
				time.Sleep(time.Minute)
				tt.rewrite(w, tp, first)
				time.Sleep(10 * time.Minute)
				r := w.rebuild(Options{})
				_, runs, err := r.replica.Runs(tp, 0, 1<<40)
				w.must(err)
				r.check()
				if len(runs) != tt.runs || r.report.Pieces != tt.pieces {
					t.Fatalf("%d runs, %d pieces of others", len(runs), r.report.Pieces)
				}
				for i := range runs {
					if at, ok := runs[i].Untimed(); !ok || at.Before(w.stored(tp, runs[i].End())) || at.After(w.stored(tp, w.end(tp))) {
						t.Errorf("what was stored last at %v is as of %v, %v: %+v", w.stored(tp, runs[i].End()).UTC(), at.UTC(), ok, runs[i])
					}
				}
			})
		})
	}
}

// stored is when the last batch before an offset was stored first.
func (w *world) stored(tp metastore.TopicPartition, before metastore.Offset) time.Time {
	var last *entry
	for _, e := range w.logs[tp] {
		if e.offset < before {
			last = e
		}
	}
	return last.stored
}

// TestGapsAreNoDamageInATopicThatWasCompacted: log compaction made them after the index was written, and somebody has the topic keep
// all that comes since.
func TestGapsAreNoDamageInATopicThatWasCompacted(t *testing.T) {
	for name, beyond := range map[string]bool{"below the end of the index": false, "beyond it": true} {
		t.Run(name, func(t *testing.T) {
			w, tp := plainWorld(t, map[string]string{"cleanup.policy": "compact"})
			if beyond {
				w.writeTo(tp)
				w.writeIndex()
			}
			for range 3 {
				w.writeTo(tp)
			}
			if !beyond {
				w.writeIndex()
			}
			log := w.logs[tp]
			log[1].cleaned = true
			w.logs[tp] = append(append([]*entry(nil), log[:1]...), log[2:]...)
			w.lift(tp)
			w.logs[tp] = log
			for _, g := range w.replica.Garbage(10) {
				w.remove(g.ID)
			}
			r := w.rebuild(Options{})
			w.must(r.replica.AlterTopicConfigs(t.Context(), tp.Topic, map[string]string{"cleanup.policy": "delete"}, nil))
			report, err := fsck.Check(t.Context(), r.meta, w.objects, fsck.Options{Deep: true})
			w.must(err)
			for _, f := range report.Findings {
				if f.Kind.Severity() == fsck.Error {
					t.Errorf("%s: %s %v", f.Kind, f.Detail, f.Affects)
				}
			}
		})
	}
}
