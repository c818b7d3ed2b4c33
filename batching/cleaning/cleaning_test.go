package cleaning_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// at once cleans what little is dirty.
var atOnce = cleaning.Options{SmallBytes: 1}

// table is what is in a partition, like "0:a=1 3:commit".
func (r *rig) table(p int32) string {
	r.t.Helper()
	l := r.logs[p]
	s := l.read()
	var texts []string
	for _, o := range slices.Sorted(func(yield func(metastore.Offset) bool) {
		for o := range s.records {
			if !yield(o) {
				return
			}
		}
	}) {
		var text string
		e := &l.entries[o]
		switch {
		case e.marker && e.txn.commits:
			text = "commit"
		case e.marker:
			text = "abort"
		case e.Value == nil:
			text = string(e.Key) + "=-"
		default:
			text = fmt.Sprintf("%s=%s", e.Key, e.Value)
		}
		texts = append(texts, fmt.Sprintf("%d:%s", o, text))
	}
	return strings.Join(texts, " ")
}

func (r *rig) wantTable(p int32, want string) {
	r.t.Helper()
	l := r.logs[p]
	l.bound = math.MaxInt64
	if got := r.table(p); got != want {
		r.t.Fatalf("partition %d: %s\nwant %s", p, got, want)
	}
}

// round does a round of everything that is dirty, and checks the rest.
func (r *rig) round() {
	r.t.Helper()
	r.clean(atOnce)
	for _, l := range r.logs {
		l.bound = math.MaxInt64
		s := l.check()
		l.met(s.cleanedTo)
	}
}

func (r *rig) pass(d time.Duration) { r.clock = r.clock.Add(d) }

func TestTombstonesStayForDeleteRetention(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{DeleteRetentionMs: 10_000}, rewrite.Options{})
	r.write(r.put(0, nil, "a=1", "b=1"))
	r.write(r.put(0, nil, "a=-", "c=1"))
	r.pass(time.Hour)
	r.wantTable(0, "0:a=1 1:b=1 2:a=- 3:c=1")
	r.round()
	r.wantTable(0, "1:b=1 2:a=- 3:c=1")
	r.pass(14_999 * time.Millisecond) // half as long again: that much may pass before the round is visible
	r.write(r.put(0, nil, "d=1"))
	r.round()
	r.wantTable(0, "1:b=1 2:a=- 3:c=1 4:d=1")
	r.pass(time.Millisecond)
	r.write(r.put(0, nil, "e=1"))
	r.round()
	r.wantTable(0, "1:b=1 3:c=1 4:d=1 5:e=1")
}

// Who read the older record just before a round became visible, however slow it was, has all of the retention to get to the
// tombstone.
func TestTombstonesStayForDeleteRetentionAfterASlowRound(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{DeleteRetentionMs: 10_000}, rewrite.Options{})
	r.write(r.put(0, nil, "a=1", "b=1"))
	r.write(r.put(0, nil, "a=-", "c=1"))
	r.swapping = func([]metastore.Rewrite) (bool, error) {
		r.pass(5 * time.Second) // what it may take
		return false, nil
	}
	r.clean(atOnce)
	r.swapping = nil
	r.wantTable(0, "1:b=1 2:a=- 3:c=1")
	r.pass(9_999 * time.Millisecond)
	r.write(r.put(0, nil, "d=1"))
	r.clean(atOnce)
	r.wantTable(0, "1:b=1 2:a=- 3:c=1 4:d=1")
}

// Without a retention, a tombstone is still there after the round that met it: who reads the log may be between it and
// what it deletes.
func TestTombstonesWithoutRetentionStayForOneRound(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	r.write(r.put(0, nil, "a=1", "a=-", "b=1"))
	r.round()
	r.wantTable(0, "1:a=- 2:b=1")
	r.write(r.put(0, nil, "c=1"))
	r.round()
	r.wantTable(0, "2:b=1 3:c=1")
}

