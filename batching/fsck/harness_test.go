package fsck_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/memory"
)

// rig is a cluster's two stores, and one broker's replica to write to them.
type rig struct {
	t       *testing.T
	meta    *metamemory.Store
	objects *memory.Store
	replica *metastore.Replica
	topic   metastore.TopicID
	now     time.Time       // of the metastore
	seq     map[int32]int32 // next sequence by partition
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, objects: memory.New(), now: time.Now().Truncate(time.Millisecond), seq: make(map[int32]int32)}
	r.meta = metamemory.New(metamemory.Options{Now: func() time.Time { return r.now }})
	t.Cleanup(func() { r.must(r.meta.Close()) })
	r.replica = metastore.NewReplica(r.meta, metastore.ReplicaOptions{Now: func() time.Time { return r.now }})
	r.must(r.replica.Open(t.Context()))
	topic, err := r.replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "orders", Partitions: 3, ReplicationFactor: 1})
	r.must(err)
	r.topic = topic.ID
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tp(partition int32) metastore.TopicPartition {
	return metastore.TopicPartition{Topic: r.topic, Partition: partition}
}

const producerOf = 100 // plus the partition

// batch is one of n records: of the partition's producer, next in its sequence.
func (r *rig) batch(partition int32, n int) segment.Batch {
	b := encode(n, recordbatchtest.Options{ProducerID: producerOf + int64(partition), BaseSequence: r.seq[partition]})
	r.seq[partition] += int32(n)
	return b
}

func encode(n int, o recordbatchtest.Options) segment.Batch {
	records := make([]recordbatch.Record, n)
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: 1000 + int64(i), Value: fmt.Appendf(nil, "value %d", i)}
	}
	b := recordbatchtest.Encode(records, o)
	h, err := recordbatch.ParseHeader(b)
	if err != nil {
		panic(err)
	}
	return segment.Batch{Bytes: b, Records: h.Records, MaxTimestamp: h.MaxTimestamp, ProducerID: h.ProducerID,
		ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence}
}

// written is a segment that was uploaded.
type written struct {
	key    string
	id     metastore.SegmentID
	index  segment.Index
	object []byte
	commit metastore.SegmentCommit
}

func (r *rig) part(partition int32, batches ...segment.Batch) segment.Part {
	return segment.Part{Topic: r.topic, Partition: partition, Batches: batches}
}

// upload puts an object in the bucket, and does not commit it.
func (r *rig) upload(parts ...segment.Part) written {
	r.t.Helper()
	w := written{id: metastore.NewSegmentID(r.now)}
	w.key = segment.Key(w.id)
	object, index, err := segment.Assemble(w.id, w.id.Time(), parts)
	r.must(err)
	w.index, w.object = index, bytes.Join(object, nil)
	r.must(r.objects.Put(r.t.Context(), w.key, object))
	w.commit = metastore.SegmentCommit{ID: w.id, Size: index.Size}
	for _, run := range index.Runs {
		i := slices.IndexFunc(parts, func(p segment.Part) bool { return p.Topic == run.Topic && p.Partition == run.Partition })
		in := metastore.RunCommit{TopicPartition: metastore.TopicPartition{Topic: run.Topic, Partition: run.Partition}, Position: run.Position}
		for _, b := range parts[i].Batches {
			in.Batches = append(in.Batches, metastore.BatchCommit{Length: uint32(len(b.Bytes)), Records: b.Records, MaxTimestamp: b.MaxTimestamp,
				ProducerID: metastore.ProducerID(b.ProducerID), ProducerEpoch: metastore.ProducerEpoch(b.ProducerEpoch), BaseSequence: b.BaseSequence})
		}
		w.commit.Runs = append(w.commit.Runs, in)
	}
	return w
}

func (r *rig) commit(w written) metastore.SegmentResult {
	r.t.Helper()
	results, err := r.replica.Commit(r.t.Context(), []metastore.SegmentCommit{w.commit})
	r.must(err)
	return results[0]
}

// write uploads and commits.
func (r *rig) write(parts ...segment.Part) written {
	r.t.Helper()
	w := r.upload(parts...)
	r.commit(w)
	return w
}

