package reader_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// tieredLog is the log of one partition whose runs are of both tiers, as naive as can be. Its records lie in the store of a
// rig.
type tieredLog struct {
	*rig
	part    metastore.TopicPartition
	runs    []*tieredRun
	start   metastore.Offset
	high    metastore.Offset
	open    map[int64]int64 // first offset of the transaction, by producer
	aborted []metastore.AbortedTxn
	ever    []tieredRecord // by offset, also those that are gone
	before  func()         // called before the runs are looked at; nil: not
}

// tieredRun is a run with the batches that are in it.
type tieredRun struct {
	metastore.Run
	batches []*tieredBatch
}

// tieredBatch is a batch as it is stored, with the records that are left in it. One that ends a transaction has no values.
type tieredBatch struct {
	base    int64
	bytes   []byte
	header  recordbatch.Header
	records []tieredRecord
}

type tieredRecord struct {
	offset, timestamp int64
	value             string
	aborted           bool
}

func (b *tieredBatch) last() int64 { return b.base + int64(b.header.LastOffsetDelta) }

func (r *rig) tieredLog(partition int32) *tieredLog {
	return &tieredLog{rig: r, part: r.tp(partition), open: map[int64]int64{}}
}

// append adds batches, as producers send them, as a run of tier 0.
func (l *tieredLog) append(batches ...[]byte) {
	l.t.Helper()
	id := metastore.NewSegmentID(time.Now())
	parts := []segment.Part{{Topic: l.topic, Partition: l.part.Partition}, {Topic: l.topic, Partition: l.part.Partition - 1,
		Batches: []segment.Batch{{Bytes: bytes.Repeat([]byte{7}, 100), Records: 1, ProducerID: -1}}}}
	run := &tieredRun{}
	first := l.high
	for _, b := range batches {
		h, err := recordbatch.ParseHeader(b)
		l.must(err)
		parts[0].Batches = append(parts[0].Batches, segment.Batch{Bytes: b, Records: h.Records, MaxTimestamp: h.MaxTimestamp, ProducerID: -1})
		if _, open := l.open[h.ProducerID]; h.Transactional() && !open {
			l.open[h.ProducerID] = int64(l.high)
		}
		added := &tieredBatch{base: int64(l.high), bytes: b, header: h}
		for rec, err := range recordbatch.Records(b, 1<<20) {
			l.must(err)
			added.records = append(added.records, tieredRecord{offset: int64(l.high) + rec.Offset, timestamp: rec.Timestamp, value: string(rec.Value)})
		}
		run.batches = append(run.batches, added)
		l.ever = append(l.ever, added.records...)
		l.high += metastore.Offset(h.Records)
	}
	object, index, err := segment.Assemble(id, id.Time(), parts)
	l.must(err)
	l.must(l.store.Put(l.t.Context(), segment.Key(id), object))
	at := index.Runs[1]
	run.Run = metastore.Run{Base: first, Records: int32(l.high - first), Segment: id, SegmentSize: index.Size, Position: at.Position, Length: at.Length, MaxTimestamp: at.MaxTimestamp}
	l.runs = append(l.runs, run)
	l.recent[recentKey{id, at.Position, at.Length}] = batches
}

// end ends the transaction of a producer, if it has one, at some time.
func (l *tieredLog) end(producer int64, commit bool, ms int64) {
	l.t.Helper()
	marker := recordbatch.Marker{ProducerID: producer, ProducerEpoch: 3, Commit: commit, Timestamp: ms}.Append(nil)
	h, err := recordbatch.ParseHeader(marker)
	l.must(err)
	b := &tieredBatch{base: int64(l.high), bytes: marker, header: h, records: []tieredRecord{{offset: int64(l.high), timestamp: ms}}}
	run := metastore.Run{Base: l.high, Records: 1, Length: metastore.MarkerBytes, MaxTimestamp: ms,
		Marker: &metastore.Marker{Producer: metastore.ProducerID(producer), Epoch: 3, Commit: commit}}
	if first, ok := l.open[producer]; ok && !commit {
		l.eachOf(producer, first, int64(l.high), func(r *tieredRecord) { r.aborted, l.ever[r.offset].aborted = true, true })
		l.aborted = append(l.aborted, metastore.AbortedTxn{Producer: metastore.ProducerID(producer), First: metastore.Offset(first), Last: l.high})
	}
	delete(l.open, producer)
	l.runs = append(l.runs, &tieredRun{run, []*tieredBatch{b}})
	l.ever = append(l.ever, b.records...)
	l.high++
}

// eachOf visits the transactional records of a producer between two offsets.
func (l *tieredLog) eachOf(producer, from, to int64, visit func(*tieredRecord)) {
	for _, run := range l.runs {
		for _, b := range run.batches {
			if b.header.ProducerID != producer || !b.header.Transactional() || b.header.Control() {
				continue
			}
			for i := range b.records {
				if r := &b.records[i]; from <= r.offset && r.offset < to {
					visit(r)
				}
			}
		}
	}
}

