package cleaning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/cache"
	"github.com/runnel-io/runnel/objstore/memory"
	"github.com/runnel-io/runnel/objstore/readahead"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is when the clock of a rig begins.
const start = 1_790_000_000_000

// rig has the real memory stores, and a topic whose every record it remembers.
type rig struct {
	t       testing.TB
	clock   time.Time
	store   *memory.Store
	meta    *metamemory.Store
	replica *metastore.Replica
	engine  *rewrite.Engine
	reader  *reader.Reader
	topic   *metastore.Topic
	policy  cleaning.Policy
	logs    []*partitionLog
	seqs    map[sequenceOf]int32

	// swapping is called before each Swap of the engine, if it is set. An error is the Swap's, made or not.
	swapping func(rewrites []metastore.Rewrite) (skip bool, err error)
}

type sequenceOf struct {
	producer  int64
	epoch     int16
	partition int32
}

func newRig(t testing.TB, partitions int32, policy cleaning.Policy, opts rewrite.Options) *rig {
	t.Helper()
	policy.Compact = true
	if policy.MaxCompactionLagMs == 0 {
		policy.MaxCompactionLagMs = math.MaxInt64
	}
	r := &rig{t: t, clock: time.UnixMilli(start), store: memory.New(), policy: policy, seqs: map[sequenceOf]int32{}}
	r.meta = metamemory.New(metamemory.Options{})
	t.Cleanup(func() { r.must(r.meta.Close()) })
	r.replica = r.newReplica()
	topic, err := r.replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "table", Partitions: partitions, ReplicationFactor: 1})
	r.must(err)
	r.topic = topic
	for p := range partitions {
		r.logs = append(r.logs, &partitionLog{rig: r, tp: metastore.TopicPartition{Topic: topic.ID, Partition: p}, open: map[int64]*txn{}})
	}
	opts.Now = r.now
	r.engine, err = rewrite.New(r.store, r, opts)
	r.must(err)
	blocks, err := cache.New(r.store, cache.Options{BlockBytes: 4 << 10})
	r.must(err)
	ahead := readahead.New(r.store, readahead.Options{})
	t.Cleanup(func() {
		r.must(blocks.Close())
		r.must(ahead.Close())
	})
	r.reader = reader.New(r.replica, blocks, ahead, nil, reader.Options{Now: r.now})
	return r
}

func (r *rig) newReplica() *metastore.Replica {
	r.t.Helper()
	replica := metastore.NewReplica(r.meta, metastore.ReplicaOptions{Now: r.now})
	r.must(replica.Open(r.t.Context()))
	return replica
}

func (r *rig) now() time.Time { return r.clock }

// Swap is the engine's.
func (r *rig) Swap(ctx context.Context, segments []metastore.RewrittenSegment, rewrites []metastore.Rewrite) ([]bool, error) {
	if r.swapping != nil {
		skip, err := r.swapping(rewrites)
		if skip {
			return nil, err
		}
		if err != nil {
			_, _ = r.replica.Swap(ctx, segments, rewrites)
			return nil, err
		}
	}
	return r.replica.Swap(ctx, segments, rewrites)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) cleaner(opts cleaning.Options) *cleaning.Cleaner {
	r.t.Helper()
	opts.Now = r.now
	c, err := cleaning.New(r.replica, r.engine, func(*metastore.Topic) cleaning.Policy { return r.policy }, opts)
	r.must(err)
	return c
}

// clean does one round, which must succeed.
func (r *rig) clean(opts cleaning.Options) {
	r.t.Helper()
	_, err := r.cleaner(opts).Do(r.t.Context())
	r.must(err)
}

// data is a batch to be written.
type data struct {
	partition int32
	producer  *producer // nil: none
	codec     recordbatch.Codec
	append    bool // LogAppendTime
	records   []recordbatch.Record
}

// producer has a transactional id.
type producer struct {
	rig     *rig
	name    string
	id      int64
	epoch   int16
	version int8
}

