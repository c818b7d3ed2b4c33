package fsck_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// rewriting is an object of tier 1 on its way: everything of some partitions, and what is to be swapped.
type rewriting struct {
	segment.Index
	key    string
	object []byte
	swap   []metastore.Rewrite
}

// rewrite makes one of all that partitions hold, ends of transactions too. keep tells which batches stay.
func (r *rig) rewrite(keep func(recordbatch.Header) bool, partitions ...int32) rewriting {
	r.t.Helper()
	id := metastore.NewRewrittenID(r.now)
	b := segment.NewBuilder(id, r.now)
	w := rewriting{key: segment.Key(id)}
	for _, p := range partitions {
		r.must(b.Begin(r.topic, p))
		marks, _ := r.replica.Watermarks(r.tp(p))
		_, runs, err := r.replica.Runs(r.tp(p), marks.LogStart, math.MaxInt)
		r.must(err)
		w.swap = append(w.swap, metastore.Rewrite{TopicPartition: r.tp(p), Old: runs})
		for i := range runs {
			for base, batch := range r.batches(&runs[i]) {
				h, err := recordbatch.PeekHeader(batch)
				r.must(err)
				if keep(h) {
					r.must(b.Add([][]byte{batch}, segment.InfoOf(h, base)))
				}
			}
		}
	}
	object, index := b.Finish()
	w.Index, w.object = index, bytes.Join(object, nil)
	for i := range index.Runs {
		in := &index.Runs[i]
		at := slices.IndexFunc(w.swap, func(s metastore.Rewrite) bool { return s.Partition == in.Partition })
		w.swap[at].New = []metastore.Run{{
			Base: metastore.Offset(in.Base), Records: in.Offsets, Segment: id, Position: in.Position, Length: in.Length, MaxTimestamp: in.MaxTimestamp,
		}}
	}
	return w
}

// batches yields those of a run, with their offsets.
func (r *rig) batches(run *metastore.Run) func(yield func(int64, []byte) bool) {
	return func(yield func(int64, []byte) bool) {
		var b []byte
		if m := run.Marker; m != nil {
			b = recordbatch.Marker{ProducerID: int64(m.Producer), ProducerEpoch: int16(m.Epoch), Commit: m.Commit, Timestamp: run.MaxTimestamp}.Append(nil)
		} else {
			var err error
			b, err = r.objects.Get(r.t.Context(), segment.Key(run.Segment), int64(run.Position), int64(run.Length))
			r.must(err)
		}
		base := int64(run.Base)
		for len(b) > 0 {
			h, err := recordbatch.PeekHeader(b)
			r.must(err)
			if run.Segment.Tier() == 1 {
				base = h.BaseOffset
			}
			if !yield(base, b[:h.Size()]) {
				return
			}
			base += int64(h.LastOffsetDelta) + 1
			b = b[h.Size():]
		}
	}
}

// put uploads it and swaps, which must be accepted.
func (r *rig) put(w rewriting) {
	r.t.Helper()
	r.must(r.objects.Put(r.t.Context(), w.key, [][]byte{w.object}))
	accepted, err := r.replica.Swap(r.t.Context(), []metastore.RewrittenSegment{{ID: metastore.SegmentID(w.ID), Size: int64(len(w.object))}}, w.swap)
	r.must(err)
	if slices.Contains(accepted, false) {
		r.t.Fatalf("accepted: %v", accepted)
	}
}

func all(recordbatch.Header) bool { return true }

// large fills a partition with more than marks lie apart.
func (r *rig) large(partition int32) {
	value := make([]byte, 30<<10)
	for i := range 5 {
		b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: int64(5000 - i), Value: value}}, recordbatchtest.Options{}.NotIdempotent())
		r.write(r.part(partition, segment.Batch{Bytes: b, Records: 1, MaxTimestamp: int64(5000 - i), ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}))
	}
}

