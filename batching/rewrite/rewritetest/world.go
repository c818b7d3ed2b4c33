// Package rewritetest makes logs for tests of what rewrites them: the real stores in memory, random histories of many
// partitions, and what should be read back, whatever was rewritten meanwhile.
package rewritetest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/memory"
)

// Start is what a World's clock begins with.
var Start = time.UnixMilli(1_790_000_000_000)

// World is a log with records of some topics.
type World struct {
	T       testing.TB
	Objects *memory.Store
	Faults  *fault.Store     // the same objects, for what is tested
	Meta    *metafault.Store // the log, for all replicas
	Replica *metastore.Replica
	Topics  []*metastore.Topic
	Rand    *rand.Rand

	// SizeOf is the length of the values of a batch's records together. Random histories ask it.
	SizeOf func(*rand.Rand) int

	passed    atomic.Int64 // nanoseconds since Start
	records   map[metastore.TopicPartition][]Record
	producers []*producer
	aborted   map[transaction]bool
}

// transaction is one of those of a producer, whose epoch rises with each.
type transaction struct {
	producer int64
	epoch    int16
}

// Record is one that should be read back, or the end of a transaction.
type Record struct {
	recordbatch.Record
	Producer      int64
	Epoch         int16
	Transactional bool
	Control       bool
}

// producer is a transactional one.
type producer struct {
	id        string
	is        metastore.TxnResult
	sequences map[metastore.TopicPartition]int32
	open      map[metastore.TopicPartition]bool // partitions of the ongoing transaction
}

// New makes a World with topics of some partitions each.
func New(t testing.TB, seed uint64, topics int, partitions int32) *World {
	t.Helper()
	log := metamemory.New(metamemory.Options{})
	w := &World{T: t, Objects: memory.New(), Meta: metafault.Wrap(log),
		Rand: rand.New(rand.NewPCG(seed, 1)), records: map[metastore.TopicPartition][]Record{}}
	w.aborted = map[transaction]bool{}
	w.SizeOf = func(rng *rand.Rand) int { return rng.IntN(600) }
	w.Faults = fault.Wrap(w.Objects)
	w.Replica = w.Open()
	t.Cleanup(func() { w.must(log.Close()) })
	for i := range topics {
		topic, err := w.Replica.CreateTopic(t.Context(), metastore.NewTopic{Name: fmt.Sprintf("topic-%d", i), Partitions: partitions, ReplicationFactor: 1})
		w.must(err)
		w.Topics = append(w.Topics, topic)
	}
	return w
}

// Now is the clock of ids and entries. It begins with Start and moves when a test says so.
func (w *World) Now() time.Time { return Start.Add(time.Duration(w.passed.Load())) }

// Advance moves the clock.
func (w *World) Advance(d time.Duration) { w.passed.Add(int64(d)) }

// Open opens another replica of the log.
func (w *World) Open() *metastore.Replica {
	w.T.Helper()
	r := metastore.NewReplica(w.Meta, metastore.ReplicaOptions{Now: w.Now, RefreshPause: -1})
	w.must(r.Open(context.Background()))
	return r
}

func (w *World) must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// Partitions returns all partitions.
func (w *World) Partitions() (all []metastore.TopicPartition) {
	for _, topic := range w.Topics {
		for p := range topic.Partitions {
			all = append(all, metastore.TopicPartition{Topic: topic.ID, Partition: p})
		}
	}
	return all
}

// Batch is one to be written.
type Batch struct {
	metastore.TopicPartition
	Bytes []byte
	At    metastore.Offset // as of metastore.BatchCommit
}

// Write stores and commits one segment with batches, of each partition in the order given.
func (w *World) Write(batches ...Batch) metastore.SegmentID {
	w.T.Helper()
	id := metastore.NewSegmentID(w.Now())
	at := map[metastore.TopicPartition]int{}
	var parts []segment.Part
	var of [][]Batch // by part
	for _, b := range batches {
		h, err := recordbatch.ParseHeader(b.Bytes)
		w.must(err)
		i, ok := at[b.TopicPartition]
		if !ok {
			i = len(parts)
			at[b.TopicPartition] = i
			parts = append(parts, segment.Part{Topic: b.Topic, Partition: b.Partition})
			of = append(of, nil)
		}
		parts[i].Batches = append(parts[i].Batches, segment.Batch{Bytes: b.Bytes, Records: h.Records, MaxTimestamp: h.MaxTimestamp,
			ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence})
		of[i] = append(of[i], b)
	}
	object, index, err := segment.Assemble(id, w.Now(), parts)
	w.must(err)
	w.must(w.Objects.Put(context.Background(), segment.Key(id), object))
	commit := metastore.SegmentCommit{ID: id, Size: index.Size}
	var written [][]Batch // by run
	for _, run := range index.Runs {
		tp := metastore.TopicPartition{Topic: run.Topic, Partition: run.Partition}
		c := metastore.RunCommit{TopicPartition: tp, Position: run.Position}
		for _, b := range of[at[tp]] {
			h, _ := recordbatch.ParseHeader(b.Bytes)
			c.Batches = append(c.Batches, metastore.BatchCommit{Length: uint32(len(b.Bytes)), Records: h.Records,
				MaxTimestamp: h.MaxTimestamp, ProducerID: metastore.ProducerID(h.ProducerID), ProducerEpoch: metastore.ProducerEpoch(h.ProducerEpoch),
				BaseSequence: h.BaseSequence, Transactional: h.Transactional(), Implicit: h.Transactional(), At: b.At})
		}
		commit.Runs = append(commit.Runs, c)
		written = append(written, of[at[tp]])
	}
	results, err := w.Replica.Commit(context.Background(), []metastore.SegmentCommit{commit})
	w.must(err)
	for i, list := range written {
		for j, b := range list {
			if r := results[0].Runs[i][j]; r.Verdict == metastore.Accepted {
				w.expect(b, r.Offset)
			} else if r.Verdict != metastore.UnknownPartition && b.At == 0 {
				w.T.Fatalf("batch %d of %s: verdict %d", j, b.TopicPartition, r.Verdict)
			}
		}
	}
	return id
}

