package fsck_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

func TestEmptyStoresAreClean(t *testing.T) {
	newRig(t).both()
}

func TestWhatBrokersWriteIsClean(t *testing.T) {
	r := newRig(t)
	r.fill()
	report := r.both()
	if report.Segments != 5 || report.Checked != 5 || report.Objects != 5 || report.Runs != 10 || report.Markers != 1 {
		t.Errorf("%+v", report)
	}
	if report.Records != 39 || report.Batches != 13 {
		t.Errorf("%d records in %d batches", report.Records, report.Batches)
	}
	if report.Topics != 1 || report.Partitions != 3 || report.Txns != 1 || report.Entries != int64(report.Position.Seq) {
		t.Errorf("%+v", report)
	}
}

func TestMissingObject(t *testing.T) {
	r := newRig(t)
	w := r.fill()
	r.must(r.objects.Delete(t.Context(), []string{w.key}))
	f := r.both(fsck.MissingObject).Findings[0]
	if f.Key != w.key || len(f.Affects) != 3 || f.Affects[0].String() != "orders-0 offsets 5 to 10" {
		t.Errorf("%+v", f)
	}
}

func TestSizeMismatch(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"cut short": func(b []byte) []byte { return b[:len(b)-1] },
		"longer":    func(b []byte) []byte { return append(b, 0) },
		"empty":     func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			w := r.fill()
			r.change(w.key, change)
			if f := r.both(fsck.SizeMismatch).Findings[0]; f.Key != w.key || len(f.Affects) != 3 {
				t.Errorf("%+v", f)
			}
		})
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 0x10
		return b
	}
}

func TestFlippedBitsInTheIndexAreFoundAtOnce(t *testing.T) {
	for _, at := range []int{-1, -5, -16, -20, -60} {
		r := newRig(t)
		w := r.fill()
		r.change(w.key, flip(at))
		if f := r.both(fsck.CorruptObject).Findings[0]; f.Key != w.key {
			t.Errorf("%+v", f)
		}
	}
}

// TestFlippedBitsAnywhereAreFoundDeep flips one bit in each byte of an object in turn. Base offset and leader epoch in
// the header of a batch are covered by the checksum of the run.
func TestFlippedBitsAnywhereAreFoundDeep(t *testing.T) {
	r := newRig(t)
	w := r.fill()
	for at := range w.object {
		r.change(w.key, flip(at))
		want(t, r.check(fsck.Options{Deep: true}), fsck.CorruptObject)
		r.change(w.key, flip(at))
	}
	want(t, r.check(fsck.Options{Deep: true}))
}

// resealed changes the footer of an object, and makes its checksum right again.
func resealed(change func(footer []byte)) func([]byte) []byte {
	return func(b []byte) []byte {
		length := binary.BigEndian.Uint32(b[len(b)-16:])
		footer := b[len(b)-16-int(length):]
		change(footer[:length])
		sum := crc32.Checksum(footer[:length+8], crc32.MakeTable(crc32.Castagnoli))
		binary.BigEndian.PutUint32(b[len(b)-8:], sum)
		return b
	}
}

// TestIndexThatContradictsTheBytes changes numbers of the first run in a footer whose checksum is right.
func TestIndexThatContradictsTheBytes(t *testing.T) {
	const run = 28 // where the first begins
	for name, c := range map[string]struct {
		at    int
		quick []fsck.Kind
		deep  fsck.Kind
	}{
		"id":               {0, []fsck.Kind{fsck.CorruptObject}, fsck.CorruptObject},
		"created":          {16 + 7, nil, fsck.CorruptObject},
		"partition":        {run + 19, []fsck.Kind{fsck.CorruptObject}, fsck.CorruptObject}, // out of order
		"batches":          {run + 31, nil, fsck.CorruptObject},
		"records":          {run + 35, []fsck.Kind{fsck.IndexMismatch}, fsck.IndexMismatch},
		"timestamp":        {run + 43, []fsck.Kind{fsck.IndexMismatch}, fsck.IndexMismatch},
		"checksum":         {run + 47, nil, fsck.CorruptObject},
		"producer":         {run + 52 + 7, nil, fsck.CorruptObject},
		"epoch":            {run + 52 + 9, []fsck.Kind{fsck.IndexMismatch}, fsck.IndexMismatch},
		"first sequence":   {run + 52 + 13, []fsck.Kind{fsck.CorruptObject}, fsck.CorruptObject},
		"batches of chain": {run + 52 + 21, []fsck.Kind{fsck.CorruptObject}, fsck.CorruptObject},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			w := r.fill()
			r.change(w.key, resealed(func(footer []byte) { footer[c.at] ^= 0x10 }))
			want(t, r.check(fsck.Options{}), c.quick...)
			want(t, r.check(fsck.Options{Deep: true}), c.deep)
		})
	}
}