// rewrite replaces runs [i, j) by one of tier 1 with the batches that keep returns, which may be others in the same place.
func (l *tieredLog) rewrite(i, j int, keep func(batches []*tieredBatch) []*tieredBatch) {
	l.t.Helper()
	var batches []*tieredBatch
	for _, run := range l.runs[i:j] {
		batches = append(batches, run.batches...)
	}
	if keep != nil {
		batches = keep(batches)
	}
	id := rewrittenID(time.Now())
	b := segment.NewBuilder(id, id.Time())
	other := recordbatchtest.Encode([]recordbatch.Record{{Value: []byte("another's")}}, recordbatchtest.Options{}.NotIdempotent())
	add := func(partition int32, list ...*tieredBatch) {
		l.must(b.Begin(l.topic, partition))
		for _, x := range list {
			l.must(b.Add([][]byte{x.bytes}, segment.InfoOf(x.header, x.base)))
		}
	}
	h, err := recordbatch.ParseHeader(other)
	l.must(err)
	add(l.part.Partition-1, &tieredBatch{base: 5, bytes: other, header: h})
	add(l.part.Partition, batches...)
	object, index := b.Finish()
	l.must(l.store.Put(l.t.Context(), segment.Key(id), object))
	at := index.Runs[1]
	run := metastore.Run{Base: metastore.Offset(at.Base), Records: at.Offsets, Segment: id, SegmentSize: index.Size, Position: at.Position, Length: at.Length, MaxTimestamp: at.MaxTimestamp}
	l.runs = slices.Replace(l.runs, i, j, &tieredRun{run, batches})
}

// rewrittenID is an id of tier 1.
func rewrittenID(at time.Time) metastore.SegmentID {
	id := metastore.NewSegmentID(at)
	id[6] = id[6]&0x0f | 0x80
	return id
}

// clean is what log compaction does with batches: records that are superseded, which is chance here, are taken out, and so
// are those that were aborted; the ends of transactions of which nothing is left go, too. The last batch of what
// can be cleaned stays, if it must without a record.
func (l *tieredLog) clean(rng *rand.Rand) func([]*tieredBatch) []*tieredBatch {
	return func(batches []*tieredBatch) (kept []*tieredBatch) {
		for i, b := range batches {
			last := i == len(batches)-1 || batches[i+1].last() >= int64(l.stable())
			if b.last() >= int64(l.stable()) {
				kept = append(kept, b)
				continue
			}
			if b.header.Control() {
				if last || !l.gone(b) || rng.IntN(3) == 0 {
					kept = append(kept, b)
				}
				continue
			}
			var left []tieredRecord
			for _, r := range b.records {
				if !r.aborted && rng.IntN(4) > 0 {
					left = append(left, r)
				}
			}
			if len(left) < len(b.records) {
				b.records = left // in place: whether all of a transaction is gone is seen by it
				b = b.without(left)
			}
			if len(left) > 0 || last || rng.IntN(8) == 0 {
				kept = append(kept, b)
			}
		}
		return kept
	}
}

// gone tells whether nothing is left of the transaction that a batch ends, nor known. What is known of one that was aborted
// is forgotten once its records are gone.
func (l *tieredLog) gone(end *tieredBatch) bool {
	i := slices.IndexFunc(l.aborted, func(t metastore.AbortedTxn) bool { return int64(t.Last) == end.base })
	if i < 0 {
		return true // also if it was committed: those who read need no end of these
	}
	left := 0
	l.eachOf(end.header.ProducerID, int64(l.aborted[i].First), end.base, func(*tieredRecord) { left++ })
	if left == 0 {
		l.aborted = slices.Delete(slices.Clone(l.aborted), i, i+1)
	}
	return false
}

// without is the batch with the records that are left.
func (b *tieredBatch) without(left []tieredRecord) *tieredBatch {
	records := make([]recordbatch.Record, len(left))
	for i, r := range left {
		records[i] = recordbatch.Record{Offset: r.offset - b.base, Timestamp: r.timestamp, Value: []byte(r.value)}
	}
	h := b.header
	raw := recordbatchtest.EncodeSparse(records, h.LastOffsetDelta+1, recordbatchtest.Options{Codec: h.Codec(), ProducerID: h.ProducerID,
		ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence, Transactional: h.Transactional()})
	if h.LogAppendTime() {
		recordbatch.SetLogAppendTime(raw, h.MaxTimestamp)
	}
	h, _ = recordbatch.ParseHeader(raw)
	return &tieredBatch{base: b.base, bytes: raw, header: h, records: left}
}

func (l *tieredLog) stable() metastore.Offset {
	stable := l.high
	for _, first := range l.open {
		stable = min(stable, metastore.Offset(first))
	}
	return stable
}

func (l *tieredLog) Runs(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, error) {
	if l.before != nil {
		l.before()
	}
	marks := metastore.Watermarks{LogStart: l.start, High: l.high, Stable: l.stable()}
	if tp != l.part {
		return marks, nil, metastore.ErrUnknownPartition
	}
	if from < l.start || from > l.high {
		return marks, nil, metastore.ErrOffsetOutOfRange
	}
	var runs []metastore.Run
	for _, run := range l.runs {
		if run.Base+metastore.Offset(run.Records) > from && (len(runs) == 0 || maxBytes > 0) {
			runs = append(runs, run.Run)
			maxBytes -= int(run.Length)
		}
	}
	return marks, runs, nil
}

