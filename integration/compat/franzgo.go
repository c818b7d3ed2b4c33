package compat

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franzGo is the Go client, in this process.
type franzGo struct{}

func (franzGo) Name() string           { return "franz-go" }
func (franzGo) Render(r Record) string { return r.Content(true) }

func (franzGo) Abilities() Abilities { return full }

var franzCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (franzGo) Produce(ctx context.Context, bootstrap, topic, codec string, records []Record) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(franzCodecs[codec]), kgo.AllowIdempotentProduceCancellation())
	if err != nil {
		return err
	}
	defer client.Close()
	var firstErr kgo.FirstErrPromise
	for _, r := range records {
		out := &kgo.Record{Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp)}
		for _, h := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader(h))
		}
		client.Produce(ctx, out, firstErr.Promise())
	}
	return firstErr.Err()
}

func (franzGo) Consume(ctx context.Context, bootstrap, topic, group string, count int) ([]Line, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var lines []Line
	err = poll(ctx, client, count, func(r *kgo.Record) {
		lines = append(lines, Line{r.Partition, r.Offset, fromKgo(r).Content(true)})
	})
	if err != nil {
		return nil, err
	}
	return lines, client.CommitUncommittedOffsets(ctx)
}

// ReadAll reads count records of a topic from its beginning, without a group: the reference that consumers are
// compared with. Stored tells, for each codec, how many of the records lay in batches compressed with it.
func ReadAll(ctx context.Context, bootstrap, topic string, count int) (records []Record, stored map[string]int, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	stored = map[string]int{}
	err = poll(ctx, client, count, func(r *kgo.Record) {
		records = append(records, fromKgo(r))
		stored[Codecs[r.Attrs.CompressionType()]]++
	})
	return records, stored, err
}

func poll(ctx context.Context, client *kgo.Client, count int, take func(*kgo.Record)) error {
	for seen := 0; seen < count; {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("%d of %d records read: %s/%d: %w", seen, count, errs[0].Topic, errs[0].Partition, errs[0].Err)
		}
		fetches.EachRecord(take)
		seen += fetches.NumRecords()
	}
	return nil
}

func fromKgo(r *kgo.Record) Record {
	out := Record{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header(h))
	}
	return out
}
