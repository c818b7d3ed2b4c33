package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produceOptions are the flags of produce.
type produceOptions struct {
	file         string
	format       string
	keySeparator string
	nullValue    string
	headers      []string
	timestamp    string
	partition    int32
	byKey        bool
	acks         string
	compression  string
	batchBytes   int32
	linger       time.Duration
}

func newProduce(env *environment) *cobra.Command {
	var o produceOptions
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Write records to a topic, from standard input or a file",
		Example: "  echo hello | runnel produce greetings\n" +
			"  runnel produce orders --key-separator : --compression zstd --file orders.txt\n" +
			"  runnel consume orders --format json --exit | runnel produce copy --format json --ignore-partition",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: completeNames(env, 1, topicNames),
		RunE: func(cmd *cobra.Command, names []string) error {
			return produce(cmd.Context(), env, names[0], &o)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.file, "file", "f", "", "`file` to read; standard input if unset")
	flags.StringVar(&o.format, "format", "lines", "form of the input: lines (a value each) or json (a record each, as consume writes it)")
	flags.StringVarP(&o.keySeparator, "key-separator", "k", "", `text between key and value in a line; \t is a tab`)
	flags.StringVar(&o.nullValue, "null-value", "", "value that stands for none: a tombstone")
	flags.StringArrayVarP(&o.headers, "header", "H", nil, "header of every record, as `name=value`; may be repeated")
	flags.StringVar(&o.timestamp, "timestamp", "", "timestamp of every record: ms since 1970 or RFC 3339; now if unset")
	flags.Int32VarP(&o.partition, "partition", "p", -1, "partition of every record; -1 chooses by key")
	flags.BoolVar(&o.byKey, "ignore-partition", false, "choose by key even where a JSON record names a partition")
	flags.StringVar(&o.acks, "acks", "all", "when a record counts as written: all, 1 or 0")
	flags.StringVarP(&o.compression, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	flags.Int32Var(&o.batchBytes, "batch-bytes", 1_000_000, "largest record batch")
	flags.DurationVar(&o.linger, "linger", 5*time.Millisecond, "how long a batch waits for more records")
	completeFiles(cmd, "file")
	completeWords(cmd, "format", "lines", "json")
	completeWords(cmd, "acks", "all", "1", "0")
	completeWords(cmd, "compression", slices.Sorted(maps.Keys(codecs))...)
	return clientFlags(env, cmd)
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (o *produceOptions) client() ([]kgo.Opt, error) {
	opts, err := producerOptions(o.compression, o.acks)
	if err != nil {
		return nil, err
	}
	return append(opts,
		kgo.ProducerBatchMaxBytes(o.batchBytes),
		kgo.ProducerLinger(o.linger),
		kgo.AllowAutoTopicCreation(), // the broker still decides
		kgo.UnknownTopicRetries(3),
		// No RecordDeliveryTimeout: it counts from a record's timestamp, which may be years ago. See patience.
		kgo.RecordPartitioner(choosePartition()),
	), nil
}

// producerOptions are those of the flags compression and acks.
func producerOptions(compression, acks string) ([]kgo.Opt, error) {
	codec, ok := codecs[compression]
	if !ok {
		return nil, usagef("--compression must be none, gzip, snappy, lz4 or zstd, not %q", compression)
	}
	opts := []kgo.Opt{kgo.ProducerBatchCompression(codec)}
	switch acks {
	case "all", "-1":
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, usagef("--acks must be all, 1 or 0, not %q", acks)
	}
	return opts, nil
}

func produce(ctx context.Context, env *environment, topic string, o *produceOptions) error {
	opts, err := o.client()
	if err != nil {
		return err
	}
	input, name, err := openInput(env, o.file)
	if err != nil {
		return err
	}
	defer input.Close()
	source, err := newRecordSource(input, o)
	if err != nil {
		return err
	}
	client, err := connect(ctx, env, opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	if o.file == "" && isTerminal(env.in) {
		fmt.Fprintln(env.err, "Type records, one a line. Ctrl-D ends.")
	}
	tally := newTally(topic)
	shown := env.err
	if o.file == "" && isTerminal(env.in) {
		shown = io.Discard // it would overwrite what is being typed
	}
	line := startProgress(shown, tally.line)
	err = pump(ctx, client, topic, name, source, tally)
	line.close()
	if failed := tally.failure(); failed != nil && !errors.Is(failed, context.Canceled) {
		err = failed // why a record failed says more than what followed from it
	}
	if env.json {
		return errors.Join(err, writeJSON(env.out, tally.json()))
	}
	if text := tally.summary(); err == nil || text != "" {
		fmt.Fprintln(env.err, cmp.Or(text, "nothing to produce"))
	}
	return err
}

// openInput opens the file, or takes standard input for "" and "-". The name is for messages.
func openInput(env *environment, file string) (input io.ReadCloser, name string, err error) {
	if file == "" || file == "-" {
		return io.NopCloser(env.in), "standard input", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", usagef("read records: %w", err)
	}
	return f, file, nil
}

// patience is how long no record at all is answered until a command gives up.
const patience = 30 * time.Second

// stalledError says that the brokers do not answer.
type stalledError struct{ topic string }

func (e *stalledError) Error() string {
	return fmt.Sprintf("produce to %s: no record was answered for %s", e.topic, patience)
}

// pump produces everything that the source has, and returns when all of it was answered. Reading goes on in a goroutine
// of its own, so that an interrupt is heeded while a terminal or pipe is silent.
func pump(ctx context.Context, client *kgo.Client, topic, name string, source *recordSource, t *tally) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	records := make(chan *kgo.Record, 1024)
	ended := make(chan error, 1)
	go func() {
		defer close(records)
		ended <- source.each(func(r *kgo.Record) error {
			select {
			case records <- r:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	go t.watch(ctx, func() { cancel(&stalledError{topic}) })
	answered := func(r *kgo.Record, err error) {
		if t.add(r, err) {
			cancel(err) // the rest would be written out of order, behind a hole
		}
	}
	for {
		select {
		case r, more := <-records:
			if !more {
				return finish(ctx, client, name, <-ended)
			}
			r.Topic = topic
			t.sent()
			client.Produce(ctx, r, answered)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// finish waits for what is under way after the source ended.
func finish(ctx context.Context, client *kgo.Client, name string, ended error) error {
	err := client.Flush(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx) // says more than Flush, which only knows that it was told to stop
	}
	if ended != nil {
		return errors.Join(err, fmt.Errorf("read %s: %w", name, ended))
	}
	return err
}
