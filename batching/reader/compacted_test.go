package reader_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// compacted appends batches of which log compaction has left some records, in a segment of their own.
func (l *txnLog) compacted(batches ...[]byte) {
	l.t.Helper()
	id := metastore.NewSegmentID(time.Now())
	part := segment.Part{Topic: l.topic}
	first, latest := l.high, int64(-1)
	for _, b := range batches {
		h, err := recordbatch.ParseHeader(b)
		l.must(err)
		latest = max(latest, h.MaxTimestamp)
		part.Batches = append(part.Batches, segment.Batch{Bytes: b, Records: 1, MaxTimestamp: h.MaxTimestamp, ProducerID: -1})
		l.high += metastore.Offset(h.LastOffsetDelta) + 1
	}
	object, index, err := segment.Assemble(id, id.Time(), []segment.Part{part})
	l.must(err)
	l.must(l.store.Put(l.t.Context(), segment.Key(id), object))
	at := index.Runs[0]
	l.runs = append(l.runs, metastore.Run{Base: first, Records: int32(l.high - first), Segment: id, SegmentSize: index.Size,
		Position: at.Position, Length: at.Length, MaxTimestamp: latest})
}

// only leaves one record of a batch, and a delete horizon if it is a tombstone.
func (r *rig) only(b []byte, offset int64) []byte {
	r.t.Helper()
	var f recordbatch.Filter
	left, n, err := f.Keep(b, recordbatch.Retain{Horizon: now + 1<<40, Keep: func(e recordbatch.Entry) bool { return e.Offset == offset }})
	r.must(err)
	if n != 1 {
		r.t.Fatalf("%d records are left", n)
	}
	return left
}

func TestSearchFindsRecordsThatCompactionLeft(t *testing.T) {
	r := newRig(t, 512)
	l := r.txnLog()
	emptied := recordbatch.Empty(one(now+500, now+501))
	appendTime := one(1, 2, 3)
	recordbatch.SetLogAppendTime(appendTime, now+20)
	tombstone := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now + 30, Key: []byte("k")}, {Timestamp: now + 40, Key: []byte("k")}},
		recordbatchtest.Options{Codec: recordbatch.Zstd}.NotIdempotent())
	l.compacted(emptied, r.only(appendTime, 2)) // 0 and 1, none left; 2 to 4, of which 4
	l.compacted(r.only(tombstone, 1), emptied)  // 5 and 6, of which 6; 7 and 8, none left
	rd := r.newReader(l, r.blocks, nil, reader.Options{})
	for ts, want := range map[int64]metastore.Offset{0: 4, now + 20: 4, now + 21: 6, now + 40: 6, now + 41: -1, now + 501: -1} {
		offset, timestamp, found, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), ts)
		if err != nil || offset != want || found != (want >= 0) || found && timestamp != map[metastore.Offset]int64{4: now + 20, 6: now + 40}[want] {
			t.Errorf("now%+d: offset %d, now%+d, %v, %v; want %d", ts-now, offset, timestamp-now, found, err, want)
		}
	}
	if offset, ts, found, err := rd.MaxTimestamp(t.Context(), r.tp(0)); offset != 6 || ts != now+40 || !found || err != nil {
		t.Errorf("max: %d %d %v %v", offset, ts, found, err)
	}
}

// cleanedLog is compacted between the first look at it and the second.
type cleanedLog struct {
	*txnLog
	after *txnLog
	looks int
}

func (l *cleanedLog) CommittedRuns(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, []metastore.AbortedTxn, error) {
	if l.looks++; l.looks == 1 {
		return l.txnLog.CommittedRuns(tp, from, maxBytes)
	}
	return l.after.CommittedRuns(tp, from, maxBytes)
}

// A client that hears of an aborted transaction and does not meet its end would take what the producer wrote after it for
// aborted, too: the protocol tells it where a transaction began, not where it ended.
func TestAnAnswerDoesNotGoOnPastTheEndOfATransactionThatCompactionRemoved(t *testing.T) {
	r := newRig(t, 1<<20)
	before := r.txnLog()
	before.write(before.batch(1, 1, 3000), before.batch(1, 1, 10)) // 0 and 1
	before.end(1, false, now)                                      // 2
	before.write(before.batch(1, 1, 10))                           // 3
	before.end(1, true, now)                                       // 4
	after := r.txnLog()
	after.high = 3
	after.records = before.records[:3]
	after.write(after.batch(1, 1, 10)) // 3
	after.end(1, true, now)            // 4

	log := &cleanedLog{txnLog: before, after: after}
	rd := r.newReader(log, r.blocks, nil, reader.Options{})
	got, err := rd.Read(t.Context(), r.tp(0), 1, reader.ReadCommitted, 2000)
	r.must(err)
	next, _ := before.consume(1, got, reader.ReadCommitted)
	if log.looks < 2 || next != 2 {
		t.Fatalf("%d looks, read to %d", log.looks, next)
	}
	got, err = rd.Read(t.Context(), r.tp(0), next, reader.ReadCommitted, 2000)
	r.must(err)
	h, err := recordbatch.ParseHeader(bytes.Join(got.Records, nil))
	if err != nil || h.BaseOffset != 3 || len(got.Aborted) != 0 {
		t.Fatalf("%+v, %v, aborted %v", h, err, got.Aborted)
	}
	if whole := read(t, rd, r.tp(0)); !reflect.DeepEqual(whole, []int64{3, 4}) {
		t.Errorf("offsets of batches %v", whole)
	}
}

// read returns the base offsets of all batches.
func read(t *testing.T, rd testReader, tp metastore.TopicPartition) (bases []int64) {
	t.Helper()
	got, err := rd.Read(t.Context(), tp, 0, reader.ReadCommitted, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range recordbatch.Split(bytes.Join(got.Records, nil)) {
		h, _ := recordbatch.PeekHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		bases = append(bases, h.BaseOffset)
	}
	return bases
}