func TestTheNewestTombstoneOfAKeyCountsFromItsOwnRound(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{DeleteRetentionMs: 10_000}, rewrite.Options{})
	r.write(r.put(0, nil, "a=-"))
	r.round()
	r.pass(8 * time.Second)
	r.write(r.put(0, nil, "a=-", "b=1"))
	r.round()
	r.wantTable(0, "1:a=- 2:b=1")
	r.pass(8 * time.Second)
	r.write(r.put(0, nil, "c=1"))
	r.round()
	r.wantTable(0, "1:a=- 2:b=1 3:c=1")
}

// What a producer says of a delete horizon means nothing.
func TestAProducersDeleteHorizonIsIgnored(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{DeleteRetentionMs: 10_000}, rewrite.Options{})
	b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: 5, Key: []byte("a")}, {Timestamp: 6, Key: []byte("b"), Value: []byte("1")}}, recordbatchtest.Options{}.NotIdempotent())
	binary.BigEndian.PutUint16(b[21:], 1<<6)
	recordbatchtest.Seal(b)
	r.writeRaw(0, b)
	r.write(r.put(0, nil, "c=1"))
	r.round()
	r.wantTable(0, "0:a=- 1:b=1 2:c=1")
	r.write(r.put(0, nil, "d=1"))
	r.round()
	r.wantTable(0, "0:a=- 1:b=1 2:c=1 3:d=1")
	r.pass(15 * time.Second)
	r.write(r.put(0, nil, "e=1"))
	r.round()
	r.wantTable(0, "1:b=1 2:c=1 3:d=1 4:e=1")
}

// writeRaw commits a batch that no well-behaved producer sends.
func (r *rig) writeRaw(p int32, b []byte) {
	r.t.Helper()
	h, err := recordbatch.ParseHeader(b)
	r.must(err)
	id := metastore.NewSegmentID(r.clock)
	object, index, err := segment.Assemble(id, r.clock, []segment.Part{{Topic: r.topic.ID, Partition: p, Batches: []segment.Batch{
		{Bytes: b, Records: h.Records, MaxTimestamp: h.MaxTimestamp, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}}}})
	r.must(err)
	r.must(r.store.Put(r.t.Context(), segment.Key(id), object))
	results, err := r.replica.Commit(r.t.Context(), []metastore.SegmentCommit{{ID: id, Size: index.Size, Runs: []metastore.RunCommit{{
		TopicPartition: r.logs[p].tp, Position: index.Runs[0].Position, Batches: []metastore.BatchCommit{{Length: uint32(len(b)), Records: h.LastOffsetDelta + 1,
			MaxTimestamp: h.MaxTimestamp, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}}}}}})
	r.must(err)
	l := r.logs[p]
	base := results[0].Runs[0][0].Offset
	b = bytes.Clone(b)
	recordbatch.SetBaseOffset(b, int64(base), 0)
	h, _ = recordbatch.PeekHeader(b)
	var records []recordbatch.Record
	for rec, err := range recordbatch.Records(b, 1<<24) {
		if err != nil {
			records = nil
			break
		}
		records = append(records, rec)
	}
	for i := range h.LastOffsetDelta + 1 {
		e := entry{Record: recordbatch.Record{Offset: int64(base) + int64(i)}, batch: b, header: h}
		if records != nil {
			e.Record = records[i]
		}
		l.entries = append(l.entries, e)
	}
}

func TestTransactionsLeaveInThreeSteps(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{DeleteRetentionMs: 10_000}, rewrite.Options{})
	a, b := r.producer("a", 2), r.producer("b", 1)
	r.write(r.put(0, a, "x=aborted"), r.put(0, b, "y=1"), r.put(0, a, "z=aborted")) // 0 to 2
	a.end(false)                                                                    // 3
	b.end(true)                                                                     // 4
	r.write(r.put(0, b, "y=2"), r.put(0, a, "x=1"))                                 // 5, 6
	b.end(true)                                                                     // 7
	a.end(true)                                                                     // 8
	aborted := func(want int) {
		t.Helper()
		if _, _, list, err := r.replica.CommittedRuns(r.logs[0].tp, 0, 1<<30); err != nil || len(list) != want {
			t.Fatalf("aborted %v, %v; want %d", list, err, want)
		}
	}
	r.round()
	r.wantTable(0, "3:abort 4:commit 5:y=2 6:x=1 7:commit 8:commit")
	aborted(0)
	r.pass(15 * time.Second)
	r.write(r.put(0, nil, "n=1"))
	r.round()
	r.wantTable(0, "5:y=2 6:x=1 7:commit 8:commit 9:n=1")
	r.write(r.put(0, nil, "x=-", "y=-", "n=2"))
	r.round()
	r.wantTable(0, "7:commit 8:commit 10:x=- 11:y=- 12:n=2")
	r.pass(15 * time.Second)
	r.write(r.put(0, nil, "n=3"))
	r.round()
	r.wantTable(0, "13:n=3")
}

