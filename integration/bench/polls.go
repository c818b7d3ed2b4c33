package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	pollTopics     = 10
	pollPartitions = 100             // of each topic
	pollShare      = 4               // partitions of a consumer
	comeIn         = 3 * time.Second // for all to connect
)

// idlePolls lets consumers wait at partitions to which nobody writes, as the clients of three libraries do by default,
// and then writes to one of them.
func idlePolls(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("max wait", "polls/s", "broker CPU, % of a core", "transactions/s", "memory resident, MiB", "answers with records")
	c, err := m.startCluster(ctx, 1, m.s3.Endpoint())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	ids, _, err := createTopics(ctx, c.addresses[0], pollTopics, pollPartitions)
	if err != nil {
		return s, err
	}
	w, err := watchDatabase(ctx, m, c)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	nobody, err := w.measure(ctx, m.size.polling, nil)
	if err != nil {
		return s, err
	}
	s.row("no consumer", "0", number(nobody.cpu), number(nobody.transactions), number(nobody.memory), "0")
	for _, load := range []struct {
		name    string
		wait    time.Duration
		written int // records per second to one partition
	}{
		{"500 ms (Java, librdkafka)", 500 * time.Millisecond, 0},
		{"5 s (franz-go)", 5 * time.Second, 0},
		{"30 s", 30 * time.Second, 0},
		{"30 s, 10 records/s to one partition", 30 * time.Second, 10},
	} {
		u, err := pollFor(ctx, m, c, w, ids, load.wait, load.written)
		if err != nil {
			return s, fmt.Errorf("max wait %s: %w", load.name, err)
		}
		s.row(load.name, number(u.answers), number(u.cpu), number(u.transactions), number(u.memory), strconv.Itoa(u.records))
		s.outcome += fmt.Sprintf("%s: %s %% of a core. ", load.name, number(u.cpu))
	}
	s.note = fmt.Sprintf("%d consumers, each with a connection and a fetch session of its own, wait at %d of %d partitions each. The CPU is the broker's, from /proc, over %s; "+
		"transactions are what PostgreSQL counts, which are the broker's lease and its look at the log. In the last row, %d consumers wait at the partition that is written to, "+
		"and all others must not be answered with records.",
		m.size.polls, pollShare, pollTopics*pollPartitions, m.size.polling, m.size.polls*pollShare/(pollTopics*pollPartitions))
	return s, nil
}

// pollFor measures one setting with consumers of its own.
func pollFor(ctx context.Context, m *machine, c *cluster, w *databaseWatch, ids [][16]byte, wait time.Duration, written int) (use, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	p := &polls{began: make(chan struct{}, m.size.polls)}
	for i := range m.size.polls {
		// They come one after the other, and the first wait of each is a part of the others, so that they do not wait in step.
		due := time.Now().Add(comeIn * time.Duration(i) / time.Duration(m.size.polls))
		first := wait * time.Duration(i*7919%m.size.polls) / time.Duration(m.size.polls)
		running.Go(func() {
			n := i * pollShare % (pollTopics * pollPartitions)
			at := place{ids[n/pollPartitions], int32(n % pollPartitions)}
			if err := p.consume(ctx, c.addresses[0], at, due, first, wait); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("consumer %d: %w", i, err))
			}
		})
	}
	for range m.size.polls {
		select {
		case <-p.began:
		case <-ctx.Done():
			return use{}, context.Cause(ctx)
		}
	}
	if written > 0 {
		running.Go(func() {
			if err := writeTo(ctx, c.bootstrap(), written); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	profiled := m.profile(ctx, c, fmt.Sprintf("k-%s-%d", wait, written))
	u, err := w.measure(ctx, m.size.polling, p)
	err = errors.Join(err, profiled())
	switch {
	case err != nil:
		return u, errors.Join(err, context.Cause(ctx))
	case ctx.Err() != nil:
		return u, context.Cause(ctx)
	case (u.records > 0) != (written > 0):
		err = fmt.Errorf("%d answers had records", u.records)
	}
	return u, err
}

// writeTo sends records to the first partition of the first topic.
func writeTo(ctx context.Context, bootstrap string, perSecond int) error {
	producer, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topicName(0)))
	if err != nil {
		return err
	}
	defer producer.Close()
	beat := time.NewTicker(time.Second / time.Duration(perSecond))
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return nil
		}
		if err := producer.ProduceSync(ctx, &kgo.Record{Value: make([]byte, 100)}).FirstErr(); err != nil {
			return fmt.Errorf("write to one partition: %w", err)
		}
	}
}