func TestRewrittenObjects(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.large(1)
	before := r.both()
	w := r.rewrite(all, 0, 1, 2)
	if len(w.Runs) != 3 || len(w.Runs[1].Marks) == 0 {
		t.Fatalf("%d runs, of which one should have marks: %+v", len(w.Runs), w.Runs)
	}
	r.put(w)
	report := r.both()
	if report.Segments != 1 || report.Rewritten != 1 || report.Runs != 3 || report.Markers != 0 || before.Markers != 1 || before.Rewritten != 0 {
		t.Errorf("%d segments, %d of tier 1; %d runs, %d markers", report.Segments, report.Rewritten, report.Runs, report.Markers)
	}
	if report.Garbage != before.Objects || report.GarbageBytes != before.ObjectBytes {
		t.Errorf("%d objects of %d bytes are garbage, and %d of %d were there before", report.Garbage, report.GarbageBytes, before.Objects, before.ObjectBytes)
	}
	// The refused repeats of three records are gone, and the end of the transaction is in an object.
	if report.Records != before.Records-3+1 {
		t.Errorf("%d records, and %d before", report.Records, before.Records)
	}

	again := r.rewrite(all, 1, 2)
	r.put(again)
	if report := r.both(); report.Segments != 2 || report.Rewritten != 2 {
		t.Errorf("%d segments, %d of tier 1", report.Segments, report.Rewritten)
	}
	r.must(r.objects.Delete(t.Context(), []string{w.key}))
	f := r.both(fsck.MissingObject).Findings[0]
	if f.Key != w.key || len(f.Affects) != 1 || f.Affects[0].Partition != 0 || f.Affects[0].From != 0 || f.Affects[0].To != r.high(0) {
		t.Errorf("%+v", f)
	}
}

// TestRewrittenObjectsThatAreDamaged flips a bit in each byte in turn.
func TestRewrittenObjectsThatAreDamaged(t *testing.T) {
	r := newRig(t)
	r.fill()
	w := r.rewrite(all, 0, 2)
	r.put(w)
	for at := range w.object {
		r.change(w.key, flip(at))
		want(t, r.check(fsck.Options{Deep: true}), fsck.CorruptObject)
		r.change(w.key, flip(at))
	}
	want(t, r.check(fsck.Options{Deep: true}))
}

// TestRewrittenObjectsThatContradictThemselves have checksums that are right.
func TestRewrittenObjectsThatContradictThemselves(t *testing.T) {
	const batchesAt, timeAt, baseAt, offsetsAt, markAt = 28, 36, 48, 56, 64 // in the run's part of the footer
	be := binary.BigEndian
	mismatch := []fsck.Kind{fsck.IndexMismatch}
	for name, c := range map[string]struct {
		change func(run, second, footer []byte) // the bytes of the run, from its second batch on, and what the footer says of it
		quick  []fsck.Kind
		deep   fsck.Kind
	}{
		"a batch before the one before": {func(_, second, _ []byte) { be.PutUint64(second, 0) }, nil, fsck.CorruptObject},
		"a batch beyond the end":        {func(_, second, _ []byte) { be.PutUint64(second, 1000) }, nil, fsck.CorruptObject},
		"a leader epoch":                {func(run, _, _ []byte) { run[12] = 7 }, nil, fsck.CorruptObject},
		"the first batch too late":      {func(run, _, _ []byte) { be.PutUint64(run, 1) }, nil, fsck.CorruptObject},
		"a mark of another offset":      {func(_, _, footer []byte) { footer[markAt+7]++ }, nil, fsck.CorruptObject},
		"a mark of another place":       {func(_, _, footer []byte) { footer[markAt+11]++ }, []fsck.Kind{fsck.CorruptObject}, fsck.CorruptObject},
		"a mark of another time":        {func(_, _, footer []byte) { footer[markAt+19]++ }, nil, fsck.CorruptObject},
		"the number of batches":         {func(_, _, footer []byte) { footer[batchesAt+3]-- }, nil, fsck.CorruptObject},
		"the beginning":                 {func(_, _, footer []byte) { footer[baseAt+7]++ }, mismatch, fsck.IndexMismatch},
		"the offsets":                   {func(_, _, footer []byte) { footer[offsetsAt+3]++ }, mismatch, fsck.IndexMismatch},
		"the latest time":               {func(_, _, footer []byte) { footer[timeAt+7]++ }, mismatch, fsck.IndexMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.large(0)
			r.large(0)
			w := r.rewrite(all, 0)
			r.put(w)
			r.change(w.key, func(object []byte) []byte {
				in := &w.Runs[0]
				run := object[in.Position : in.Position+in.Length]
				h, err := recordbatch.PeekHeader(run)
				r.must(err)
				return resealed(func(footer []byte) {
					c.change(run, run[h.Size():], footer[28:])
					be.PutUint32(footer[28+44:], crc32.Checksum(run, crc32.MakeTable(crc32.Castagnoli)))
				})(object)
			})
			want(t, r.check(fsck.Options{}), c.quick...)
			want(t, r.check(fsck.Options{Deep: true}), c.deep)
		})
	}
}

