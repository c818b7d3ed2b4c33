package reader_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// txnLog is the log of one partition with transactions, as naive as can be. Its records lie in the store of a rig.
type txnLog struct {
	*rig
	runs    []metastore.Run
	high    metastore.Offset
	open    map[int64]int64 // first offset of the transaction, by producer
	aborted []metastore.AbortedTxn
	records []txnRecord // by offset
	listed  int         // runs that were told
}

// txnRecord is a record, or the end of a transaction.
type txnRecord struct {
	value    string
	producer int64 // of a transactional record
	aborted  bool
	marker   bool
}

func (r *rig) txnLog() *txnLog { return &txnLog{rig: r, open: map[int64]int64{}} }

// batch is one of n records, transactional if the producer is not below 0.
func (l *txnLog) batch(producer int64, n, size int) []byte {
	records := make([]recordbatch.Record, n)
	for i := range records {
		value := fmt.Appendf(nil, "%d by %d: ", i, producer)
		records[i] = recordbatch.Record{Timestamp: now, Value: append(value, bytes.Repeat([]byte{'x'}, size)...)}
	}
	if producer < 0 {
		return recordbatchtest.Encode(records, recordbatchtest.Options{}.NotIdempotent())
	}
	return recordbatchtest.Encode(records, recordbatchtest.Options{ProducerID: producer, Transactional: true})
}

// write appends a run of batches, which lies in a segment of its own.
func (l *txnLog) write(batches ...[]byte) metastore.Run {
	l.t.Helper()
	id := metastore.NewSegmentID(time.Now())
	part := segment.Part{Topic: l.topic}
	first := l.high
	for _, b := range batches {
		h, err := recordbatch.ParseHeader(b)
		l.must(err)
		part.Batches = append(part.Batches, segment.Batch{Bytes: b, Records: h.Records, MaxTimestamp: h.MaxTimestamp, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		if _, open := l.open[h.ProducerID]; h.Transactional() && !open {
			l.open[h.ProducerID] = int64(l.high)
		}
		for rec, err := range recordbatch.Records(b, 1<<20) {
			l.must(err)
			l.records = append(l.records, txnRecord{value: string(rec.Value), producer: h.ProducerID})
		}
		l.high += metastore.Offset(h.Records)
	}
	object, index, err := segment.Assemble(id, id.Time(), []segment.Part{part})
	l.must(err)
	l.must(l.store.Put(l.t.Context(), segment.Key(id), object))
	at := index.Runs[0]
	run := metastore.Run{Base: first, Records: int32(l.high - first), Segment: id, SegmentSize: index.Size, Position: at.Position, Length: at.Length, MaxTimestamp: at.MaxTimestamp}
	l.runs = append(l.runs, run)
	l.recent[recentKey{id, at.Position, at.Length}] = batches
	return run
}

// end ends the transaction of a producer, if it has one, at some time.
func (l *txnLog) end(producer int64, commit bool, ms int64) {
	l.runs = append(l.runs, metastore.Run{Base: l.high, Records: 1, Length: metastore.MarkerBytes, MaxTimestamp: ms,
		Marker: &metastore.Marker{Producer: metastore.ProducerID(producer), Epoch: 3, Commit: commit}})
	if first, ok := l.open[producer]; ok && !commit {
		for i := first; i < int64(l.high); i++ {
			if l.records[i].producer == producer && !l.records[i].marker {
				l.records[i].aborted = true
			}
		}
		l.aborted = append(l.aborted, metastore.AbortedTxn{Producer: metastore.ProducerID(producer), First: metastore.Offset(first), Last: l.high})
	}
	delete(l.open, producer)
	l.records = append(l.records, txnRecord{producer: producer, marker: true})
	l.high++
}

func (l *txnLog) stable() metastore.Offset {
	stable := l.high
	for _, first := range l.open {
		stable = min(stable, metastore.Offset(first))
	}
	return stable
}

func (l *txnLog) Runs(_ metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, error) {
	marks := metastore.Watermarks{High: l.high, Stable: l.stable()}
	if from < 0 || from > l.high {
		return marks, nil, metastore.ErrOffsetOutOfRange
	}
	var runs []metastore.Run
	for _, run := range l.runs {
		if run.Base+metastore.Offset(run.Records) > from && (len(runs) == 0 || maxBytes > 0) {
			runs = append(runs, run)
			maxBytes -= int(run.Length)
		}
	}
	l.listed += len(runs)
	return marks, runs, nil
}

func (l *txnLog) CommittedRuns(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, []metastore.AbortedTxn, error) {
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
		if t.Last >= from && t.First < last.Base+metastore.Offset(last.Records) {
			aborted = append(aborted, t)
		}
	}
	return marks, runs, aborted, err
}

func (l *txnLog) RunAt(_ metastore.TopicPartition, ts int64) (metastore.Run, bool) {
	i := slices.IndexFunc(l.runs, func(run metastore.Run) bool { return run.MaxTimestamp >= ts })
	if i < 0 {
		return metastore.Run{}, false
	}
	return l.runs[i], true
}

func (l *txnLog) RunWithMaxTimestamp(metastore.TopicPartition) (best metastore.Run, ok bool) {
	for _, run := range l.runs {
		if !ok || run.MaxTimestamp > best.MaxTimestamp {
			best, ok = run, true
		}
	}
	return best, ok
}

// consume checks what a read from an offset returned, as a consumer would take it: with the list of aborted transactions
// for read_committed. It returns the offset after it, and how many records a consumer gets.
func (l *txnLog) consume(from metastore.Offset, got reader.Result, isolation reader.Isolation) (next metastore.Offset, records int) {
	l.t.Helper()
	var values, want []string
	dropping := map[int64]bool{}
	pending := slices.Clone(got.Aborted)
	slices.SortFunc(pending, func(a, b metastore.AbortedTxn) int { return int(a.First - b.First) })
	next = from
	for b, err := range recordbatch.Split(bytes.Join(got.Records, nil)) {
		l.must(err)
		h, err := recordbatch.ParseHeader(b)
		l.must(err)
		if h.CRC != recordbatch.Checksum(b) || metastore.Offset(h.LastOffset()) < next || next > from && h.BaseOffset != int64(next) {
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
				values = append(values, string(rec.Value))
			}
		}
		next = metastore.Offset(h.LastOffset()) + 1
	}
	for _, rec := range l.records[from:next] {
		if !rec.marker && (isolation == reader.ReadUncommitted || !rec.aborted) {
			want = append(want, rec.value)
		}
	}
	if !reflect.DeepEqual(values, want) {
		l.t.Fatalf("from %d to %d: %d records %.60q, want %d %.60q; aborted %v", from, next, len(values), values, len(want), want, got.Aborted)
	}
	for _, t := range got.Aborted {
		if t.Last < from || t.First >= next {
			l.t.Fatalf("from %d to %d: aborted %v", from, next, t)
		}
	}
	return next, len(values)
}
