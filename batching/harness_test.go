package batching_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Writer on memory stores whose calls can be made to fail.
type rig struct {
	t       *testing.T
	store   *faultyStore
	log     *faultyLog
	replica *metastore.Replica
	w       *batching.Writer
	topic   metastore.TopicID
	stop    func() error // ends Run and returns its result
}

// start runs a Writer with the options. All partitions of rig.tp exist.
func start(t *testing.T, opts batching.Options) *rig {
	t.Helper()
	if err := opts.Validate(); err != nil {
		t.Fatal(err)
	}
	meta := metamemory.New(metamemory.Options{})
	replica := metastore.NewReplica(meta, metastore.ReplicaOptions{})
	if err := replica.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic, err := replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "events", Partitions: 100, ReplicationFactor: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, replica: replica, topic: topic.ID}
	r.store = &faultyStore{Store: memory.New()}
	r.log = &faultyLog{Committer: replica}
	r.w = batching.New(r.store, r.log, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.w.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := meta.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) tp(partition int32) metastore.TopicPartition {
	return metastore.TopicPartition{Topic: r.topic, Partition: partition}
}

// batch is one of size bytes or a few more, with n records of a producer that is not idempotent.
func (r *rig) batch(partition int32, n, size int) batching.Batch {
	return r.encode(partition, n, size, recordbatchtest.Options{}.NotIdempotent())
}

func (r *rig) encode(partition int32, n, size int, o recordbatchtest.Options) batching.Batch {
	r.t.Helper()
	records := make([]recordbatch.Record, n)
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: 1000 + int64(i), Value: []byte("v")}
	}
	records[0].Value = []byte(strings.Repeat("x", max(1, size-recordbatch.HeaderSize-9*n)))
	b := recordbatchtest.Encode(records, o)
	h, err := recordbatch.ParseHeader(b)
	if err != nil {
		r.t.Fatal(err)
	}
	return batching.Batch{TopicPartition: r.tp(partition), Bytes: b, Header: h}
}

func (r *rig) append(batches ...batching.Batch) *batching.Pending {
	r.t.Helper()
	return r.appendFrom(nil, batches...)
}

func (r *rig) appendFrom(source *batching.Source, batches ...batching.Batch) *batching.Pending {
	r.t.Helper()
	p, err := r.w.Append(source, batches)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// offsets waits for a request and returns the offsets of its batches, all of which must be accepted.
func (r *rig) offsets(p *batching.Pending) []metastore.Offset {
	r.t.Helper()
	results, err := p.Wait(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	var offsets []metastore.Offset
	for i, res := range results {
		if res.Verdict != metastore.Accepted {
			r.t.Fatalf("batch %d: verdict %d", i, res.Verdict)
		}
		offsets = append(offsets, res.Offset)
	}
	return offsets
}

func (r *rig) wantOffsets(p *batching.Pending, want ...metastore.Offset) {
	r.t.Helper()
	if got := r.offsets(p); !slices.Equal(got, want) {
		r.t.Fatalf("offsets %d, want %d", got, want)
	}
}

// runs returns what the log holds of a partition.
func (r *rig) runs(partition int32) []metastore.Run {
	r.t.Helper()
	_, runs, err := r.replica.Runs(r.tp(partition), 0, 1<<30)
	if err != nil {
		r.t.Fatal(err)
	}
	return runs
}

// faultyStore is a store whose PUTs can be interfered with.
type faultyStore struct {
	objstore.Store
	// put, if set, handles the n-th PUT (from 1); next does what the store would.
	put func(ctx context.Context, n int, next func() error) error

	mu    sync.Mutex
	calls []string // the trace
}

func (s *faultyStore) Put(ctx context.Context, key string, parts [][]byte) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	s.mu.Lock()
	s.calls = append(s.calls, fmt.Sprintf("PUT %s %d bytes", key, size))
	n := len(s.calls)
	s.mu.Unlock()
	next := func() error { return s.Store.Put(ctx, key, parts) }
	if s.put == nil {
		return next()
	}
	return s.put(ctx, n, next)
}

func (s *faultyStore) trace() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// faultyLog is a Committer that can be interfered with.
type faultyLog struct {
	batching.Committer
	// commit, if set, handles the n-th call (from 1).
	commit func(ctx context.Context, n int, next commitFunc) ([]metastore.SegmentResult, error)

	mu     sync.Mutex
	groups [][]metastore.SegmentID // by call
}

type commitFunc func() ([]metastore.SegmentResult, error)

func (l *faultyLog) Commit(ctx context.Context, segments []metastore.SegmentCommit) ([]metastore.SegmentResult, error) {
	ids := make([]metastore.SegmentID, len(segments))
	for i := range segments {
		ids[i] = segments[i].ID
	}
	l.mu.Lock()
	l.groups = append(l.groups, ids)
	n := len(l.groups)
	l.mu.Unlock()
	next := func() ([]metastore.SegmentResult, error) { return l.Committer.Commit(ctx, segments) }
	if l.commit == nil {
		return next()
	}
	return l.commit(ctx, n, next)
}

func (l *faultyLog) calls() [][]metastore.SegmentID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.groups)
}

// took asserts how long ago start was, to the millisecond. For bubbles of synctest.
func took(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Fatalf("took %v, want %v", got, want)
	}
}