func (w *World) expect(b Batch, base metastore.Offset) {
	records, err := decode(b.Bytes, int64(base))
	w.must(err)
	w.records[b.TopicPartition] = append(w.records[b.TopicPartition], records...)
}

// decode returns the records of a batch as if it began at an offset.
func decode(b []byte, base int64) (records []Record, err error) {
	h, err := recordbatch.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	for r, err := range recordbatch.Records(bytes.Clone(b), 100<<20) {
		if err != nil {
			return nil, err
		}
		r.Offset += base - h.BaseOffset
		records = append(records, Record{Record: r, Producer: h.ProducerID, Epoch: h.ProducerEpoch,
			Transactional: h.Transactional(), Control: h.Control()})
	}
	return records, nil
}

// Grow writes segments of random batches: compressed or not, of transactions or none, with gaps between their offsets,
// and ends transactions now and then.
func (w *World) Grow(segments int) {
	w.T.Helper()
	all := w.Partitions()
	for range segments {
		w.Advance(time.Duration(w.Rand.IntN(3000)) * time.Millisecond)
		var batches []Batch
		for range 1 + w.Rand.IntN(2*len(all)) {
			batches = append(batches, w.batch(all[w.Rand.IntN(len(all))]))
		}
		w.Write(batches...)
		if p := w.producer(); w.Rand.IntN(3) == 0 && len(p.open) > 0 {
			w.end(p, w.Rand.IntN(2) == 0)
		}
	}
}

// EndAll ends all transactions.
func (w *World) EndAll() {
	for _, p := range w.producers {
		if len(p.open) > 0 {
			w.end(p, true)
		}
	}
}

func (w *World) randomRecords() []recordbatch.Record {
	records := make([]recordbatch.Record, 1+w.Rand.IntN(5))
	for i := range records {
		value := make([]byte, w.SizeOf(w.Rand)/len(records))
		for j := range value {
			value[j] = byte('a' + w.Rand.IntN(20))
		}
		records[i] = recordbatch.Record{Timestamp: w.Now().UnixMilli() - w.Rand.Int64N(1000), Value: value}
		if w.Rand.IntN(2) == 0 {
			records[i].Key = fmt.Appendf(nil, "key-%d", w.Rand.IntN(20))
		}
	}
	return records
}

func (w *World) randomOptions() recordbatchtest.Options {
	codec := recordbatch.None
	switch w.Rand.IntN(20) { // some codecs take long to begin
	case 0:
		codec = recordbatch.Codec(w.Rand.IntN(5))
	case 1, 2, 3, 4, 5:
		codec = recordbatch.Snappy
	}
	return recordbatchtest.Options{Codec: codec}.NotIdempotent()
}

func (w *World) batch(tp metastore.TopicPartition) Batch {
	records, opts := w.randomRecords(), w.randomOptions()
	b := Batch{TopicPartition: tp}
	if w.Rand.IntN(3) == 0 {
		p := w.producer()
		opts.ProducerID, opts.ProducerEpoch = int64(p.is.Producer), int16(p.is.Epoch)
		opts.BaseSequence, opts.Transactional = p.sequences[tp], true
		p.sequences[tp] += int32(len(records))
		p.open[tp] = true
	} else if w.Rand.IntN(30) == 0 {
		marks, _ := w.Replica.Watermarks(tp)
		b.At = marks.High + 1 + metastore.Offset(w.Rand.IntN(1000))
		if w.Rand.IntN(5) == 0 {
			b.At += math.MaxInt32
		}
	}
	b.Bytes = recordbatchtest.Encode(records, opts)
	return b
}