func (r *rig) transact(request metastore.TxnRequest) metastore.TxnResult {
	r.t.Helper()
	results, err := r.replica.Transact(r.t.Context(), []metastore.TxnRequest{request})
	r.must(err)
	r.must(results[0].Err)
	return results[0]
}

func (r *rig) producer(name string, version int8) *producer {
	r.t.Helper()
	fresh, err := r.replica.NextProducerID(r.t.Context())
	r.must(err)
	made := r.transact(metastore.InitTxn{ID: name, Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh})
	return &producer{rig: r, name: name, id: int64(made.Producer), epoch: int16(made.Epoch), version: version}
}

// end commits or aborts what the producer has open, if it has.
func (p *producer) end(commit bool) {
	r := p.rig
	r.t.Helper()
	was, _ := r.replica.Transaction(p.name)
	if was.State != metastore.TxnOngoing {
		return
	}
	made := r.transact(metastore.EndTxn{ID: p.name, Producer: metastore.ProducerID(p.id), Epoch: metastore.ProducerEpoch(p.epoch), Commit: commit,
		Version: p.version, Number: was.Number, Fresh: metastore.NoProducerID})
	for _, l := range r.logs {
		l.ended(p.id, commit)
	}
	p.id, p.epoch = int64(made.Producer), int16(made.Epoch)
}

// write commits one segment with batches, in order.
func (r *rig) write(batches ...data) {
	r.t.Helper()
	id := metastore.NewSegmentID(r.clock)
	var parts []segment.Part
	var order []int // of batches, as they come in parts
	for p := range int32(len(r.logs)) {
		part := segment.Part{Topic: r.topic.ID, Partition: p}
		for i := range batches {
			if batches[i].partition == p {
				part.Batches = append(part.Batches, r.encode(&batches[i]))
				order = append(order, i)
			}
		}
		if len(part.Batches) > 0 {
			parts = append(parts, part)
		}
	}
	object, index, err := segment.Assemble(id, r.clock, parts)
	r.must(err)
	r.must(r.store.Put(r.t.Context(), segment.Key(id), object))
	commit := metastore.SegmentCommit{ID: id, Size: index.Size}
	for i := range index.Runs {
		c := metastore.RunCommit{TopicPartition: r.logs[index.Runs[i].Partition].tp, Position: index.Runs[i].Position}
		for _, b := range parts[i].Batches {
			h, _ := recordbatch.PeekHeader(b.Bytes)
			c.Batches = append(c.Batches, metastore.BatchCommit{Length: uint32(len(b.Bytes)), Records: h.Records, MaxTimestamp: h.MaxTimestamp,
				ProducerID: metastore.ProducerID(h.ProducerID), ProducerEpoch: metastore.ProducerEpoch(h.ProducerEpoch), BaseSequence: h.BaseSequence,
				Transactional: h.Transactional(), Implicit: true})
		}
		commit.Runs = append(commit.Runs, c)
	}
	results, err := r.replica.Commit(r.t.Context(), []metastore.SegmentCommit{commit})
	r.must(err)
	for i := range index.Runs {
		for j, b := range parts[i].Batches {
			res := results[0].Runs[i][j]
			if res.Verdict != metastore.Accepted {
				r.t.Fatalf("batch %+v: verdict %d", batches[order[0]], res.Verdict)
			}
			r.logs[index.Runs[i].Partition].wrote(bytes.Clone(b.Bytes), res.Offset)
			order = order[1:]
		}
	}
}

