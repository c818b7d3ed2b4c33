package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/cmd/runnel/bench"
)

// e2eOptions are the flags of bench e2e.
type e2eOptions struct {
	benchOptions
	produceVia, consumeVia string
	samples                string // file
}

func newBenchE2E(env *environment) *cobra.Command {
	var o e2eOptions
	cmd := &cobra.Command{
		Use:   "e2e",
		Short: "Measure the time from a record's making until a consumer has it",
		Long: "Measure the time from when a record was due until a consumer has it. As many consumers as producers read, each\n" +
			"its share of the partitions, in this process, so that one clock tells both times. It fails if a record is missing.\n\n" +
			"--produce-via and --consume-via send clients to one broker, whichever leads a partition. Any Runnel broker serves\n" +
			"any partition, so that measures the way through two of them; other brokers refuse.\n\n" +
			"--samples writes every latency to a file of CSV, to be told apart by when a record was due: in microseconds since\n" +
			"1970, the kind (produce, until the answer, or e2e), and the latency in microseconds.",
		Example: "  runnel bench e2e --rate 50\n" +
			"  runnel bench e2e --rate 50 --produce-via 10.0.0.1:9092 --consume-via 10.0.0.2:9092",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return benchE2E(cmd.Context(), env, &o) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.clients, "clients", 1, "number of producers, and of consumers")
	flags.Float64Var(&o.rate, "rate", 100, "records per second of all producers together; 0 is flat out")
	flags.StringVar(&o.produceVia, "produce-via", "", "broker to which producers connect, whichever leads a partition")
	flags.StringVar(&o.consumeVia, "consume-via", "", "broker to which consumers connect, whichever leads a partition")
	flags.StringVar(&o.samples, "samples", "", "file to write every latency to")
	o.addTimes(cmd)
	return o.addTo(env, cmd, 0)
}

// stampBytes of a value are the time when its record was due.
const stampBytes = 8

// restTimeout is how long consumers may take for the rest after the producers ended.
const restTimeout = 30 * time.Second

func benchE2E(ctx context.Context, env *environment, o *e2eOptions) (err error) {
	size, err := o.check(stampBytes)
	if err != nil {
		return err
	}
	opts, err := o.producer()
	if err != nil {
		return err
	}
	if err := checkAdmin(ctx, &o.benchOptions); err != nil {
		return err
	}
	topics, remove, err := benchTopics(ctx, env, &o.benchOptions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	producers, closeProducers, err := clientsOf(ctx, env, o.clients, func(int) []kgo.Opt { return append(opts, via(o.produceVia)...) })
	if err != nil {
		return err
	}
	defer closeProducers()
	shares := share(topics, o.partitions, o.clients)
	consumers, closeConsumers, err := clientsOf(ctx, env, len(shares), func(i int) []kgo.Opt {
		return append(consumerOptions(shares[i]), via(o.consumeVia)...)
	})
	if err != nil {
		return err
	}
	defer closeConsumers()
	samples, err := bench.NewSamples(o.samples)
	if err != nil {
		return err
	}
	result, err := o.measure(ctx, env, topics, producers, consumers, size, samples)
	if err = errors.Join(err, samples.Close()); err != nil {
		return err
	}
	return writeBench(env, result)
}

func (o *e2eOptions) measure(ctx context.Context, env *environment, topics []string, producers, consumers []*kgo.Client, size int,
	samples *bench.Samples) (*bench.Result, error) {
	base := time.Now()
	w := bench.NewWindow(base, o.warmup, o.duration)
	var meter bench.Meter
	latency, acks := bench.NewLatencies(bench.DefaultSamples), bench.NewLatencies(bench.DefaultSamples)
	var written atomic.Int64
	l := producerLoad{topics: topics, clients: producers, rate: o.rate, until: w.To, value: func(i int) func(time.Time) []byte {
		payload := bench.NewPayload(size, uint64(i))
		return func(due time.Time) []byte {
			v := append([]byte(nil), payload.Next()...)
			binary.BigEndian.PutUint64(v, uint64(due.Sub(base)))
			return v
		}
	}, acked: func(_ *kgo.Record, due time.Time) {
		written.Add(1)
		if w.Holds(due) {
			took := time.Since(due)
			acks.Add(took)
			samples.Add("produce", due, took)
		}
	}}
	reading, stop := startReaders(ctx, consumers, func(r *kgo.Record, at time.Time) {
		meter.Add(1, int64(len(r.Value)))
		if due := base.Add(time.Duration(binary.BigEndian.Uint64(r.Value))); w.Holds(due) {
			latency.Add(at.Sub(due))
			samples.Add("e2e", due, at.Sub(due))
		}
	})
	line := newBenchLine(&meter)
	shown := startProgress(env.err, line.text)
	go line.follow(ctx, w)
	var first, last bench.Reading
	err := l.run(reading, func(ctx context.Context) (err error) {
		first, last, err = w.Measure(ctx, &meter, o.admin)
		return err
	})
	if err == nil && o.acks != "0" {
		err = awaitAll(reading, &meter, written.Load())
	}
	shown.close()
	if err = errors.Join(stop(), err); err != nil {
		return nil, err
	}
	setup := o.setup()
	setup["rate"], setup["produce_via"], setup["consume_via"] = o.rate, o.produceVia, o.consumeVia
	result := bench.NewResult("e2e", setup, first, last, latency.Quantiles())
	result.AddAcks(acks.Quantiles())
	if len(o.admin) > 0 {
		result.AddCost(first, last)
	}
	return result, nil
}

// awaitAll waits until as many records were read as were written.
func awaitAll(ctx context.Context, read *bench.Meter, written int64) error {
	deadline := time.Now().Add(restTimeout)
	for read.Records() < written {
		if time.Now().After(deadline) {
			return fmt.Errorf("records are missing: %s written, %s read %s later", grouped(written), grouped(read.Records()), restTimeout)
		}
		if err := bench.SleepUntil(ctx, time.Now().Add(5*time.Millisecond)); err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// via makes a client connect to one broker whatever address it is told; "" leaves it alone.
func via(address string) []kgo.Opt {
	if address == "" {
		return nil
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	return []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	})}
}
