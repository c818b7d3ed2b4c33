package metastore_test

import (
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

// A read lists the ends of many small transactions, for a consumer that comes from far behind.
func TestManyMarkersAreListedWithoutAnAllocationEach(t *testing.T) {
	b := newTxnBench(t, 1)
	const n = 500
	made := b.init("a")
	for sequence := range int32(n) {
		b.write(metastore.BatchCommit{Length: 100, Records: 1, MaxTimestamp: 5, ProducerID: made.Producer, ProducerEpoch: made.Epoch, Transactional: true, Implicit: true}, 0)
		made = b.must(metastore.EndTxn{ID: "a", Producer: made.Producer, Epoch: made.Epoch, Commit: sequence%2 == 0, Version: 2, Number: b.number("a"), Fresh: metastore.NoProducerID})
	}
	_, runs, aborted, err := b.CommittedRuns(b.tp(0), 0, 1<<30)
	if err != nil || len(runs) != 2*n || len(aborted) != n/2 {
		t.Fatalf("%d runs, %d aborted, %v", len(runs), len(aborted), err)
	}
	for i, run := range runs {
		if i%2 == 0 {
			continue
		}
		if m := run.Marker; m == nil || m.Producer != made.Producer || m.Epoch != metastore.ProducerEpoch(i/2+1) || m.Commit != (i/2%2 == 0) {
			t.Fatalf("run %d: %+v, marker %+v", i, run, m)
		}
	}
	if allocs := testing.AllocsPerRun(10, func() { _, _, _, _ = b.CommittedRuns(b.tp(0), 0, 1<<30) }); allocs > 60 {
		t.Errorf("%v allocations for %d runs", allocs, len(runs))
	}
}