// The list of aborted transactions and the marker go in this order, whatever comes between.
func TestAMarkerStaysWhileItsTransactionIsListed(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	a := r.producer("a", 1)
	r.write(r.put(0, a, "x=aborted"))
	a.end(false)
	r.write(r.put(0, a, "x=1"))
	a.end(true)
	log := &forgetful{Replica: r.replica}
	c, err := cleaning.New(log, r.engine, func(*metastore.Topic) cleaning.Policy { return r.policy }, cleaning.Options{Now: r.now, SmallBytes: 1})
	r.must(err)
	for range 3 {
		if _, err := c.Do(t.Context()); !errors.Is(err, errPlanned) {
			t.Fatal(err)
		}
		r.wantTable(0, "1:abort 2:x=1 3:commit")
		r.logs[0].check()
		r.pass(time.Hour)
	}
	r.round()
	r.wantTable(0, "1:abort 2:x=1 3:commit")
	r.write(r.put(0, nil, "y=1"))
	r.round()
	r.wantTable(0, "2:x=1 3:commit 4:y=1")
}

// forgetful never notes how far rounds got.
type forgetful struct{ *metastore.Replica }

func (f forgetful) NoteCleaned(ctx context.Context, tp metastore.TopicPartition, to metastore.Offset, forgotten []metastore.Offset) error {
	if to == 1 { // that it begins
		return f.Replica.NoteCleaned(ctx, tp, to, forgotten)
	}
	return errPlanned
}

func TestNothingAtTheLastStableOffsetIsTouched(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	a := r.producer("a", 2)
	r.write(r.put(0, nil, "x=1", "x=2"), r.put(0, a, "x=open"), r.put(0, nil, "x=3", "x=4", "y=1")) // one run of three batches
	before := r.logs[0].read()
	r.clean(atOnce)
	r.wantTable(0, "1:x=2 2:x=open 3:x=3 4:x=4 5:y=1")
	after := r.logs[0].read()
	for i := range 2 {
		if !bytes.Equal(after.batches[i+1].bytes, before.batches[i+1].bytes) {
			t.Errorf("batch at %d changed", after.batches[i+1].BaseOffset)
		}
	}
	if after.cleanedTo != 2 {
		t.Errorf("cleaned to %d", after.cleanedTo)
	}
	a.end(false)
	r.round()
	r.wantTable(0, "4:x=4 5:y=1 6:abort")
}

func TestMinCompactionLagEndsARoundInsideARun(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{MinCompactionLagMs: 1000}, rewrite.Options{})
	r.write(r.put(0, nil, "x=1"))
	r.write(r.put(0, nil, "x=2"))
	r.pass(time.Second)
	r.write(r.put(0, nil, "x=3"))
	r.pass(time.Millisecond)
	r.write(r.put(0, nil, "x=4"))
	r.merge(0, 1, 3)
	r.clean(atOnce)
	r.wantTable(0, "1:x=2 2:x=3 3:x=4")
	if s := r.logs[0].read(); s.cleanedTo != 2 {
		t.Errorf("cleaned to %d", s.cleanedTo)
	}
	r.pass(999 * time.Millisecond)
	r.clean(atOnce) // x=3 is old enough, but the log tells of its run that something in it is not
	r.wantTable(0, "1:x=2 2:x=3 3:x=4")
	r.pass(time.Millisecond)
	r.clean(atOnce)
	r.wantTable(0, "3:x=4")
}