// TestRunsThatAreNotWhatAnObjectHolds: what was swapped in is one run of the index, as it is there.
func TestRunsThatAreNotWhatAnObjectHolds(t *testing.T) {
	for name, change := range map[string]func(*metastore.Rewrite){
		"position":  func(w *metastore.Rewrite) { w.New[0].Position--; w.New[0].Length-- },
		"length":    func(w *metastore.Rewrite) { w.New[0].Length-- },
		"beginning": func(w *metastore.Rewrite) { w.New[0].Base++; w.New[0].Records-- },
		"timestamp": func(w *metastore.Rewrite) { w.New[0].MaxTimestamp++ },
		"two runs": func(w *metastore.Rewrite) {
			first, second := w.New[0], w.New[0]
			first.Records, first.Length = 2, first.Length/2
			second.Base, second.Records, second.Position, second.Length = 2, second.Records-2, second.Position+first.Length, second.Length-first.Length
			w.New = []metastore.Run{first, second}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.large(0)
			w := r.rewrite(all, 0)
			change(&w.swap[0])
			r.put(w)
			compacted := fsck.Options{Compacted: func(*metastore.Topic) bool { return true }}
			want(t, r.check(compacted), fsck.IndexMismatch)
			compacted.Deep = true
			want(t, r.check(compacted), fsck.IndexMismatch)
		})
	}
}

// TestGapsAreOfLogCompactionAlone, in the middle and at the beginning.
func TestGapsAreOfLogCompactionAlone(t *testing.T) {
	for name, drops := range map[string]func(recordbatch.Header) bool{
		"in the middle":    func(h recordbatch.Header) bool { return h.MaxTimestamp == 4998 },
		"at the beginning": func(h recordbatch.Header) bool { return h.MaxTimestamp > 4998 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.large(0)
			w := r.rewrite(func(h recordbatch.Header) bool { return !drops(h) }, 0)
			if name == "in the middle" { // as two runs, each in an object of its own
				w = r.rewrite(func(h recordbatch.Header) bool { return h.MaxTimestamp > 4998 }, 0)
				w.swap[0].Old = w.swap[0].Old[:3]
			}
			r.put(w)
			r.both(fsck.Gap)
			compacted := fsck.Options{Deep: true, Compacted: func(topic *metastore.Topic) bool { return topic.Name == "orders" }}
			want(t, r.check(compacted))
		})
	}
}

// TestRunsTakeTheOffsetsOfWhatLogCompactionRemoved, and of nothing else: at their ends, as the index tells, and between batches.
func TestRunsTakeTheOffsetsOfWhatLogCompactionRemoved(t *testing.T) {
	for name, c := range map[string]struct {
		dropped     int64 // of 4996 to 5000
		quick, deep fsck.Kind
	}{
		"at the beginning": {5000, fsck.IndexMismatch, fsck.IndexMismatch},
		"at the end":       {4996, fsck.IndexMismatch, fsck.IndexMismatch},
		"between batches":  {4998, "", fsck.CorruptObject},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.large(0)
			w := r.rewrite(func(h recordbatch.Header) bool { return h.MaxTimestamp != c.dropped }, 0)
			w.swap[0].New[0].Base, w.swap[0].New[0].Records = 0, 5
			r.put(w)
			if c.quick == "" {
				want(t, r.check(fsck.Options{}))
			} else {
				want(t, r.check(fsck.Options{}), c.quick)
			}
			want(t, r.check(fsck.Options{Deep: true}), c.deep)
			want(t, r.check(fsck.Options{Deep: true, Compacted: func(*metastore.Topic) bool { return true }}))
		})
	}
}

