package cleaning_test

import (
	"bytes"
	"math"
	"reflect"
	"slices"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
)

// partitionLog is what was written to a partition, as naive as can be, and what may have become of it.
type partitionLog struct {
	rig     *rig
	tp      metastore.TopicPartition
	entries []entry // by offset
	open    map[int64]*txn
	bound   metastore.Offset // what rounds may have touched ends here
}

// entry is what took an offset.
type entry struct {
	recordbatch.Record        // of a marker, offset and timestamp alone
	batch              []byte // that it was written in
	header             recordbatch.Header
	txn                *txn // nil: none
	marker             bool

	met  int64 // ms: the first complete round that got past it
	gone int64 // ms: a marker of whose transaction nothing was left
}

type txn struct {
	producer       int64
	ended, commits bool
	offsets        []metastore.Offset
}

func (e *entry) aborted() bool   { return e.txn != nil && e.txn.ended && !e.txn.commits }
func (e *entry) committed() bool { return e.txn == nil || e.txn.ended && e.txn.commits }
func (e *entry) tombstone() bool { return !e.marker && e.Value == nil }

func (l *partitionLog) high() metastore.Offset { return metastore.Offset(len(l.entries)) }

// wrote notes a batch.
func (l *partitionLog) wrote(b []byte, base metastore.Offset) {
	l.rig.t.Helper()
	if base != l.high() {
		l.rig.t.Fatalf("batch at offset %d, not %d", base, l.high())
	}
	recordbatch.SetBaseOffset(b, int64(base), 0)
	h, _ := recordbatch.PeekHeader(b)
	var in *txn
	if h.Transactional() {
		if in = l.open[h.ProducerID]; in == nil {
			in = &txn{producer: h.ProducerID}
			l.open[h.ProducerID] = in
		}
	}
	for rec, err := range recordbatch.Records(b, 1<<24) {
		l.rig.must(err)
		if in != nil {
			in.offsets = append(in.offsets, metastore.Offset(rec.Offset))
		}
		l.entries = append(l.entries, entry{Record: rec, batch: b, header: h, txn: in})
	}
}

// ended notes the end of a producer's transaction, if it has one.
func (l *partitionLog) ended(producer int64, commit bool) {
	t := l.open[producer]
	if t == nil {
		return
	}
	delete(l.open, producer)
	t.ended, t.commits = true, commit
	l.entries = append(l.entries, entry{Record: recordbatch.Record{Offset: int64(l.high()), Timestamp: l.rig.clock.UnixMilli()}, txn: t, marker: true})
}

func (l *partitionLog) stable() metastore.Offset {
	stable := l.high()
	for _, t := range l.open {
		stable = min(stable, t.offsets[0])
	}
	return stable
}

// stored is what there is in the partition.
type stored struct {
	marks     metastore.Watermarks
	cleanedTo metastore.Offset
	batches   []storedBatch
	records   map[metastore.Offset]recordbatch.Record
	below     map[metastore.Offset]recordbatch.Record // the log start: in the batch that has it
}

type storedBatch struct {
	recordbatch.Header
	bytes   []byte
	records []recordbatch.Record
}

// read reads all of it.
func (l *partitionLog) read() stored {
	r := l.rig
	r.t.Helper()
	s := stored{records: map[metastore.Offset]recordbatch.Record{}, below: map[metastore.Offset]recordbatch.Record{}}
	s.marks, _ = r.replica.Watermarks(l.tp)
	r.replica.VisitPartitions(func(v *metastore.PartitionView) bool {
		if v.TopicPartition == l.tp {
			s.cleanedTo = v.CleanedTo
		}
		return true
	})
	_, runs, err := r.replica.Runs(l.tp, s.marks.LogStart, math.MaxInt)
	r.must(err)
	if len(runs) == 0 {
		return s
	}
	next := int64(0)
	results, err := r.engine.Read(r.t.Context(), []rewrite.Part{{TopicPartition: l.tp, Runs: runs}}, func(_ int, b rewrite.Batch) error {
		if b.Header.BaseOffset < next || b.Header.CRC != recordbatch.Checksum(b.Bytes) {
			r.t.Fatalf("partition %d, at %d: batch %+v", l.tp.Partition, next, b.Header)
		}
		next = b.Header.LastOffset() + 1
		x := storedBatch{Header: b.Header, bytes: bytes.Clone(b.Bytes)}
		last := b.Header.BaseOffset - 1
		for rec, err := range recordbatch.Records(x.bytes, 1<<24) {
			r.must(err)
			if rec.Offset <= last || rec.Offset > b.Header.LastOffset() {
				r.t.Fatalf("partition %d: record %d in batch %+v", l.tp.Partition, rec.Offset, b.Header)
			}
			last = rec.Offset
			x.records = append(x.records, rec)
			if rec.Offset >= int64(s.marks.LogStart) {
				s.records[metastore.Offset(rec.Offset)] = rec
			} else {
				s.below[metastore.Offset(rec.Offset)] = rec
			}
		}
		s.batches = append(s.batches, x)
		return nil
	})
	r.must(err)
	r.must(results[0])
	return s
}