// TestCommitThatContradictsTheObject commits what the object does not have.
func TestCommitThatContradictsTheObject(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*metastore.SegmentCommit)
		quick  []fsck.Kind
		deep   []fsck.Kind
	}{
		"position before": {func(s *metastore.SegmentCommit) { s.Runs[0].Position-- }, []fsck.Kind{fsck.IndexMismatch}, []fsck.Kind{fsck.IndexMismatch}},
		"position behind": {func(s *metastore.SegmentCommit) { s.Runs[0].Position++ }, []fsck.Kind{fsck.IndexMismatch}, []fsck.Kind{fsck.IndexMismatch}},
		"records":         {func(s *metastore.SegmentCommit) { s.Runs[0].Batches[0].Records++ }, []fsck.Kind{fsck.IndexMismatch}, []fsck.Kind{fsck.IndexMismatch}},
		"timestamp":       {func(s *metastore.SegmentCommit) { s.Runs[0].Batches[1].MaxTimestamp += 9 }, []fsck.Kind{fsck.IndexMismatch}, []fsck.Kind{fsck.IndexMismatch}},
		"partition":       {func(s *metastore.SegmentCommit) { s.Runs[0].Partition = 2 }, []fsck.Kind{fsck.IndexMismatch}, []fsck.Kind{fsck.IndexMismatch}},
		"size":            {func(s *metastore.SegmentCommit) { s.Size++ }, []fsck.Kind{fsck.SizeMismatch}, []fsck.Kind{fsck.SizeMismatch}},
		"lengths of batches": {func(s *metastore.SegmentCommit) { // the run as a whole is right, and each of its batches is not
			s.Runs[0].Batches[0].Length--
			s.Runs[0].Batches[1].Length++
		}, nil, nil},
		"end inside a batch": {func(s *metastore.SegmentCommit) {
			s.Runs[0].Batches = s.Runs[0].Batches[:1]
			s.Runs[0].Batches[0].Length++
		},
			nil, []fsck.Kind{fsck.IndexMismatch}},
		"records of a part": {func(s *metastore.SegmentCommit) {
			s.Runs[0].Batches = s.Runs[0].Batches[:1]
			s.Runs[0].Batches[0].Records++
			s.Runs[0].Batches[0].ProducerID = metastore.NoProducerID
		}, nil, []fsck.Kind{fsck.IndexMismatch}},
		"beginning inside a batch": {func(s *metastore.SegmentCommit) {
			s.Runs[0].Batches = s.Runs[0].Batches[:1]
			s.Runs[0].Position++
			s.Runs[0].Batches[0].Length--
		}, nil, []fsck.Kind{fsck.IndexMismatch}},
		"sequence": {func(s *metastore.SegmentCommit) { s.Runs[0].Batches[0].BaseSequence = 9 }, []fsck.Kind{fsck.IndexMismatch}, []fsck.Kind{fsck.IndexMismatch}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			w := r.upload(r.part(0, r.batch(0, 3), encodePlain(2)))
			c.change(&w.commit)
			r.commit(w)
			want(t, r.check(fsck.Options{}), c.quick...)
			want(t, r.check(fsck.Options{Deep: true}), c.deep...)
		})
	}
}

func TestForeignObject(t *testing.T) {
	r := newRig(t)
	w := r.fill()
	keys := []string{"readme.txt", "t0/zz/" + w.key[6:], "t0/" + w.key[3:5] + "/not-an-id", "zzz/last"}
	for _, key := range keys {
		r.must(r.objects.Put(t.Context(), key, [][]byte{[]byte("x")}))
	}
	report := r.both(fsck.ForeignObject, fsck.ForeignObject, fsck.ForeignObject, fsck.ForeignObject)
	if report.Errors() != 0 || report.Warnings() != 4 || report.Findings[0].Key != "readme.txt" {
		t.Errorf("%d errors, %d warnings, %s", report.Errors(), report.Warnings(), text(report))
	}
}