func (l *tieredLog) CommittedRuns(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, []metastore.AbortedTxn, error) {
	marks, runs, err := l.Runs(tp, from, maxBytes)
	for len(runs) > 0 && runs[len(runs)-1].Base >= marks.Stable {
		runs = runs[:len(runs)-1]
	}
	if len(runs) == 0 {
		return marks, nil, nil, err
	}
	last := runs[len(runs)-1]
	var aborted []metastore.AbortedTxn
	for _, t := range l.aborted {
		if t.Last >= from && t.First < min(last.Base+metastore.Offset(last.Records), marks.Stable) {
			aborted = append(aborted, t)
		}
	}
	return marks, runs, aborted, err
}

func (l *tieredLog) RunAt(_ metastore.TopicPartition, ts int64) (metastore.Run, bool) {
	for _, run := range l.runs {
		if run.MaxTimestamp >= ts && run.Base+metastore.Offset(run.Records) > l.start {
			return run.Run, true
		}
	}
	return metastore.Run{}, false
}

func (l *tieredLog) RunWithMaxTimestamp(metastore.TopicPartition) (best metastore.Run, ok bool) {
	for _, run := range l.runs {
		if run.Base+metastore.Offset(run.Records) > l.start && (!ok || run.MaxTimestamp > best.MaxTimestamp) {
			best, ok = run.Run, true
		}
	}
	return best, ok
}

// upTo is as far as an isolation level lets records be read.
func (l *tieredLog) upTo(isolation reader.Isolation) metastore.Offset {
	if isolation == reader.ReadCommitted {
		return l.stable()
	}
	return l.high
}

// each visits the batches from an offset on that end before another one.
func (l *tieredLog) each(from, to metastore.Offset, visit func(*tieredBatch)) {
	for _, run := range l.runs {
		for _, b := range run.batches {
			if b.last() >= int64(from) && b.last() < int64(to) {
				visit(b)
			}
		}
	}
}

// consume checks what a read from an offset returned, as a consumer would take it: with the list of aborted transactions
// for read_committed. It returns the offset after it. Records that are gone may be among those returned: they were there when
// the read was planned.
func (l *tieredLog) consume(from metastore.Offset, got reader.Result, isolation reader.Isolation, maxBytes int) (next metastore.Offset) {
	l.t.Helper()
	values := map[int64]string{}
	dropping := map[int64]bool{}
	pending := slices.Clone(got.Aborted)
	slices.SortFunc(pending, func(a, b metastore.AbortedTxn) int { return int(a.First - b.First) })
	next = from
	batches := 0
	for b, err := range recordbatch.Split(bytes.Join(got.Records, nil)) {
		l.must(err)
		h, err := recordbatch.ParseHeader(b)
		l.must(err)
		if h.CRC != recordbatch.Checksum(b) || h.LeaderEpoch != 0 || metastore.Offset(h.LastOffset()) < next || batches > 0 && h.BaseOffset < int64(next) {
			l.t.Fatalf("from %d, at %d: batch of %+v", from, next, h)
		}
		for len(pending) > 0 && int64(pending[0].First) <= h.LastOffset() {
			dropping[int64(pending[0].Producer)] = true
			pending = pending[1:]
		}
		for rec, err := range recordbatch.Records(b, 1<<20) {
			l.must(err)
			switch {
			case h.Control():
				if rec.Key[3] == 0 {
					delete(dropping, h.ProducerID)
				}
			case h.Transactional() && dropping[h.ProducerID]:
			case rec.Offset >= int64(from):
				if was := l.ever[rec.Offset]; was.value != string(rec.Value) || was.aborted && isolation == reader.ReadCommitted {
					l.t.Fatalf("from %d: offset %d is %.60q, which was %.60q, aborted: %v", from, rec.Offset, rec.Value, was.value, was.aborted)
				}
				values[rec.Offset] = string(rec.Value)
			}
		}
		next = metastore.Offset(h.LastOffset()) + 1
		batches++
	}
	if got.Bytes > maxBytes && batches > 1 {
		l.t.Fatalf("from %d: %d bytes of %d, %d batches", from, got.Bytes, maxBytes, batches)
	}
	left := 0
	l.each(from, l.upTo(isolation), func(b *tieredBatch) {
		left++
		for _, r := range b.records {
			if _, ok := values[r.offset]; int64(from) <= r.offset && r.offset < int64(next) && !b.header.Control() && !ok &&
				(isolation == reader.ReadUncommitted || !r.aborted) {
				l.t.Fatalf("from %d to %d: no record at %d; aborted %v", from, next, r.offset, got.Aborted)
			}
		}
	})
	if next > l.upTo(isolation) || left > 0 && batches == 0 {
		l.t.Fatalf("read %d batches from %d to %d, there are %d to %d", batches, from, next, left, l.upTo(isolation))
	}
	for _, t := range got.Aborted {
		if t.Last < from || t.First >= next {
			l.t.Fatalf("from %d to %d: aborted %v", from, next, t)
		}
	}
	return next
}