// has tells whether something is left of a transaction.
func (s *stored) has(t *txn) bool {
	return slices.ContainsFunc(t.offsets, func(o metastore.Offset) bool {
		_, there := s.records[o]
		_, below := s.below[o]
		return there || below
	})
}

// check compares what there is with what Kafka promises.
func (l *partitionLog) check() stored {
	r := l.rig
	r.t.Helper()
	s := l.read()
	if s.marks.High != l.high() || s.marks.Stable != max(l.stable(), s.marks.LogStart) {
		r.t.Fatalf("partition %d: %+v, want high watermark %d, stable %d", l.tp.Partition, s.marks, l.high(), l.stable())
	}
	l.checkContent(&s)
	l.checkMissing(&s)
	l.checkTable(&s)
	l.checkReach(&s)
	for i, maxBytes := range []int{1, 500, 1 << 20} {
		l.checkCommitted(&s, s.marks.LogStart+(s.marks.Stable-s.marks.LogStart)*metastore.Offset(i)/4, maxBytes)
	}
	return s
}

// checkContent: what is there is what was written.
func (l *partitionLog) checkContent(s *stored) {
	t := l.rig.t
	t.Helper()
	for _, b := range s.batches {
		for _, rec := range b.records {
			was := &l.entries[rec.Offset]
			if was.marker {
				if commit, err := recordbatch.MarkerCommits(b.bytes); err != nil || commit != was.txn.commits || b.ProducerID != was.txn.producer || rec.Timestamp != was.Timestamp {
					t.Fatalf("partition %d, offset %d: marker %+v, %v", l.tp.Partition, rec.Offset, b.Header, err)
				}
				continue
			}
			if !reflect.DeepEqual(rec, was.Record) {
				t.Fatalf("partition %d, offset %d:\n%+v was\n%+v", l.tp.Partition, rec.Offset, rec, was.Record)
			}
			h := was.header
			if b.ProducerID != h.ProducerID || b.ProducerEpoch != h.ProducerEpoch || b.BaseSequence != h.BaseSequence || b.Codec() != h.Codec() ||
				b.Transactional() != h.Transactional() || b.Control() || b.LogAppendTime() != h.LogAppendTime() ||
				b.BaseOffset != h.BaseOffset || b.LastOffsetDelta != h.LastOffsetDelta {
				t.Fatalf("partition %d, offset %d: batch %+v was %+v", l.tp.Partition, rec.Offset, b.Header, h)
			}
			if metastore.Offset(b.LastOffset()) >= l.bound && !bytes.Equal(b.bytes, was.batch) {
				t.Fatalf("partition %d, offset %d: a batch beyond what was to be cleaned changed", l.tp.Partition, b.BaseOffset)
			}
		}
		latest := int64(-1)
		for _, rec := range b.records {
			latest = max(latest, rec.Timestamp)
		}
		if len(b.records) > 0 && latest != b.MaxTimestamp {
			t.Fatalf("partition %d, offset %d: max timestamp %d, want %d", l.tp.Partition, b.BaseOffset, b.MaxTimestamp, latest)
		}
	}
}

// checkMissing: what is not there may be gone.
func (l *partitionLog) checkMissing(s *stored) {
	r := l.rig
	r.t.Helper()
	now := r.clock.UnixMilli()
	newest := map[string]metastore.Offset{}
	for o := min(l.bound, l.high()) - 1; o >= s.marks.LogStart; o-- { // backwards, so that newest is that of those after it
		e := &l.entries[o]
		_, there := s.records[o]
		later, superseded := newest[string(e.Key)]
		superseded = superseded && e.Key != nil
		switch {
		case there:
		case e.marker:
			if e.gone == 0 || now < e.gone+r.policy.DeleteRetentionMs {
				r.t.Fatalf("partition %d: the marker at %d went at %d, its transaction at %d", l.tp.Partition, o, now, e.gone)
			}
		case e.aborted() || e.Key == nil || superseded:
		case e.tombstone() && e.met > 0 && now >= e.met+r.policy.DeleteRetentionMs:
		default:
			r.t.Fatalf("partition %d: the record at %d is gone: key %q, value %q, met at %d, now %d, later one %d", l.tp.Partition, o, e.Key, e.Value, e.met, now, later)
		}
		if !e.marker && e.committed() && e.Key != nil && !superseded {
			newest[string(e.Key)] = o
		}
		if e.marker && e.gone == 0 && !s.has(e.txn) {
			e.gone = now
		}
	}
	for o := max(l.bound, s.marks.LogStart); o < l.high(); o++ {
		if _, there := s.records[o]; !there {
			r.t.Fatalf("partition %d: the record at %d is gone, cleaning may have got to %d", l.tp.Partition, o, l.bound)
		}
	}
}

