package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumeOptions are the flags of consume.
type consumeOptions struct {
	group      string
	from       string
	partitions []int32
	count      int64
	exit       bool
	format     string
	isolation  string
}

func newConsume(env *environment) *cobra.Command {
	var o consumeOptions
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Read records from topics",
		Long: "Read records from topics and write them to standard output.\n\n" +
			"--format is text (the value and a newline), json (a record a line), or a template of\n" +
			"  %s value    %k key      %t topic    %p partition    %o offset    %h headers\n" +
			"  %S and %K   bytes of value and key, -1 if there is none\n" +
			"  %T          timestamp in ms\n" +
			"  %%          a percent sign; \\n \\r \\t \\0 and \\xHH are what they are in C\n" +
			"which kcat would understand, too.",
		Example: "  runnel consume orders --exit\n" +
			"  runnel consume orders --group billing --format '%k: %s\\n'\n" +
			"  runnel consume orders --from -10 --format json\n" +
			"  runnel consume orders --from 2026-01-31T12:00:00Z --partition 2 --count 5",
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(env, 0, topicNames),
		RunE: func(cmd *cobra.Command, topics []string) error {
			return consume(cmd.Context(), env, topics, &o)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.group, "group", "g", "", "consumer group: share partitions with its members and commit offsets")
	flags.StringVarP(&o.from, "from", "o", "beginning", "where to start, in a group only where nothing is committed: beginning, end, "+
		"an offset, -N (the last N of each partition), 15m (that long ago), @MS or an RFC 3339 time")
	flags.Int32SliceVarP(&o.partitions, "partition", "p", nil, "`numbers` of the partitions to read; all if unset")
	flags.Lookup("partition").DefValue = ""
	flags.Int64VarP(&o.count, "count", "n", 0, "stop after so many records")
	flags.BoolVarP(&o.exit, "exit", "e", false, "stop at the end that the partitions had when the command started")
	flags.StringVarP(&o.format, "format", "f", "text", "text, json, or a template")
	flags.StringVar(&o.isolation, "isolation", "read_committed", "read_committed or read_uncommitted")
	completeWords(cmd, "isolation", "read_committed", "read_uncommitted")
	completeWords(cmd, "format", "text", "json")
	completeWords(cmd, "from", "beginning", "end")
	return clientFlags(env, cmd)
}

func (o *consumeOptions) client(topics []string, at kgo.Offset) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.ConsumeResetOffset(at), kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second)}
	switch o.isolation {
	case "read_committed":
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	case "read_uncommitted":
	default:
		return nil, usagef("--isolation must be read_committed or read_uncommitted, not %q", o.isolation)
	}
	switch {
	case o.group != "" && len(o.partitions) > 0:
		return nil, usagef("--partition does not go with --group: the group assigns partitions")
	case o.group != "":
		return append(opts, kgo.ConsumerGroup(o.group), kgo.ConsumeTopics(topics...), kgo.AutoCommitMarks()), nil
	case len(o.partitions) > 0:
		chosen := make(map[string]map[int32]kgo.Offset)
		for _, topic := range topics {
			chosen[topic] = make(map[int32]kgo.Offset)
			for _, p := range o.partitions {
				chosen[topic][p] = at
			}
		}
		return append(opts, kgo.ConsumePartitions(chosen)), nil
	}
	return append(opts, kgo.ConsumeTopics(topics...)), nil
}

func consume(ctx context.Context, env *environment, topics []string, o *consumeOptions) error {
	if env.json {
		o.format = "json"
	}
	render, err := newFormat(o.format)
	if err != nil {
		return err
	}
	from, err := parseFrom(o.from, time.Now())
	if err != nil {
		return err
	}
	opts, err := o.client(topics, from.offset())
	if err != nil {
		return err
	}
	until := newGoal()
	if o.group != "" && o.exit {
		opts = append(opts, until.followGroup()...)
	}
	if o.count < 0 {
		return usagef("--count must not be negative")
	}
	if err := checkTopics(ctx, env, topics, o.partitions); err != nil {
		return err
	}
	client, err := connect(ctx, env, opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	if o.exit {
		stretches, err := findStretches(ctx, kadm.NewClient(client), topics, from, o)
		if err != nil {
			return err
		}
		if o.isolation != "read_uncommitted" {
			if err := leaveOutAborted(ctx, client, topics, stretches); err != nil {
				return err
			}
		}
		until.set(stretches)
	}
	return writeRecords(ctx, env, client, until, render, o)
}

// checkTopics makes a topic or a partition that does not exist an error; the client library would wait for it.
func checkTopics(ctx context.Context, env *environment, topics []string, partitions []int32) error {
	admin, err := connectAdmin(ctx, env)
	if err != nil {
		return err
	}
	defer admin.Close()
	details, err := admin.ListTopics(ctx, topics...)
	if err != nil {
		return fmt.Errorf("look up topics: %w", err)
	}
	for _, d := range details.Sorted() {
		if d.Err != nil {
			return withDetail("topic "+d.Topic, d.Err, "")
		}
		for _, p := range partitions {
			if _, ok := d.Partitions[p]; !ok {
				return fmt.Errorf("topic %s has no partition %d: it has %s, from 0", d.Topic, p, plural(int64(len(d.Partitions)), "partition", "partitions"))
			}
		}
	}
	return nil
}

// reads tells whether the partition is among those asked for.
func (o *consumeOptions) reads(partition int32) bool {
	return len(o.partitions) == 0 || slices.Contains(o.partitions, partition)
}

// writeRecords writes records until the goal is reached or the user interrupts, which is the ordinary way to end it.
func writeRecords(ctx context.Context, env *environment, client *kgo.Client, until *goal, render format, o *consumeOptions) error {
	w := &recordWriter{out: bufio.NewWriterSize(env.out, 1<<16), render: render, limit: o.count}
	polling, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(until.done, stop)()
	var err error
	for err == nil && polling.Err() == nil && !w.full() {
		fetches := client.PollFetches(polling)
		if err = fetchError(fetches); err == nil {
			err = w.write(client, until, fetches)
		}
	}
	if o.group != "" {
		err = errors.Join(err, commit(ctx, client))
	}
	return err
}

// recordWriter writes what was fetched.
type recordWriter struct {
	out     *bufio.Writer
	render  format
	limit   int64 // records; 0: none
	written int64
}

func (w *recordWriter) full() bool { return w.limit > 0 && w.written >= w.limit }

// write writes the records of one poll up to the limit and the goal, and marks them to be committed.
func (w *recordWriter) write(client *kgo.Client, until *goal, fetches kgo.Fetches) error {
	for records := fetches.RecordIter(); !records.Done() && !w.full(); {
		r := records.Next()
		if until.beyond(r) {
			continue
		}
		if !r.Attrs.IsControl() {
			if err := w.render(w.out, r); err != nil {
				return fmt.Errorf("write record: %w", err)
			}
			w.written++
		}
		client.MarkCommitRecords(r)
		until.passed(r)
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return nil
}

// commit commits what was written, even after an interrupt.
func commit(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	return nil
}

// fetchError returns what went wrong, unless it is only that polling was told to stop.
func fetchError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, kgo.ErrClientClosed) {
			continue
		}
		subject := "consume"
		if e.Topic != "" {
			subject = fmt.Sprintf("consume %s, partition %d", e.Topic, e.Partition)
		}
		return withDetail(subject, e.Err, "")
	}
	return nil
}
