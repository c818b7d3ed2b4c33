package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/metastore"
)

// A fabricated batch is a Java producer's with records of 1 KiB: 16 KiB.
const (
	batchRecords = 16
	batchBytes   = 16 << 10
)

// Commits is a load for the sequencing path alone: commits of segments that exist nowhere.
type Commits struct {
	Committers int // each with a replica of its own, as a broker
	Runs       int // per commit, each of another partition
	Batches    int // per commit, at least Runs
	Producers  int // per committer; idempotent
	Warmup     time.Duration
	Duration   time.Duration
	// Connect makes committers of the replicas, on metas[i] each; nil: they append each on its own.
	Connect func(ctx context.Context, metas []metastore.Store, replicas []*metastore.Replica) (committers []Committer, stop func() error, err error)
}

// Committer sequences segments; a metastore.Replica does.
type Committer interface {
	Commit(ctx context.Context, segments []metastore.SegmentCommit) ([]metastore.SegmentResult, error)
}

// Validate tells what makes no sense.
func (c Commits) Validate() error {
	switch {
	case c.Committers < 1 || c.Runs < 1 || c.Producers < 1 || c.Duration <= 0 || c.Warmup < 0:
		return errors.New("committers, runs, producers and the duration must be positive")
	case c.Runs > metastore.MaxPartitions:
		return fmt.Errorf("at most %d runs", metastore.MaxPartitions)
	case c.Batches < c.Runs:
		return fmt.Errorf("%d batches do not make %d runs", c.Batches, c.Runs)
	case c.Batches > math.MaxUint32/batchBytes:
		return fmt.Errorf("at most %d batches", math.MaxUint32/batchBytes)
	}
	return nil
}

// Run makes a topic of that name in the metastore, commits to it and deletes it. Only commits that begin in the window
// count as samples; least is how many of them the committer made that made the fewest. The logs are ways to one log,
// which committers take in turn.
func (c Commits) Run(ctx context.Context, logs []metastore.Store, topic string, meter *Meter, latency *Latencies) (first, last Reading, least int64, err error) {
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background, load sync.WaitGroup
	defer background.Wait()
	defer stop()
	replicas, metas := make([]*metastore.Replica, c.Committers), make([]metastore.Store, c.Committers)
	for i := range replicas {
		metas[i] = logs[i%len(logs)]
		replicas[i] = metastore.NewReplica(metas[i], metastore.ReplicaOptions{})
		if err := replicas[i].Open(ctx); err != nil {
			return first, last, 0, fmt.Errorf("open metastore: %w", err)
		}
		background.Go(func() { _ = replicas[i].Run(following) }) // an error is Health's, and fails the commits
	}
	created, err := replicas[0].CreateTopic(ctx, metastore.NewTopic{Name: topic, Partitions: int32(c.Runs)})
	if err != nil {
		return first, last, 0, fmt.Errorf("create topic %s: %w", topic, err)
	}
	defer func() {
		deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if deleteErr := replicas[0].DeleteTopic(deleting, created.ID); deleteErr != nil {
			err = errors.Join(err, fmt.Errorf("delete topic %s: %w", topic, deleteErr))
		}
	}()
	sources := make([]*fabricator, c.Committers)
	for i, r := range replicas {
		if sources[i], err = c.source(ctx, r, created.ID); err != nil {
			return first, last, 0, err
		}
	}

	committers, disconnect, err := c.connect(ctx, metas, replicas)
	if err != nil {
		return first, last, 0, err
	}
	defer func() { err = errors.Join(err, disconnect()) }()

	loading, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	window := NewWindow(time.Now(), c.Warmup, c.Duration)
	made := make([]int64, len(committers))
	for i, to := range committers {
		load.Go(func() {
			var err error
			if made[i], err = commitAll(loading, to, sources[i], window, meter, latency); err != nil {
				fail(err)
			}
		})
	}
	first, last, err = window.Measure(loading, meter, nil)
	if err != nil && ctx.Err() == nil {
		err = context.Cause(loading)
	}
	load.Wait() // they end with the window
	return first, last, slices.Min(made), err
}

