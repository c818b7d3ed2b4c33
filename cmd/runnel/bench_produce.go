package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/cmd/runnel/bench"
)

func newBenchProduce(env *environment) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "produce",
		Short: "Measure how fast records are written, and when they are acknowledged",
		Long: "Measure how fast records are written, and when they are acknowledged.\n\n" +
			"With a rate, a latency counts from when the record was due. Flat out, it counts from when the record was handed to\n" +
			"the client, and is mostly the time in the client's own buffer of 10,000 records.",
		Example: "  runnel bench produce --clients 4 --duration 30s --admin 127.0.0.1:9644\n" +
			"  runnel bench produce --rate 1000 --record-size 200 -z zstd",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return benchProduce(cmd.Context(), env, &o) },
	}
	cmd.Flags().IntVar(&o.clients, "clients", 1, "number of producers")
	cmd.Flags().Float64Var(&o.rate, "rate", 0, "records per second of all producers together; 0 is flat out")
	o.addTimes(cmd)
	return o.addTo(env, cmd, 5*time.Millisecond)
}

func benchProduce(ctx context.Context, env *environment, o *benchOptions) (err error) {
	size, err := o.check(1)
	if err != nil {
		return err
	}
	opts, err := o.producer()
	if err != nil {
		return err
	}
	if err := checkAdmin(ctx, o); err != nil {
		return err
	}
	topics, remove, err := benchTopics(ctx, env, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	clients, closeAll, err := clientsOf(ctx, env, o.clients, func(int) []kgo.Opt { return opts })
	if err != nil {
		return err
	}
	defer closeAll()

	var meter bench.Meter
	latency := bench.NewLatencies(bench.DefaultSamples)
	w := bench.NewWindow(time.Now(), o.warmup, o.duration)
	l := producerLoad{topics: topics, clients: clients, rate: o.rate, until: w.To, value: func(i int) func(time.Time) []byte {
		payload := bench.NewPayload(size, uint64(i))
		return func(time.Time) []byte { return payload.Next() }
	}, acked: func(r *kgo.Record, due time.Time) {
		meter.Add(1, int64(len(r.Value)))
		if w.Holds(due) {
			latency.Add(time.Since(due))
		}
	}}
	line := newBenchLine(&meter)
	shown := startProgress(env.err, line.text)
	go line.follow(ctx, w)
	var first, last bench.Reading
	err = l.run(ctx, func(ctx context.Context) (err error) {
		first, last, err = w.Measure(ctx, &meter, o.admin)
		return err
	})
	shown.close()
	if err != nil {
		return err
	}
	setup := o.setup()
	setup["rate"] = o.rate
	result := bench.NewResult("produce", setup, first, last, latency.Quantiles())
	if len(o.admin) > 0 {
		result.AddCost(first, last)
	}
	return writeBench(env, result)
}

// producerLoad is several clients that produce until a time or a number of records.
type producerLoad struct {
	topics  []string
	clients []*kgo.Client
	rate    float64                                     // of all together; 0: flat out
	until   time.Time                                   // zero: no end
	count   int64                                       // records of all together; 0: no end
	value   func(client int) func(due time.Time) []byte // makes the source of a client's values
	acked   func(r *kgo.Record, due time.Time)          // called concurrently
}

// run produces while measure runs beside, and returns when both have ended and all records were answered. The first
// error of any ends everything.
func (l *producerLoad) run(ctx context.Context, measure func(context.Context) error) error {
	failing, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	start := time.Now()
	for i, client := range l.clients {
		wg.Go(func() {
			if err := l.produce(failing, fail, client, i, bench.NewPace(start, l.rate, i, len(l.clients))); err != nil {
				fail(err)
			}
		})
	}
	if err := measure(failing); err != nil {
		fail(err)
	}
	wg.Wait()
	return context.Cause(failing)
}

func (l *producerLoad) produce(ctx context.Context, fail context.CancelCauseFunc, client *kgo.Client, number int, pace bench.Pace) error {
	value := l.value(number)
	for n := int64(0); l.count == 0 || n*int64(len(l.clients))+int64(number) < l.count; n++ {
		due, err := pace.Wait(ctx, n)
		if err != nil {
			return err
		}
		if !l.until.IsZero() && !due.Before(l.until) {
			break
		}
		record := &kgo.Record{Topic: l.topics[int(n)%len(l.topics)], Value: value(due)}
		client.Produce(ctx, record, func(r *kgo.Record, err error) {
			if err != nil {
				fail(withDetail("produce", err, ""))
				return
			}
			l.acked(r, due)
		})
	}
	return client.Flush(ctx)
}