// producer returns one of some transactional producers.
func (w *World) producer() *producer {
	if i := w.Rand.IntN(4); i < len(w.producers) {
		return w.producers[i]
	}
	fresh, err := w.Replica.NextProducerID(context.Background())
	w.must(err)
	p := &producer{id: fmt.Sprintf("txn-%d", len(w.producers)), sequences: map[metastore.TopicPartition]int32{}, open: map[metastore.TopicPartition]bool{}}
	p.is = w.transact(metastore.InitTxn{ID: p.id, Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh})
	w.producers = append(w.producers, p)
	return p
}

// DeleteRecords deletes the records of some partition before some offset.
func (w *World) DeleteRecords() {
	w.T.Helper()
	all := w.Partitions()
	tp := all[w.Rand.IntN(len(all))]
	marks, ok := w.Replica.Watermarks(tp)
	if !ok || len(w.Expected(tp)) == 0 {
		return
	}
	list := w.Expected(tp)
	before := metastore.Offset(list[w.Rand.IntN(len(list))].Offset)
	if w.Rand.IntN(4) == 0 {
		before = marks.High
	}
	results, err := w.Replica.DeleteRecords(context.Background(), []metastore.RecordDeletion{{TopicPartition: tp, Before: before}})
	w.must(err)
	w.must(results[0].Err)
}

// DeleteTopic deletes some topic, unless it is the last.
func (w *World) DeleteTopic() {
	w.T.Helper()
	if len(w.Topics) < 2 {
		return
	}
	i := w.Rand.IntN(len(w.Topics))
	w.must(w.Replica.DeleteTopic(context.Background(), w.Topics[i].ID))
	w.Topics = append(w.Topics[:i:i], w.Topics[i+1:]...)
}

func (w *World) transact(r metastore.TxnRequest) metastore.TxnResult {
	w.T.Helper()
	results, err := w.Replica.Transact(context.Background(), []metastore.TxnRequest{r})
	w.must(err)
	w.must(results[0].Err)
	return results[0]
}

// end ends the transaction of a producer, whose markers are expected in all its partitions.
func (w *World) end(p *producer, commit bool) {
	w.T.Helper()
	epoch, number := p.is.Epoch, metastore.TxnNumber(0)
	if x, ok := w.Replica.Transaction(p.id); ok {
		number = x.Number
	}
	high := map[metastore.TopicPartition]metastore.Offset{}
	for tp := range p.open {
		if marks, ok := w.Replica.Watermarks(tp); ok {
			high[tp] = marks.High
		}
	}
	w.aborted[transaction{int64(p.is.Producer), int16(p.is.Epoch)}] = !commit
	p.is = w.transact(metastore.EndTxn{ID: p.id, Producer: p.is.Producer, Epoch: epoch, Commit: commit, Version: 2, Number: number, Fresh: metastore.NoProducerID})
	for tp, base := range high {
		marks, _ := w.Replica.Watermarks(tp)
		if marks.High != base+1 {
			continue // it had nothing there: its batches were refused
		}
		m := recordbatch.Marker{BaseOffset: int64(base), ProducerID: int64(p.is.Producer), Commit: commit, Timestamp: w.Now().UnixMilli()}
		_, runs, err := w.Replica.Runs(tp, base, 1)
		w.must(err)
		if len(runs) != 1 || runs[0].Marker == nil {
			w.T.Fatalf("no marker at %d of %s: %+v", base, tp, runs)
		}
		m.ProducerEpoch = int16(runs[0].Marker.Epoch)
		w.expect(Batch{TopicPartition: tp, Bytes: m.Append(nil)}, base)
	}
	clear(p.open)
	clear(p.sequences)
}

// Expected returns what a partition should hold from its log start on.
func (w *World) Expected(tp metastore.TopicPartition) []Record {
	marks, ok := w.Replica.Watermarks(tp)
	if !ok {
		return nil
	}
	all := w.records[tp]
	for len(all) > 0 && all[0].Offset < int64(marks.LogStart) {
		all = all[1:]
	}
	return all
}

// Decode returns the records of a batch that carries its offset.
func Decode(b []byte) ([]Record, error) {
	h, err := recordbatch.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	return decode(b, h.BaseOffset)
}

// RandomBatch is a random batch of no transaction.
func (w *World) RandomBatch() []byte {
	return recordbatchtest.Encode(w.randomRecords(), w.randomOptions())
}

// Forget expects some records of a partition no more.
func (w *World) Forget(tp metastore.TopicPartition, gone func(Record) bool) {
	w.records[tp] = slices.DeleteFunc(w.records[tp], gone)
}

// Equal tells whether two records are the same.
func (r Record) Equal(to Record) bool {
	return r.Offset == to.Offset && r.Timestamp == to.Timestamp && bytes.Equal(r.Key, to.Key) && bytes.Equal(r.Value, to.Value) &&
		(r.Key == nil) == (to.Key == nil) && (r.Value == nil) == (to.Value == nil) && len(r.Headers) == len(to.Headers) &&
		r.Producer == to.Producer && r.Epoch == to.Epoch && r.Transactional == to.Transactional && r.Control == to.Control
}
