package fsck_test

import (
	"strings"
	"testing"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
)

// TestDamageThatWasGivenUpIsNoError: who moves the log start past records that are damaged, as fsck says that one may, has a clean
// bucket again, although the object stays for the others in it.
func TestDamageThatWasGivenUpIsNoError(t *testing.T) {
	for name, tier := range map[string]int{"tier 0": 0, "tier 1": 1} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			w := r.write(r.part(0, r.batch(0, 3), r.batch(0, 2), r.batch(0, 4)), r.part(1, r.batch(1, 5)))
			if tier == 1 {
				again := r.rewrite(all, 0, 1)
				r.put(again)
				w.key, w.index, w.object = again.key, again.Index, again.object
			}
			at := func(run int, batch int) int { // a byte of its records
				pos := int(w.index.Runs[run].Position)
				for range batch {
					h, err := recordbatch.PeekHeader(w.object[pos:])
					r.must(err)
					pos += h.Size()
				}
				return pos + recordbatch.HeaderSize + 3
			}
			damage := func(i int) { r.change(w.key, func(b []byte) []byte { b[i] ^= 1; return b }) }
			before := func(partition int32, offset metastore.Offset) {
				results, err := r.replica.DeleteRecords(t.Context(), []metastore.RecordDeletion{{TopicPartition: r.tp(partition), Before: offset}})
				r.must(err)
				r.must(results[0].Err)
			}
			deep := func(kinds ...fsck.Kind) *fsck.Report {
				report := r.check(fsck.Options{Deep: true})
				want(t, report, kinds...)
				return report
			}
			damage(at(0, 1))
			deep(fsck.CorruptObject)
			before(0, 4) // in the middle of the batch
			if f := deep(fsck.CorruptObject).Findings[0]; f.Affects[0].From != 4 {
				t.Errorf("it affects %v", f.Affects)
			}
			before(0, 5)
			if report := deep(fsck.GivenUp); report.Errors() != 0 || !strings.Contains(report.Findings[0].Detail, "CRC-32C") {
				t.Errorf("%s", text(report))
			}
			before(0, 9)
			deep(fsck.GivenUp)
			damage(at(1, 0)) // of a partition that has all of its records
			deep(fsck.CorruptObject)
			before(1, 5)
			if report := r.check(fsck.Options{Deep: true}); report.Errors()+report.Warnings() != 0 {
				t.Errorf("nothing names the object: %s", text(report))
			}
		})
	}
}
