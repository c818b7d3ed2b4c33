package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/cmd/runnel/bench"
)

// benchOptions are the flags that the benchmarks of a cluster share.
type benchOptions struct {
	topics      int
	partitions  int
	replication int16
	recordSize  string
	acks        string
	compression string
	batchBytes  int32
	linger      time.Duration
	clients     int
	rate        float64
	warmup      time.Duration
	duration    time.Duration
	admin       []string
}

func newBench(env *environment) *cobra.Command {
	cmd := parent("bench", "Measure a cluster, or a metastore", newBenchProduce(env), newBenchE2E(env), newBenchCatchup(env), newBenchCommit(env))
	cmd.Long = "Measure a cluster, or a metastore.\n\n" +
		"Topics get a random name and are deleted at the end. MB are millions of bytes, GiB are 2^30, both of the records'\n" +
		"values before compression. Latencies are exact up to eight million samples, and of a random sample of so many beyond.\n" +
		"--admin reads the brokers' metrics before and after: CPU, requests to the object store and commits then count\n" +
		"everything that the brokers did meanwhile, so nobody else should be using them."
	return cmd
}

// addTo gives a command the flags.
func (o *benchOptions) addTo(env *environment, cmd *cobra.Command, linger time.Duration) *cobra.Command {
	flags := cmd.Flags()
	flags.IntVar(&o.topics, "topics", 1, "number of topics")
	flags.IntVar(&o.partitions, "partitions", 8, "partitions of each topic")
	flags.Int16Var(&o.replication, "replication-factor", -1, "replication factor of the topics; -1 is the cluster's default")
	flags.StringVar(&o.recordSize, "record-size", "1KiB", "size of a record's value")
	flags.StringVar(&o.acks, "acks", "all", "when a record counts as written: all, 1 or 0")
	flags.StringVarP(&o.compression, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	flags.Int32Var(&o.batchBytes, "batch-bytes", 1_000_000, "largest record batch")
	flags.DurationVar(&o.linger, "linger", linger, "how long a batch waits for more records in the client")
	flags.StringSliceVar(&o.admin, "admin", nil, "admin addresses of all brokers, host:port, to read their metrics at")
	return clientFlags(env, cmd)
}

// addTimes adds the flags of benchmarks that run for a time.
func (o *benchOptions) addTimes(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.DurationVar(&o.warmup, "warmup", 2*time.Second, "time that does not count, at the beginning")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "time that counts")
}

// check tells mistakes, and the size of a record.
func (o *benchOptions) check(smallest int) (recordSize int, err error) {
	size, err := config.ParseSize(o.recordSize)
	switch {
	case err != nil:
		return 0, usagef("--record-size: %w", err)
	case size < int64(smallest) || size > 1<<30:
		return 0, usagef("--record-size must be between %d B and 1 GiB", smallest)
	case o.topics < 1 || o.partitions < 1 || o.clients < 1:
		return 0, usagef("--topics, --partitions and --clients must be positive")
	case o.rate < 0:
		return 0, usagef("--rate must not be negative")
	case o.duration < 0 || o.warmup < 0:
		return 0, usagef("--duration and --warmup must not be negative")
	}
	return int(size), nil
}

// producer are the options of a producing client.
func (o *benchOptions) producer() ([]kgo.Opt, error) {
	opts, err := producerOptions(o.compression, o.acks)
	if err != nil {
		return nil, err
	}
	if o.acks == "1" || o.acks == "0" {
		opts = append(opts, kgo.MaxProduceRequestsInflightPerBroker(5)) // as with idempotence, and as Java's producer
	}
	return append(opts, kgo.ProducerBatchMaxBytes(o.batchBytes), kgo.ProducerLinger(o.linger), kgo.UnknownTopicRetries(20)), nil
}

// setup is what the report says of the load.
func (o *benchOptions) setup() map[string]any {
	return map[string]any{
		"topics": o.topics, "partitions": o.partitions, "record_size": o.recordSize, "acks": o.acks, "compression": o.compression,
		"clients": o.clients, "batch_bytes": o.batchBytes, "linger": o.linger.String(),
	}
}

// benchTopics makes the topics of a benchmark. remove deletes them, also after an interrupt.
func benchTopics(ctx context.Context, env *environment, o *benchOptions) (names []string, remove func() error, err error) {
	admin, err := connectAdmin(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	stem := benchName()
	for i := range o.topics {
		names = append(names, fmt.Sprintf("%s-%d", stem, i))
	}
	remove = func() error {
		defer admin.Close()
		deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryTimeout)
		defer cancel()
		deleted, err := admin.DeleteTopics(deleting, names...)
		if err == nil {
			err = deleted.Error()
		}
		if err != nil {
			return fmt.Errorf("delete topics %s: %w", strings.Join(names, ", "), err)
		}
		return nil
	}
	created, err := admin.CreateTopics(ctx, int32(o.partitions), o.replication, nil, names...)
	if err != nil {
		admin.Close()
		return nil, nil, fmt.Errorf("create topics: %w", err)
	}
	for _, c := range created {
		if c.Err != nil {
			return nil, nil, errors.Join(withDetail("create topic "+c.Topic, c.Err, c.ErrMessage), forget(created, admin))
		}
	}
	return names, remove, nil
}

// forget deletes those topics that were created.
func forget(created kadm.CreateTopicResponses, admin *kadm.Client) error {
	defer admin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), retryTimeout)
	defer cancel()
	var names []string
	for _, c := range created {
		if c.Err == nil {
			names = append(names, c.Topic)
		}
	}
	if len(names) == 0 {
		return nil
	}
	_, err := admin.DeleteTopics(ctx, names...)
	return err
}

func benchName() string { return fmt.Sprintf("runnel-bench-%08x", rand.Uint32()) }

// checkAdmin makes an address where no broker tells its metrics an error before anything is measured.
func checkAdmin(ctx context.Context, o *benchOptions) error {
	if _, err := bench.Scrape(ctx, o.admin); err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	return nil
}

// clientsOf connects several clients.
func clientsOf(ctx context.Context, env *environment, n int, opts func(i int) []kgo.Opt) (clients []*kgo.Client, closeAll func(), err error) {
	closeAll = func() {
		for _, c := range clients {
			c.Close()
		}
	}
	for i := range n {
		c, err := connect(ctx, env, opts(i)...)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		clients = append(clients, c)
	}
	return clients, closeAll, nil
}
