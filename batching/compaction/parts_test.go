package compaction

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/rewrite/rewritetest"
	"github.com/runnel-io/runnel/metastore"
)

// TestPartsAreWhatWasPlanned: runs that have changed since the plan are left for the next one, but for those that the log
// start has passed.
func TestPartsAreWhatWasPlanned(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(w *rewritetest.World, tp metastore.TopicPartition, c *Compactor)
		want   int // runs of the part; 0: there is none
	}{
		"nothing": {func(*rewritetest.World, metastore.TopicPartition, *Compactor) {}, 5},
		"more was written": {func(w *rewritetest.World, tp metastore.TopicPartition, _ *Compactor) {
			w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()})
		}, 5},
		"some was deleted": {func(w *rewritetest.World, tp metastore.TopicPartition, _ *Compactor) {
			deleteBefore(w, tp, w.Runs(tp)[2].Base)
		}, 3},
		"part of a run was deleted": {func(w *rewritetest.World, tp metastore.TopicPartition, _ *Compactor) {
			deleteBefore(w, tp, w.Runs(tp)[2].Base+1)
		}, 3},
		"all was deleted": {func(w *rewritetest.World, tp metastore.TopicPartition, _ *Compactor) {
			deleteBefore(w, tp, metastore.HighWatermark)
		}, 0},
		"another was faster, and went on": {func(w *rewritetest.World, tp metastore.TopicPartition, c *Compactor) {
			w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()})
			if _, err := c.engine.Do(w.T.Context(), []rewrite.Part{{TopicPartition: tp, Runs: w.Runs(tp)}}); err != nil {
				w.T.Fatal(err)
			}
		}, 0},
		"another was faster with some": {func(w *rewritetest.World, tp metastore.TopicPartition, c *Compactor) {
			w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()})
			if _, err := c.engine.Do(w.T.Context(), []rewrite.Part{{TopicPartition: tp, Runs: w.Runs(tp)[3:]}}); err != nil {
				w.T.Fatal(err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := rewritetest.New(t, 1, 1, 1)
			tp := w.Partitions()[0]
			for range 5 {
				w.Write(rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()}, rewritetest.Batch{TopicPartition: tp, Bytes: w.RandomBatch()})
			}
			w.Advance(time.Hour)
			e, err := rewrite.New(w.Objects, w.Replica, rewrite.Options{Now: w.Now})
			if err != nil {
				t.Fatal(err)
			}
			c, err := New(w.Replica, e, Options{Now: w.Now})
			if err != nil {
				t.Fatal(err)
			}
			job := c.plan().job(Lift)
			if len(job) != 1 || job[0].runs != 5 {
				t.Fatalf("planned %+v", job)
			}
			tc.change(w, tp, c)
			got := 0
			for _, part := range c.parts(job) {
				got += len(part.Runs)
			}
			if got != tc.want {
				t.Fatalf("%d runs, want %d", got, tc.want)
			}
		})
	}
}

func deleteBefore(w *rewritetest.World, tp metastore.TopicPartition, before metastore.Offset) {
	w.T.Helper()
	results, err := w.Replica.DeleteRecords(w.T.Context(), []metastore.RecordDeletion{{TopicPartition: tp, Before: before}})
	if err != nil || results[0].Err != nil {
		w.T.Fatal(err, results)
	}
}