func TestABatchWithoutRecordsStaysAtTheEnd(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	a := r.producer("a", 2)
	r.write(r.put(0, nil, "x=1"))
	r.write(r.put(0, a, "y=aborted", "z=aborted"))
	r.policy.MinCompactionLagMs = 1000
	r.pass(time.Second)
	a.end(false) // too young to be cleaned
	r.clean(atOnce)
	s := r.logs[0].read()
	if s.cleanedTo != 3 || len(s.batches) != 3 || s.batches[1].Records != 0 || s.batches[1].LastOffset() != 2 || !s.batches[1].Transactional() {
		t.Fatalf("cleaned to %d: %+v", s.cleanedTo, s.batches)
	}
	r.logs[0].bound = 3
	r.logs[0].check()
	r.pass(time.Second)
	r.clean(atOnce)
	if s := r.logs[0].read(); s.cleanedTo != 4 || len(s.batches) != 2 || s.batches[1].BaseOffset != 3 {
		t.Fatalf("cleaned to %d: %+v", s.cleanedTo, s.batches)
	}
	r.logs[0].bound = 4
	r.logs[0].check()
}

func TestRecordsWithoutAKeyGo(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	r.write(r.put(0, nil, "-=1", "a=1", "-=-", "=empty", "=key"))
	r.round()
	r.wantTable(0, "1:a=1 4:=key")
}

// Records that nobody can read may be older ones of any key: what deletes them stays.
func TestUnreadableBatchesStayAndWithThemTombstones(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	reg := prometheus.NewRegistry()
	bad := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: start, Key: []byte("a"), Value: []byte("?")}, {Timestamp: start, Key: []byte("b"), Value: []byte("?")}},
		recordbatchtest.Options{Codec: recordbatch.Zstd}.NotIdempotent())
	for i := recordbatch.HeaderSize + 4; i < len(bad); i++ {
		bad[i] = 0xff
	}
	recordbatchtest.Seal(bad)
	r.write(r.put(0, nil, "a=0", "c=-", "d=0"))
	r.writeRaw(0, bad) // 3 and 4
	r.write(r.put(0, nil, "a=-", "b=1", "b=2"))
	tables := []string{"1:c=- 2:d=0 5:a=- 7:b=2", "2:d=0 5:a=- 7:b=2 8:e=0", "2:d=0 5:a=- 7:b=2 9:e=1"}
	c := r.cleaner(cleaning.Options{SmallBytes: 1, Registerer: reg})
	for i, want := range tables {
		_, err := c.Do(t.Context())
		r.must(err)
		if got := r.readable(0); got != want {
			t.Fatalf("round %d: %s, want %s", i, got, want)
		}
		r.write(r.put(0, nil, fmt.Sprintf("e=%d", i)))
	}
	if got := metric(t, reg, "runnel_cleaning_unreadable_batches_total"); got < 3 {
		t.Errorf("%v unreadable batches were counted", got)
	}
}

// readable is the table of batches that can be read.
func (r *rig) readable(p int32) string {
	r.t.Helper()
	l := r.logs[p]
	marks, runs, err := r.replica.Runs(l.tp, 0, 1<<30)
	r.must(err)
	var texts []string
	results, err := r.engine.Read(r.t.Context(), []rewrite.Part{{TopicPartition: l.tp, Runs: runs}}, func(_ int, b rewrite.Batch) error {
		for rec, err := range recordbatch.Records(b.Bytes, 1<<20) {
			if err != nil {
				return nil
			}
			value := string(rec.Value)
			if rec.Value == nil {
				value = "-"
			}
			texts = append(texts, fmt.Sprintf("%d:%s=%s", rec.Offset, rec.Key, value))
		}
		return nil
	})
	r.must(err)
	r.must(results[0])
	if marks.LogStart != 0 {
		r.t.Fatalf("%+v", marks)
	}
	return strings.Join(texts, " ")
}
