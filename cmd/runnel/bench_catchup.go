package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/cmd/runnel/bench"
)

// catchupOptions are the flags of bench catchup.
type catchupOptions struct {
	benchOptions
	size string
}

func newBenchCatchup(env *environment) *cobra.Command {
	var o catchupOptions
	cmd := &cobra.Command{
		Use:   "catchup",
		Short: "Measure how fast consumers read what was written long ago",
		Long: "Measure how fast consumers read what was written long ago: write a number of bytes, then read all of them from the\n" +
			"beginning, each consumer its share of the partitions. Choose more than the brokers' caches hold to measure the\n" +
			"object store. The latency is how long a consumer waited for each batch of records it was handed.",
		Example: "  runnel bench catchup --size 4GiB --clients 4 --admin 127.0.0.1:9644",
		Args:    args(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return benchCatchup(cmd.Context(), env, &o) },
	}
	cmd.Flags().IntVar(&o.clients, "clients", 1, "number of consumers, and of producers before")
	cmd.Flags().StringVar(&o.size, "size", "1GiB", "bytes to write and to read")
	return o.addTo(env, cmd, 5*time.Millisecond)
}

func benchCatchup(ctx context.Context, env *environment, o *catchupOptions) (err error) {
	recordSize, err := o.check(1)
	if err != nil {
		return err
	}
	size, err := config.ParseSize(o.size)
	if err != nil {
		return usagef("--size: %w", err)
	}
	opts, err := o.producer()
	if err != nil {
		return err
	}
	records := (size + int64(recordSize) - 1) / int64(recordSize)
	if err := checkAdmin(ctx, &o.benchOptions); err != nil {
		return err
	}
	topics, remove, err := benchTopics(ctx, env, &o.benchOptions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := o.fill(ctx, env, opts, topics, recordSize, records); err != nil {
		return err
	}
	result, err := o.read(ctx, env, topics, records)
	if err != nil {
		return err
	}
	return writeBench(env, result)
}

// fill writes the records, flat out.
func (o *catchupOptions) fill(ctx context.Context, env *environment, opts []kgo.Opt, topics []string, recordSize int, records int64) error {
	clients, closeAll, err := clientsOf(ctx, env, o.clients, func(int) []kgo.Opt { return opts })
	if err != nil {
		return err
	}
	defer closeAll()
	var meter bench.Meter
	l := producerLoad{topics: topics, clients: clients, count: records, value: func(i int) func(time.Time) []byte {
		payload := bench.NewPayload(recordSize, uint64(i))
		return func(time.Time) []byte { return payload.Next() }
	}, acked: func(r *kgo.Record, _ time.Time) { meter.Add(1, int64(len(r.Value))) }}
	line := newBenchLine(&meter)
	line.enter("writing " + grouped(records) + " records")
	shown := startProgress(env.err, line.text)
	defer shown.close()
	return l.run(ctx, func(context.Context) error { return nil })
}

// read reads them all.
func (o *catchupOptions) read(ctx context.Context, env *environment, topics []string, records int64) (*bench.Result, error) {
	var meter bench.Meter
	latency := bench.NewLatencies(bench.DefaultSamples)
	first, err := meter.Read(ctx, o.admin)
	if err != nil {
		return nil, err
	}
	shares := share(topics, o.partitions, o.clients)
	clients, closeAll, err := clientsOf(ctx, env, len(shares), func(i int) []kgo.Opt { return consumerOptions(shares[i]) })
	if err != nil {
		return nil, err
	}
	defer closeAll()
	line := newBenchLine(&meter)
	line.enter("reading " + grouped(records) + " records")
	shown := startProgress(env.err, line.text)
	defer shown.close()
	done, finish := context.WithCancel(ctx)
	defer finish()
	watched := make(chan error, 1)
	go func() { watched <- watchStall(done, &meter, finish) }()
	err = drain(done, clients, func(fetched kgo.Fetches, waited time.Duration) {
		fetched.EachRecord(func(r *kgo.Record) { meter.Add(1, int64(len(r.Value))) })
		latency.Add(waited)
		if meter.Records() >= records {
			finish()
		}
	})
	finish()
	err = errors.Join(err, <-watched)
	if meter.Records() < records && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	last, err := meter.Read(ctx, o.admin)
	if err != nil {
		return nil, err
	}
	result := bench.NewResult("catchup", o.setup(), first, last, latency.Quantiles())
	if len(o.admin) > 0 {
		result.AddCost(first, last)
	}
	return result, nil
}

// watchStall ends a read that gets nothing for longer than a user should wait.
func watchStall(ctx context.Context, meter *bench.Meter, stop func()) error {
	for last := int64(-1); ; {
		now := meter.Records()
		if now == last {
			stop()
			return fmt.Errorf("records are missing: none came for %s after %s", patience, grouped(now))
		}
		last = now
		if bench.SleepUntil(ctx, time.Now().Add(patience)) != nil {
			return nil
		}
	}
}

// share deals partitions out to at most so many consumers.
func share(topics []string, partitions, consumers int) []map[string][]int32 {
	shares := make([]map[string][]int32, min(consumers, partitions*len(topics)))
	n := 0
	for _, topic := range topics {
		for p := range int32(partitions) {
			i := n % len(shares)
			n++
			if shares[i] == nil {
				shares[i] = make(map[string][]int32)
			}
			shares[i][topic] = append(shares[i][topic], p)
		}
	}
	return shares
}

// consumerOptions are those of a client that reads its share from the beginning.
func consumerOptions(share map[string][]int32) []kgo.Opt {
	from := make(map[string]map[int32]kgo.Offset)
	for topic, partitions := range share {
		from[topic] = make(map[int32]kgo.Offset)
		for _, p := range partitions {
			from[topic][p] = kgo.NewOffset().AtStart()
		}
	}
	return []kgo.Opt{kgo.ConsumePartitions(from)}
}

// drain reads with all clients until ctx ends, which is no error.
func drain(ctx context.Context, clients []*kgo.Client, got func(fetched kgo.Fetches, waited time.Duration)) error {
	failing, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for failing.Err() == nil {
				start := time.Now()
				fetched := c.PollFetches(failing)
				if err := fetchError(fetched); err != nil {
					fail(err)
					return
				}
				if fetched.NumRecords() > 0 {
					got(fetched, time.Since(start))
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(failing)
}

// startReaders reads with all clients until stop, which tells what went wrong. So does the cause of reading's end.
func startReaders(ctx context.Context, clients []*kgo.Client, got func(r *kgo.Record, at time.Time)) (reading context.Context, stop func() error) {
	reading, end := context.WithCancelCause(ctx)
	done := make(chan error, 1)
	go func() {
		err := drain(reading, clients, func(fetched kgo.Fetches, _ time.Duration) {
			at := time.Now()
			fetched.EachRecord(func(r *kgo.Record) { got(r, at) })
		})
		if err != nil {
			end(err)
		}
		done <- err
	}()
	return reading, func() error {
		end(nil)
		return <-done
	}
}