func (r *rig) encode(d *data) segment.Batch {
	opts := recordbatchtest.Options{Codec: d.codec}.NotIdempotent()
	if p := d.producer; p != nil {
		key := sequenceOf{p.id, p.epoch, d.partition}
		opts = recordbatchtest.Options{Codec: d.codec, ProducerID: p.id, ProducerEpoch: p.epoch, BaseSequence: r.seqs[key], Transactional: true}
		r.seqs[key] += int32(len(d.records))
	}
	b := recordbatchtest.Encode(d.records, opts)
	if d.append {
		recordbatch.SetLogAppendTime(b, r.clock.UnixMilli())
	}
	h, _ := recordbatch.PeekHeader(b)
	return segment.Batch{Bytes: b, Records: h.Records, MaxTimestamp: h.MaxTimestamp, ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence}
}

// put is a batch of plain records now, each key=value; a value of "-" is none, a key of "-" is none.
func (r *rig) put(partition int32, producer *producer, pairs ...string) data {
	d := data{partition: partition, producer: producer}
	for _, pair := range pairs {
		key, value, _ := bytes.Cut([]byte(pair), []byte("="))
		rec := recordbatch.Record{Timestamp: r.clock.UnixMilli(), Key: key, Value: value}
		if string(value) == "-" {
			rec.Value = nil
		}
		if string(key) == "-" {
			rec.Key = nil
		}
		d.records = append(d.records, rec)
	}
	return d
}

// merge rewrites some neighbouring runs as they are, as the compaction of tiers does.
func (r *rig) merge(p int32, from metastore.Offset, n int) {
	r.t.Helper()
	tp := r.logs[p].tp
	marks, _ := r.replica.Watermarks(tp)
	_, runs, err := r.replica.Runs(tp, max(from, marks.LogStart), math.MaxInt)
	r.must(err)
	if runs = runs[:min(n, len(runs))]; len(runs) == 0 {
		return
	}
	engine, err := rewrite.New(r.store, r.replica, rewrite.Options{Now: r.now})
	r.must(err)
	report, err := engine.Do(r.t.Context(), []rewrite.Part{{TopicPartition: tp, Runs: runs}})
	r.must(err)
	r.must(report.Results[0])
}

// deleteRecords moves a log start.
func (r *rig) deleteRecords(p int32, before metastore.Offset) {
	r.t.Helper()
	results, err := r.replica.DeleteRecords(r.t.Context(), []metastore.RecordDeletion{{TopicPartition: r.logs[p].tp, Before: before}})
	r.must(err)
	r.must(results[0].Err)
}

// random is a batch of records of a few keys.
func (r *rig) random(rng *rand.Rand, keys int, producers []*producer) data {
	d := data{partition: rng.Int32N(int32(len(r.logs))), append: rng.IntN(6) == 0}
	if rng.IntN(8) == 0 { // few: to begin with a codec costs more than to play the rest of a history
		d.codec = recordbatch.Codec(rng.IntN(5))
	}
	if rng.IntN(2) == 0 {
		d.producer = producers[rng.IntN(len(producers))]
	}
	for range 1 + rng.IntN(5) {
		rec := recordbatch.Record{
			Timestamp: r.clock.UnixMilli() - rng.Int64N(50), Key: fmt.Appendf(nil, "key-%d", rng.IntN(keys)), Value: fmt.Appendf(nil, "%x", rng.Uint64()),
		}
		if rng.IntN(4) == 0 {
			rec.Value = nil
		}
		if rng.IntN(25) == 0 {
			rec.Key = nil
		}
		if rng.IntN(5) == 0 {
			rec.Headers = []recordbatch.RecordHeader{{Key: "h", Value: []byte("v")}}
		}
		d.records = append(d.records, rec)
	}
	slices.SortFunc(d.records, func(a, b recordbatch.Record) int { return int(a.Timestamp - b.Timestamp) })
	return d
}

var errPlanned = errors.New("planned failure")

// metric is the sum of a metric, or its value under a label.
func metric(t *testing.T, reg *prometheus.Registry, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(labels) > 0 && !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return slices.Contains(labels, l.GetValue()) }) {
				continue
			}
			found = true
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if !found {
		t.Fatalf("no metric %s %v", name, labels)
	}
	return sum
}