// TestObjectWithoutARunIsAnOrphanOnceItCannotBeCommitted goes by the metastore's clock, and by the log's own time.
func TestObjectWithoutARunIsAnOrphanOnceItCannotBeCommitted(t *testing.T) {
	r := newRig(t)
	r.fill()
	w := r.upload(r.part(0, r.batch(0, 1)))
	inFlight := func() {
		t.Helper()
		if report := r.both(); report.InFlight != 1 || report.CommittedSince != 0 {
			t.Fatalf("%d in flight", report.InFlight)
		}
	}
	inFlight()
	r.now = r.now.Add(metastore.MaxSegmentAge + 30*time.Second)
	inFlight() // an idle log: an append that was decided in time may still come
	r.now = r.now.Add(31 * time.Second)
	f := r.both(fsck.OrphanObject).Findings[0]
	if f.Key != w.key || f.Size != w.index.Size || f.Age.Round(time.Second) != metastore.MaxSegmentAge+61*time.Second {
		t.Errorf("%+v", f)
	}
}

func TestObjectIsAnOrphanOnceTheLogIsPastIt(t *testing.T) {
	r := newRig(t)
	w := r.upload(r.part(0, r.batch(0, 1)))
	r.now = r.now.Add(metastore.MaxSegmentAge + time.Second)
	r.write(r.part(1, r.batch(1, 1)))
	if f := r.both(fsck.OrphanObject).Findings[0]; f.Key != w.key || !strings.Contains(f.Detail, "the log is past") {
		t.Errorf("%+v", f)
	}
	if got := r.commit(w); got.Runs[0][0].Verdict != metastore.SegmentTooOld {
		t.Errorf("an orphan was committed: %v", got)
	}
}

func TestSegmentWithNothingButRepeatsIsGarbage(t *testing.T) {
	r := newRig(t)
	again := r.batch(0, 1)
	r.write(r.part(0, again))
	w := r.write(r.part(0, again))
	if report := r.both(); report.Garbage != 1 || report.GarbageBytes != w.index.Size || report.InFlight != 0 {
		t.Errorf("%d bytes in %d objects are garbage, %d in flight", report.GarbageBytes, report.Garbage, report.InFlight)
	}
}

func TestObjectsOfADeletedTopicAreGarbage(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.must(r.replica.DeleteTopic(t.Context(), r.topic))
	r.now = r.now.Add(metastore.MaxSegmentAge + 2*time.Minute)
	if report := r.both(); report.Garbage != 5 || report.Objects != 5 {
		t.Errorf("of %d objects, %d are garbage", report.Objects, report.Garbage)
	}
}

// hooked is a store whose listing is interfered with.
type hooked struct {
	objstore.Store
	before func() // of a listing
	after  func()
	hide   string // a key that is not listed
	swell  string // a key that is listed with more bytes than can be
	fail   int    // listings that end in an error after one object
}

var errListing = errors.New("listing broke off")

func (h *hooked) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		if h.before != nil {
			h.before()
		}
		n := 0
		for o, err := range h.Store.List(ctx, prefix, startAfter) {
			if n == 1 && h.fail > 0 {
				h.fail--
				yield(objstore.Object{}, errListing)
				return
			}
			if h.swell != "" && o.Key == h.swell {
				o.Size = 1 << 50
			}
			if n++; o.Key != h.hide && !yield(o, err) {
				return
			}
		}
		if h.after != nil {
			h.after()
		}
	}
}

func TestObjectThatIsNotListed(t *testing.T) {
	r := newRig(t)
	w := r.fill()
	want(t, r.checkOn(r.meta, &hooked{Store: r.objects, hide: w.key}, fsck.Options{}), fsck.UnlistedObject)
}

// TestWhatIsCommittedMeanwhileIsNoFinding uploads and commits between the survey of the log and the listing.
func TestWhatIsCommittedMeanwhileIsNoFinding(t *testing.T) {
	r := newRig(t)
	r.fill()
	report := r.checkOn(r.meta, &hooked{Store: r.objects, before: func() { r.write(r.part(0, r.batch(0, 1))) }}, fsck.Options{Deep: true})
	want(t, report)
	if report.CommittedSince != 1 || report.InFlight != 0 {
		t.Errorf("%d committed since, %d in flight", report.CommittedSince, report.InFlight)
	}
}