func (c Commits) connect(ctx context.Context, metas []metastore.Store, replicas []*metastore.Replica) ([]Committer, func() error, error) {
	if c.Connect != nil {
		return c.Connect(ctx, metas, replicas)
	}
	var direct []Committer
	for _, r := range replicas {
		direct = append(direct, r)
	}
	return direct, func() error { return nil }, nil
}

// source prepares what a committer commits.
func (c Commits) source(ctx context.Context, r *metastore.Replica, topic metastore.TopicID) (*fabricator, error) {
	if err := r.CatchUp(ctx); err != nil {
		return nil, err
	}
	producers := make([]metastore.ProducerID, c.Producers)
	for i := range producers {
		var err error
		if producers[i], err = r.NextProducerID(ctx); err != nil {
			return nil, fmt.Errorf("allocate producer ids: %w", err)
		}
	}
	return newFabricator(topic, c.Runs, c.Batches, producers), nil
}

// commitAll commits one segment after the other until the window ends, and tells how many it counted.
func commitAll(ctx context.Context, to Committer, from *fabricator, w Window, meter *Meter, latency *Latencies) (made int64, err error) {
	for ctx.Err() == nil {
		segment := from.next()
		start := time.Now()
		if !start.Before(w.To) {
			return made, nil
		}
		results, err := to.Commit(ctx, []metastore.SegmentCommit{segment})
		if err != nil {
			return made, fmt.Errorf("commit: %w", err)
		}
		if w.Holds(start) {
			made++
			latency.Add(time.Since(start))
		}
		if err := allAccepted(results); err != nil {
			return made, err
		}
		meter.AddCommit()
		meter.Add(int64(from.batches)*batchRecords, 0) // no bytes are moved
	}
	return made, nil
}

// allAccepted: a load that is refused would be fast and mean nothing.
func allAccepted(results []metastore.SegmentResult) error {
	for _, segment := range results {
		for _, run := range segment.Runs {
			for _, batch := range run {
				if batch.Verdict != metastore.Accepted {
					return fmt.Errorf("a batch was not accepted: verdict %d", batch.Verdict)
				}
			}
		}
	}
	return nil
}

// fabricator makes the segments of a busy broker: every one has batches of every partition, each producer writes to all
// partitions in turn, and sequences go on.
type fabricator struct {
	topic     metastore.TopicID
	runs      int
	batches   int
	producers []metastore.ProducerID
	sequences []int32 // next ones, by partition and producer
	rounds    int     // segments made
}

func newFabricator(topic metastore.TopicID, runs, batches int, producers []metastore.ProducerID) *fabricator {
	return &fabricator{topic: topic, runs: runs, batches: batches, producers: producers, sequences: make([]int32, runs*len(producers))}
}

func (f *fabricator) next() metastore.SegmentCommit {
	segment := metastore.SegmentCommit{
		ID: metastore.SegmentID(uuid.Must(uuid.NewV7())), Size: int64(f.batches) * batchBytes, Runs: make([]metastore.RunCommit, f.runs),
	}
	per, more := f.batches/f.runs, f.batches%f.runs
	now, at := time.Now().UnixMilli(), 0
	for partition := range segment.Runs {
		n := per
		if partition < more {
			n++
		}
		run := &segment.Runs[partition]
		run.TopicPartition = metastore.TopicPartition{Topic: f.topic, Partition: int32(partition)}
		run.Position = uint32(at)
		run.Batches = make([]metastore.BatchCommit, n)
		for i := range run.Batches {
			run.Batches[i] = f.batch(partition, (f.rounds+at/batchBytes+i)%len(f.producers), now)
		}
		at += n * batchBytes
	}
	f.rounds++
	return segment
}

func (f *fabricator) batch(partition, producer int, now int64) metastore.BatchCommit {
	sequence := &f.sequences[partition*len(f.producers)+producer]
	b := metastore.BatchCommit{
		Length: batchBytes, Records: batchRecords, MaxTimestamp: now, ProducerID: f.producers[producer], BaseSequence: *sequence,
	}
	*sequence = int32((int64(*sequence) + batchRecords) & math.MaxInt32) // Kafka's wrap
	return b
}