// TestATopicIsCompactedByItsSettings, or has been, as the log says.
func TestATopicIsCompactedByItsSettings(t *testing.T) {
	for name, cleanedTo := range map[string]metastore.Offset{"its settings": 0, "the log": 2} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if cleanedTo == 0 {
				r.must(r.replica.AlterTopicConfigs(t.Context(), r.topic, map[string]string{"cleanup.policy": "compact,delete"}, nil))
			}
			r.write(r.part(0, r.batch(0, 2), r.batch(0, 3)))
			w := r.rewrite(func(h recordbatch.Header) bool { return h.Records > 2 }, 0)
			w.swap[0].CleanedTo = cleanedTo
			r.put(w)
			r.both() // also that nothing is left of the first batch, which its producer is remembered to have written
		})
	}
}

func TestGarbageStaysForItsGrace(t *testing.T) {
	r := newRig(t)
	r.fill()
	before := r.check(fsck.Options{})
	r.put(r.rewrite(all, 0, 1, 2))
	graced := fsck.Options{GarbageGrace: 20 * time.Minute, GarbageLate: 10 * time.Minute}
	r.now = r.now.Add(30 * time.Minute)
	report := r.check(graced)
	if want(t, report); report.Garbage != before.Objects {
		t.Errorf("%d objects are garbage, want %d", report.Garbage, before.Objects)
	}
	r.now = r.now.Add(time.Second)
	report = r.check(graced)
	if n := report.Counts[fsck.UncollectedGarbage]; n != before.Objects || n != report.Warnings() || report.Errors() != 0 {
		t.Fatalf("%d of %d: %s", n, before.Objects, text(report))
	}
	if f := report.Findings[0]; f.Age != 30*time.Minute+time.Second || f.Size == 0 || !strings.HasPrefix(f.Key, "t0/") {
		t.Errorf("%+v", f)
	}
	for _, g := range r.replica.Garbage(100) {
		r.must(r.objects.Delete(t.Context(), []string{segment.Key(g.ID)}))
	}
	if report := r.check(graced); report.Garbage != 0 || report.Warnings() != 0 {
		t.Errorf("deleted, and %d objects are garbage: %s", report.Garbage, text(report))
	}
}

// TestWhatIsCollectedMeanwhileIsNoOrphan deletes garbage after it was listed, and has the log forget it.
func TestWhatIsCollectedMeanwhileIsNoOrphan(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.put(r.rewrite(all, 0, 1, 2))
	r.now = r.now.Add(2 * time.Hour)
	r.must(r.replica.Touch(t.Context())) // the log has forgotten when these were committed
	report := r.checkOn(r.meta, &hooked{Store: r.objects, after: func() {
		garbage := r.replica.Garbage(100)
		r.must(r.replica.Collected(t.Context(), garbage[len(garbage)-1].Number))
	}}, fsck.Options{})
	if want(t, report); report.Garbage != 0 {
		t.Errorf("%d objects are garbage", report.Garbage)
	}
}

// TestRewrittenObjectThatIsNotSwappedIn may be for longer than one that producers wait for.
func TestRewrittenObjectThatIsNotSwappedIn(t *testing.T) {
	r := newRig(t)
	r.fill()
	w := r.rewrite(all, 0)
	r.must(r.objects.Put(t.Context(), w.key, [][]byte{w.object}))
	r.now = r.now.Add(metastore.MaxRewriteAge)
	r.must(r.replica.Touch(t.Context()))
	if report := r.both(); report.InFlight != 1 {
		t.Errorf("%d in flight", report.InFlight)
	}
	r.now = r.now.Add(time.Second)
	r.must(r.replica.Touch(t.Context()))
	if f := r.both(fsck.OrphanObject).Findings[0]; f.Key != w.key || !strings.Contains(f.Detail, "the log is past") {
		t.Errorf("%+v", f)
	}
}