// TestRunThatIsRetiredMeanwhileMayHaveNoObject is what garbage collection will do: first the log, then the bucket.
func TestRunThatIsRetiredMeanwhileMayHaveNoObject(t *testing.T) {
	r := newRig(t)
	w := r.fill()
	want(t, r.checkOn(r.meta, &hooked{Store: r.objects, before: func() {
		r.must(r.replica.DeleteTopic(t.Context(), r.topic))
		r.must(r.objects.Delete(t.Context(), []string{w.key}))
	}}, fsck.Options{}))
}

func TestListingGoesOnAfterAnError(t *testing.T) {
	r := newRig(t)
	r.fill()
	report := r.checkOn(r.meta, &hooked{Store: r.objects, fail: 2}, fsck.Options{})
	want(t, report)
	if report.Objects != 5 {
		t.Errorf("%d objects", report.Objects)
	}
}

func TestCheckThatCannotListDoesNotFinish(t *testing.T) {
	r := newRig(t)
	r.fill()
	failing := &failingList{r.objects}
	if _, err := fsck.Check(t.Context(), r.meta, failing, fsck.Options{}); !errors.Is(err, errListing) {
		t.Fatalf("%v", err)
	}
}

type failingList struct{ objstore.Store }

func (failingList) List(context.Context, string, string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) { yield(objstore.Object{}, errListing) }
}

func TestFindingsBeyondTheMostAreCounted(t *testing.T) {
	r := newRig(t)
	r.fill()
	for _, key := range []string{"a", "b", "c"} {
		r.must(r.objects.Put(t.Context(), key, nil))
	}
	report := r.check(fsck.Options{MaxFindings: 2})
	if len(report.Findings) != 2 || report.Warnings() != 3 {
		t.Errorf("%d findings, %d warnings", len(report.Findings), report.Warnings())
	}
}

func TestIndexLongerThanTheFirstRead(t *testing.T) {
	r := newRig(t)
	var batches []segment.Batch
	for producer := range 4000 {
		batches = append(batches, encodeOf(int64(producer), 1))
	}
	w := r.write(r.part(0, batches...))
	if footer := w.index.Size - int64(w.index.Runs[0].Length); footer < 64<<10 {
		t.Fatalf("footer of %d bytes", footer)
	}
	r.both()
}

// TestBatchesThatAreRememberedWithOtherBounds: sequences and records add up, and belong to other batches.
func TestBatchesThatAreRememberedWithOtherBounds(t *testing.T) {
	r := newRig(t)
	w := r.upload(r.part(0, r.batch(0, 3), r.batch(0, 2)))
	batches := w.commit.Runs[0].Batches
	batches[0].Records, batches[1].Records, batches[1].BaseSequence = 4, 1, 4
	r.commit(w)
	want(t, r.check(fsck.Options{}))
	want(t, r.check(fsck.Options{Deep: true}), fsck.IndexMismatch)
}

// TestReadBatchesNeedsNoLog: an object by itself is read and verified.
func TestReadBatchesNeedsNoLog(t *testing.T) {
	r := newRig(t)
	w := r.fill()
	ctx := t.Context()
	records := int32(0)
	read := func() error {
		index, err := fsck.ReadIndex(ctx, r.objects, w.key, w.index.Size)
		r.must(err)
		return fsck.ReadBatches(ctx, r.objects, w.key, &index, func(_ int, _ int64, h recordbatch.Header) { records += h.LastOffsetDelta + 1 })
	}
	if err := read(); err != nil || records != 14 {
		t.Errorf("%d records, %v", records, err)
	}
	r.change(w.key, resealed(func(footer []byte) { footer[28+43] ^= 1 })) // the greatest timestamp of a run
	if err := read(); !fsck.IsFault(err) {
		t.Errorf("%v", err)
	}
	r.must(r.objects.Delete(ctx, []string{w.key}))
	if _, err := fsck.ReadIndex(ctx, r.objects, w.key, w.index.Size); !errors.Is(err, objstore.ErrNotFound) || fsck.IsFault(err) {
		t.Errorf("%v", err)
	}
}
