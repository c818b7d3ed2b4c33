package reader_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/cache"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/memory"
	"github.com/runnel-io/runnel/objstore/readahead"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const now = 1_790_000_000_000

// rig has the real memory stores, a topic, and what should be read from it.
type rig struct {
	t       testing.TB
	store   *memory.Store
	gets    *fault.Store // the same, for the reader
	blocks  *cache.Cache
	ahead   *readahead.Pool
	replica *metastore.Replica
	topic   metastore.TopicID
	want    map[int32][]recordbatch.Record // by partition, with offsets
	starts  map[int32][]int64              // base offsets of batches
	recent  recentRuns
}

// newRig has a cache of blocks of blockBytes: small ones cut batches and headers apart.
func newRig(t testing.TB, blockBytes int) *rig {
	t.Helper()
	store := memory.New()
	r := &rig{t: t, store: store, gets: fault.Wrap(store), want: map[int32][]recordbatch.Record{}, starts: map[int32][]int64{}, recent: recentRuns{}}
	meta := metamemory.New(metamemory.Options{})
	r.replica = metastore.NewReplica(meta, metastore.ReplicaOptions{})
	r.must(r.replica.Open(context.Background()))
	topic, err := r.replica.CreateTopic(context.Background(), metastore.NewTopic{Name: "events", Partitions: 32, ReplicationFactor: 1})
	r.must(err)
	r.topic = topic.ID
	r.blocks, err = cache.New(r.gets, cache.Options{BlockBytes: blockBytes})
	r.must(err)
	r.ahead = readahead.New(r.gets, readahead.Options{JoinBytes: int64(blockBytes / 4), GetBytes: int64(4 * blockBytes), ForgetPause: time.Nanosecond})
	t.Cleanup(func() {
		r.must(r.blocks.Close())
		r.must(r.ahead.Close())
		r.must(meta.Close())
	})
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tp(p int32) metastore.TopicPartition {
	return metastore.TopicPartition{Topic: r.topic, Partition: p}
}

func (r *rig) reader(opts reader.Options) testReader {
	return r.newReader(r.replica, r.blocks, nil, opts)
}

func (r *rig) newReader(log reader.Log, blocks reader.Blocks, recent reader.Recent, opts reader.Options) testReader {
	return testReader{reader.New(log, blocks, r.ahead, recent, opts)}
}

// testReader reads one partition at a time.
type testReader struct{ *reader.Reader }

// Read returns copies of the records, having given them back.
func (r testReader) Read(ctx context.Context, tp metastore.TopicPartition, from metastore.Offset, isolation reader.Isolation,
	maxBytes int) (reader.Result, error) {
	return r.scan(ctx, nil, tp, from, isolation, maxBytes)
}

func (r testReader) scan(ctx context.Context, scan *reader.Scan, tp metastore.TopicPartition, from metastore.Offset,
	isolation reader.Isolation, maxBytes int) (reader.Result, error) {
	f := r.Fetch(ctx, scan, isolation, []reader.Want{{TopicPartition: tp, From: from, MaxBytes: maxBytes}})
	result := copied(f.Results[0])
	f.Release()
	return result, result.Err
}

// copied is a result that outlives its Fetched.
func copied(result reader.Result) reader.Result {
	for i, part := range result.Records {
		result.Records[i] = bytes.Clone(part)
	}
	return result
}

// write commits one segment with the batches of each partition and returns its id.
func (r *rig) write(batches map[int32][][]byte) metastore.SegmentID {
	r.t.Helper()
	id := metastore.NewSegmentID(time.Now())
	var parts []segment.Part
	for p, list := range batches {
		part := segment.Part{Topic: r.topic, Partition: p}
		for _, b := range list {
			h, err := recordbatch.ParseHeader(b)
			r.must(err)
			part.Batches = append(part.Batches, segment.Batch{Bytes: b, Records: h.Records, MaxTimestamp: h.MaxTimestamp,
				ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence})
		}
		parts = append(parts, part)
	}
	object, index, err := segment.Assemble(id, id.Time(), parts)
	r.must(err)
	r.must(r.store.Put(context.Background(), segment.Key(id), object))
	commit := metastore.SegmentCommit{ID: id, Size: index.Size}
	for _, run := range index.Runs {
		c := metastore.RunCommit{TopicPartition: r.tp(run.Partition), Position: run.Position}
		for _, b := range batches[run.Partition] {
			h, _ := recordbatch.ParseHeader(b)
			c.Batches = append(c.Batches, metastore.BatchCommit{Length: uint32(len(b)), Records: h.Records,
				MaxTimestamp: h.MaxTimestamp, ProducerID: metastore.ProducerID(h.ProducerID),
				ProducerEpoch: metastore.ProducerEpoch(h.ProducerEpoch), BaseSequence: h.BaseSequence})
		}
		commit.Runs = append(commit.Runs, c)
		r.recent[recentKey{id, run.Position, run.Length}] = batches[run.Partition]
	}
	results, err := r.replica.Commit(context.Background(), []metastore.SegmentCommit{commit})
	r.must(err)
	for i, run := range index.Runs {
		for j, b := range batches[run.Partition] {
			if results[0].Runs[i][j].Verdict == metastore.Accepted {
				r.expect(run.Partition, b, results[0].Runs[i][j].Offset)
			}
		}
	}
	return id
}

func (r *rig) expect(p int32, b []byte, base metastore.Offset) {
	r.starts[p] = append(r.starts[p], int64(base))
	for rec, err := range recordbatch.Records(b, 100<<20) {
		if err != nil { // a test that writes such a batch knows
			return
		}
		rec.Offset += int64(base)
		r.want[p] = append(r.want[p], rec)
	}
}

// check compares what a Read from an offset returned with what was written, and returns the offset after it.
func (r *rig) check(p int32, from metastore.Offset, got reader.Result) metastore.Offset {
	r.t.Helper()
	all := bytes.Join(got.Records, nil)
	if len(all) != got.Bytes {
		r.t.Fatalf("%d bytes, Bytes is %d", len(all), got.Bytes)
	}
	next := from
	var records []recordbatch.Record
	for b, err := range recordbatch.Split(all) {
		r.must(err)
		h, err := recordbatch.ParseHeader(b)
		r.must(err)
		if h.CRC != recordbatch.Checksum(b) || h.LeaderEpoch != 0 {
			r.t.Fatalf("header %+v, CRC should be %08x", h, recordbatch.Checksum(b))
		}
		if len(records) == 0 && (int64(from) < h.BaseOffset || int64(from) > h.LastOffset()) {
			r.t.Fatalf("from %d: first batch has %d to %d", from, h.BaseOffset, h.LastOffset())
		}
		next = metastore.Offset(h.LastOffset() + 1)
		for rec, err := range recordbatch.Records(b, 100<<20) {
			r.must(err)
			records = append(records, rec)
		}
	}
	if len(records) > 0 {
		first := records[0].Offset
		if !reflect.DeepEqual(records, r.want[p][first:first+int64(len(records))]) {
			r.t.Fatalf("from %d: records from %d differ", from, first)
		}
	}
	return next
}

// random is a batch of some records with timestamps around now.
func random(rng *rand.Rand) []byte {
	records := make([]recordbatch.Record, 1+rng.IntN(6))
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: now + rng.Int64N(1000), Value: fmt.Appendf(nil, "%d", rng.Int64())}
		if rng.IntN(3) == 0 {
			records[i].Key = bytes.Repeat([]byte{'k'}, rng.IntN(200))
		}
	}
	opts := recordbatchtest.Options{Codec: recordbatch.Codec(rng.IntN(5)), XerialSnappy: rng.IntN(2) == 0}.NotIdempotent()
	b := recordbatchtest.Encode(records, opts)
	if rng.IntN(5) == 0 {
		recordbatch.SetLogAppendTime(b, now+rng.Int64N(1000))
	}
	return b
}

// fill writes segments of random batches of all partitions.
func (r *rig) fill(rng *rand.Rand, segments int) {
	r.t.Helper()
	for range segments {
		batches := map[int32][][]byte{}
		for p := range int32(3) {
			for range rng.IntN(8) {
				batches[p] = append(batches[p], random(rng))
			}
		}
		r.write(batches)
	}
}

type recentKey struct {
	id               metastore.SegmentID
	position, length uint32
}

// recentRuns is the writer's memory: whole runs, one slice per batch.
type recentRuns map[recentKey][][]byte

func (m recentRuns) Run(id metastore.SegmentID, position, length uint32) ([][]byte, bool) {
	parts, ok := m[recentKey{id, position, length}]
	return parts, ok
}

func one(timestamps ...int64) []byte {
	return encode(recordbatch.None, timestamps...)
}

func encode(codec recordbatch.Codec, timestamps ...int64) []byte {
	var records []recordbatch.Record
	for _, ts := range timestamps {
		records = append(records, recordbatch.Record{Timestamp: ts, Value: []byte("value")})
	}
	return recordbatchtest.Encode(records, recordbatchtest.Options{Codec: codec}.NotIdempotent())
}
