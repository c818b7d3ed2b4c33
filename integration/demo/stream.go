package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic      = "flights"
	partitions = 3

	totalsGroup  = "flight-totals"
	noticesGroup = "flight-notices"
)

// outcome is what came out of the topic.
type outcome struct {
	totals    totals
	notices   *notices
	produced  produced
	committed map[string]int64 // sum of the offsets that a group committed
	took      time.Duration    // from the first record produced to the last one consumed
}

// produced is what the producer tells.
type produced struct {
	records int
	bytes   int64           // of keys and values
	offsets map[int32]int64 // records per partition
	took    time.Duration
}

// run creates the topic and streams the flights through it, while both groups read.
func run(ctx context.Context, bootstrap string, flights []flight) (*outcome, error) {
	common := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.ClientID("runnel-demo")}
	client, err := kgo.NewClient(append(common, kgo.ProducerBatchCompression(kgo.ZstdCompression()))...)
	if err != nil {
		return nil, fmt.Errorf("make producer: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if created, err := admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return nil, fmt.Errorf("create topic: %w", errors.Join(err, created.Err))
	}

	out := &outcome{totals: make(totals), notices: newNotices()}
	start := time.Now()
	err = together(ctx,
		func(ctx context.Context) error { return consume(ctx, common, totalsGroup, len(flights), out.totals) },
		func(ctx context.Context) error { return consume(ctx, common, noticesGroup, len(flights), out.notices) },
		func(ctx context.Context) (err error) {
			out.produced, err = produce(ctx, client, flights)
			return err
		})
	if err != nil {
		return nil, err
	}
	out.took = time.Since(start)
	out.committed, err = committed(ctx, admin, totalsGroup, noticesGroup)
	return out, err
}

// together runs the tasks at the same time. The first error ends the others and is returned.
func together(ctx context.Context, tasks ...func(context.Context) error) (first error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(tasks))
	for _, task := range tasks {
		go func() { ended <- task(ctx) }()
	}
	for range tasks {
		if err := <-ended; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	return first
}

// produce writes the flights in their order, keyed by origin: those of one airport stay in order.
func produce(ctx context.Context, client *kgo.Client, flights []flight) (produced, error) {
	p := produced{offsets: make(map[int32]int64)}
	start := time.Now()
	results := make(chan error, 1)
	var failed error
	remaining := len(flights)
	done := func(r *kgo.Record, err error) { // called by one goroutine at a time
		failed = errors.Join(failed, err)
		p.offsets[r.Partition]++
		if remaining--; remaining == 0 {
			results <- failed
		}
	}
	for _, f := range flights {
		value, err := json.Marshal(f)
		if err != nil {
			return p, fmt.Errorf("encode flight: %w", err)
		}
		p.records++
		p.bytes += int64(len(f.Origin) + len(value))
		client.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte(f.Origin), Value: value}, done)
	}
	select {
	case err := <-results:
		p.took = time.Since(start)
		if err != nil {
			return p, fmt.Errorf("produce: %w", err)
		}
		return p, nil
	case <-ctx.Done():
		return p, fmt.Errorf("produce: %w", ctx.Err())
	}
}

// consume reads as a member of the group until it has seen so many flights, then commits.
func consume(ctx context.Context, common []kgo.Opt, group string, expected int, c consumer) error {
	client, err := kgo.NewClient(append(common,
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return fmt.Errorf("make consumer of %s: %w", group, err)
	}
	defer client.Close()
	for seen := 0; seen < expected; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("consume as %s, %d of %d records seen: %w", group, seen, expected, err)
		}
		for records := fetches.RecordIter(); !records.Done(); seen++ {
			r := records.Next()
			f, err := decodeFlight(r.Value)
			if err != nil || f.Origin != string(r.Key) {
				return fmt.Errorf("record at offset %d of partition %d is not as it was produced: key %q, %v", r.Offset, r.Partition, r.Key, err)
			}
			c.take(f)
		}
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		return fmt.Errorf("commit as %s: %w", group, err)
	}
	return nil
}

// committed returns the sum of the offsets that each group committed.
func committed(ctx context.Context, admin *kadm.Client, groups ...string) (map[string]int64, error) {
	sums := make(map[string]int64)
	for _, group := range groups {
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			return nil, fmt.Errorf("read offsets of %s: %w", group, err)
		}
		offsets.Each(func(o kadm.OffsetResponse) { sums[group] += o.At })
	}
	return sums, nil
}
