package cleaning_test

import (
	"fmt"
	"testing"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// TestMoreTinyRunsThanOnePieceTakes: a piece is bounded by its runs too, within what is asked of the log at a time. So many
// runs of some bytes each come of short transactions that were not lifted yet; here of offsets with gaps, which is quicker.
func TestMoreTinyRunsThanOnePieceTakes(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	const n = rewrite.MaxPartRuns + 100
	part := segment.Part{Topic: r.topic.ID}
	commit := metastore.RunCommit{TopicPartition: r.logs[0].tp}
	for i := range metastore.Offset(n) {
		b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: start, Key: fmt.Append(nil, i%100), Value: []byte("v")}}, recordbatchtest.Options{}.NotIdempotent())
		part.Batches = append(part.Batches, segment.Batch{Bytes: b, Records: 1, MaxTimestamp: start, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		commit.Batches = append(commit.Batches, metastore.BatchCommit{Length: uint32(len(b)), Records: 1, MaxTimestamp: start,
			ProducerID: metastore.NoProducerID, ProducerEpoch: -1, BaseSequence: -1, At: 1 + 2*i})
	}
	id := metastore.NewSegmentID(r.clock)
	object, index, err := segment.Assemble(id, r.clock, []segment.Part{part})
	r.must(err)
	r.must(r.store.Put(t.Context(), segment.Key(id), object))
	commit.Position = index.Runs[0].Position
	_, err = r.replica.Commit(t.Context(), []metastore.SegmentCommit{{ID: id, Size: index.Size, Runs: []metastore.RunCommit{commit}}})
	r.must(err)
	c := r.cleaner(cleaning.Options{SmallBytes: 1})
	for more := true; more; {
		more, err = c.Do(t.Context())
		r.must(err)
	}
	left := 0
	for _, b := range r.logs[0].read().batches {
		left += int(b.Records)
	}
	if left != 100 {
		t.Errorf("%d records are left, want one for each of 100 keys", left)
	}
}