// fill writes a few segments of several runs: batches that are repeated in the middle of a run, some without a producer, a
// transaction that ends, and a snapshot on the way. It returns the second segment, which has records of all partitions.
func (r *rig) fill() written {
	r.t.Helper()
	ctx := r.t.Context()
	first := r.batch(0, 3)
	r.write(r.part(0, first, r.batch(0, 2)), r.part(1, r.batch(1, 5)))
	second := r.write(r.part(0, r.batch(0, 4), encode(2, recordbatchtest.Options{}.NotIdempotent())), r.part(1, r.batch(1, 1)), r.part(2, r.batch(2, 7)))
	if got := r.commit(r.upload(r.part(0, r.batch(0, 1), first, r.batch(0, 6)))); got.Runs[0][1].Verdict != metastore.Duplicate {
		r.t.Fatalf("verdicts %v, want a duplicate in the middle", got)
	}
	r.must(r.replica.SnapshotNow(ctx))
	results, err := r.replica.Transact(ctx, []metastore.TxnRequest{metastore.InitTxn{ID: "t", Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: 7}})
	r.must(err)
	r.must(results[0].Err)
	txn := metastore.AddToTxn{ID: "t", Producer: 7, Epoch: 0, Partitions: []metastore.TopicPartition{r.tp(2)}}
	results, err = r.replica.Transact(ctx, []metastore.TxnRequest{txn})
	r.must(err)
	r.must(results[0].Err)
	w := r.upload(r.part(2, encode(2, recordbatchtest.Options{ProducerID: 7, Transactional: true})))
	w.commit.Runs[0].Batches[0].Transactional = true
	if got := r.commit(w); got.Runs[0][0].Verdict != metastore.Accepted {
		r.t.Fatalf("transactional batch: %v", got)
	}
	results, err = r.replica.Transact(ctx, []metastore.TxnRequest{metastore.EndTxn{ID: "t", Producer: 7, Epoch: 0, Commit: true, Version: 1, Fresh: metastore.NoProducerID}})
	r.must(err)
	r.must(results[0].Err)
	r.write(r.part(1, r.batch(1, 2)), r.part(2, r.batch(2, 1)))
	return second
}

// change replaces the bytes of an object.
func (r *rig) change(key string, by func([]byte) []byte) {
	r.t.Helper()
	ctx := r.t.Context()
	b, err := r.objects.GetSuffix(ctx, key, 1<<30)
	r.must(err)
	r.must(r.objects.Delete(ctx, []string{key}))
	r.must(r.objects.Put(ctx, key, [][]byte{by(b)}))
}

func (r *rig) check(opts fsck.Options) *fsck.Report {
	r.t.Helper()
	return r.checkOn(r.meta, r.objects, opts)
}

func (r *rig) checkOn(meta fsck.Metastore, objects fsck.Objects, opts fsck.Options) *fsck.Report {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	report, err := fsck.Check(ctx, meta, objects, opts)
	r.must(err)
	return report
}

// kinds are those of the findings, in order.
func kinds(report *fsck.Report) []fsck.Kind {
	list := []fsck.Kind{}
	for _, f := range report.Findings {
		list = append(list, f.Kind)
	}
	return list
}

func text(report *fsck.Report) string {
	var lines []string
	for _, f := range report.Findings {
		lines = append(lines, fmt.Sprintf("%s %s: %s %v", f.Kind, f.Key, f.Detail, f.Affects))
	}
	return strings.Join(append(lines, report.Unjudged...), "\n")
}

func want(t *testing.T, report *fsck.Report, want ...fsck.Kind) {
	t.Helper()
	if got := kinds(report); !slices.Equal(got, want) {
		t.Fatalf("found %v, want %v:\n%s", got, want, text(report))
	}
}

// both checks without and with Deep.
func (r *rig) both(kinds ...fsck.Kind) *fsck.Report {
	r.t.Helper()
	want(r.t, r.check(fsck.Options{}), kinds...)
	report := r.check(fsck.Options{Deep: true})
	want(r.t, report, kinds...)
	return report
}

func encodePlain(n int) segment.Batch { return encode(n, recordbatchtest.Options{}.NotIdempotent()) }

func encodeOf(producer int64, n int) segment.Batch {
	return encode(n, recordbatchtest.Options{ProducerID: producer})
}