// checkTable: who reads all of it has the last value of each key.
func (l *partitionLog) checkTable(s *stored) {
	t := l.rig.t
	t.Helper()
	want, got := map[string]string{}, map[string]string{}
	put := func(table map[string]string, e recordbatch.Record) {
		if e.Value == nil {
			delete(table, string(e.Key))
		} else if e.Key != nil {
			table[string(e.Key)] = string(e.Value)
		}
	}
	for o := s.marks.LogStart; o < s.marks.Stable; o++ {
		e := &l.entries[o]
		if e.marker || !e.committed() {
			continue
		}
		put(want, e.Record)
		if rec, ok := s.records[o]; ok {
			put(got, rec)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("partition %d: the table reads\n%v, want\n%v", l.tp.Partition, got, want)
	}
}

// checkReach: whoever reads gets to the end of what there is to be read.
func (l *partitionLog) checkReach(s *stored) {
	for _, end := range []metastore.Offset{s.marks.Stable, s.marks.High} {
		at := s.marks.LogStart
		for _, b := range s.batches {
			if next := metastore.Offset(b.LastOffset()) + 1; next <= end {
				at = max(at, next)
			}
		}
		if at != end {
			l.rig.t.Fatalf("partition %d: readers get to offset %d of %d", l.tp.Partition, at, end)
		}
	}
}

// checkCommitted reads committed records from an offset on as clients do, some bytes at a time: each answer tells of the
// producers and first offsets of aborted transactions, and nothing of where these end.
func (l *partitionLog) checkCommitted(s *stored, from metastore.Offset, maxBytes int) {
	r := l.rig
	r.t.Helper()
	var got, want []metastore.Offset
	for at := from; at < s.marks.Stable; {
		f := r.reader.Fetch(r.t.Context(), nil, reader.ReadCommitted, []reader.Want{{TopicPartition: l.tp, From: at, MaxBytes: maxBytes}})
		answer := f.Results[0]
		r.must(answer.Err)
		next := at
		aborted := slices.Clone(answer.Aborted)
		slices.SortFunc(aborted, func(a, b metastore.AbortedTxn) int { return int(a.First - b.First) })
		skipping := map[metastore.ProducerID]bool{}
		for b, err := range recordbatch.Split(bytes.Join(answer.Records, nil)) {
			r.must(err)
			h, _ := recordbatch.PeekHeader(b)
			next = metastore.Offset(h.LastOffset()) + 1
			for len(aborted) > 0 && aborted[0].First < next {
				skipping[aborted[0].Producer] = true
				aborted = aborted[1:]
			}
			producer := metastore.ProducerID(h.ProducerID)
			if h.Control() {
				if commit, err := recordbatch.MarkerCommits(b); err == nil && !commit {
					delete(skipping, producer)
				}
				continue
			}
			if h.Transactional() && skipping[producer] {
				continue
			}
			for rec, err := range recordbatch.Records(b, 1<<24) {
				r.must(err)
				if metastore.Offset(rec.Offset) >= from && metastore.Offset(rec.Offset) >= at {
					got = append(got, metastore.Offset(rec.Offset))
				}
			}
		}
		f.Release()
		if next <= at || next > s.marks.Stable {
			r.t.Fatalf("partition %d: reading from offset %d gets to %d, of %d", l.tp.Partition, at, next, s.marks.Stable)
		}
		at = next
	}
	for o := from; o < s.marks.Stable; o++ {
		if _, ok := s.records[o]; ok && !l.entries[o].marker && l.entries[o].committed() {
			want = append(want, o)
		}
	}
	if !slices.Equal(got, want) {
		r.t.Fatalf("partition %d: reading committed records from %d on, %d bytes at a time, gives\n%v, want\n%v", l.tp.Partition, from, maxBytes, got, want)
	}
}

// cleaned checks what a round that got to its end has left, having begun when rounds had got to an offset, and notes what
// it met.
func (l *partitionLog) cleaned(s *stored, before metastore.Offset) {
	r := l.rig
	r.t.Helper()
	now := r.clock.UnixMilli()
	last := map[string]metastore.Offset{}
	for o := s.marks.LogStart; o < s.cleanedTo; o++ {
		e := &l.entries[o]
		if _, there := s.records[o]; !there || e.marker {
			continue
		}
		if before, twice := last[string(e.Key)]; e.aborted() || e.Key == nil || twice {
			r.t.Fatalf("partition %d, cleaned to %d: the record at %d is there, %+v; the key was at %d", l.tp.Partition, s.cleanedTo, o, e.Record, before)
		}
		last[string(e.Key)] = o
		if e.tombstone() && o < before && e.met > 0 && now >= e.met+r.policy.DeleteRetentionMs+min(r.policy.DeleteRetentionMs/2, 600_000) {
			r.t.Fatalf("partition %d: the tombstone at %d, met at %d, is still there at %d", l.tp.Partition, o, e.met, now)
		}
	}
	l.met(s.cleanedTo)
}
