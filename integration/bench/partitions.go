package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// manyPartitions makes many topics through the protocol and looks at what they cost.
func manyPartitions(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("brokers", "what", "measured")
	for _, brokers := range []int{1, 3} {
		if err := manyPartitionsOn(ctx, m, &s, brokers); err != nil {
			return s, fmt.Errorf("%d brokers: %w", brokers, err)
		}
	}
	s.note = fmt.Sprintf("%d topics of 100 partitions. Memory is the first broker's live heap, as it is after a collection (GOGC=10), less what it was before the topics came. "+
		"A write is one record of 100 bytes to each partition from one idempotent producer, whose sequence numbers the broker remembers. "+
		"Clients that ask for metadata ask for all topics, and again as soon as they have read the answer. "+
		"A start is from the start of the process until it is ready.", m.size.topics)
	return s, nil
}

func manyPartitionsOn(ctx context.Context, m *machine, s *section, brokers int) error {
	row := func(what, measured, short string) {
		s.row(strconv.Itoa(brokers), what, measured)
		if short != "" {
			s.outcome += fmt.Sprintf("%d brokers, %s: %s. ", brokers, what, short)
		}
	}
	if err := partitionMemory(ctx, m, brokers, row); err != nil {
		return err
	}
	return partitionTimes(ctx, m, s, brokers, row)
}

// partitionMemory measures what partitions take of the first broker's heap.
func partitionMemory(ctx context.Context, m *machine, brokers int, row func(what, measured, short string)) (err error) {
	c, err := m.startCluster(ctx, brokers, m.s3.Endpoint(), "GOGC=10")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	empty, err := liveHeap(ctx, c.admins[0])
	if err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"memory per partition, never written", func() error {
			_, _, err := createTopics(ctx, c.addresses[0], m.size.topics, 100)
			return err
		}},
		{"memory per partition, written once", func() error { return writeToAll(ctx, c.addresses, m.size.topics) }},
	} {
		if err := step.do(); err != nil {
			return err
		}
		heap, err := liveHeap(ctx, c.admins[0])
		if err != nil {
			return err
		}
		per := number((heap-empty)/float64(100*m.size.topics)) + " bytes"
		row(step.what, per, per)
	}
	return nil
}

// partitionTimes measures how long it takes to make, list, load, grow and delete them.
func partitionTimes(ctx context.Context, m *machine, s *section, brokers int, row func(what, measured, short string)) (err error) {
	c, err := m.startCluster(ctx, brokers, m.s3.Endpoint())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	ids, took, err := createTopics(ctx, c.addresses[0], m.size.topics, 100)
	if err != nil {
		return err
	}
	row("create all in one request", seconds(took), "")
	for _, clients := range []int{1, 8} {
		profiled := m.profile(ctx, c, fmt.Sprintf("l-metadata-%d-%d", brokers, clients))
		r, err := askMetadata(ctx, c.addresses[0], clients, m.size.asking)
		if err = errors.Join(err, profiled()); err != nil {
			return err
		}
		times := fmt.Sprintf("%s / %s ms", number(r.p50), number(r.p99))
		row(fmt.Sprintf("Metadata p50 / p99, %d clients", clients), fmt.Sprintf("%s, %s answers/s of %d KiB", times, number(r.perS), r.size>>10), times)
	}
	for _, log := range []struct {
		name    string
		seconds string // of commits meanwhile
	}{{"start", ""}, {"start after many commits", m.size.seconds}} {
		took, held, err := restart(ctx, m, s, c, log.seconds)
		if err != nil {
			return err
		}
		row(log.name, seconds(took)+", "+held, seconds(took))
	}
	if took, err = growTopics(ctx, c.addresses[0], m.size.topics); err != nil {
		return err
	}
	row("grow all topics by 10 partitions, in one request", seconds(took), "")
	if took, err = deleteTopics(ctx, c.addresses[0], ids); err != nil {
		return err
	}
	row("delete all in one request", seconds(took), "")
	return nil
}

func seconds(d time.Duration) string { return number(d.Seconds()) + " s" }

// liveHeap is the least that a broker's heap is in the course of some collections.
func liveHeap(ctx context.Context, admin string) (float64, error) {
	const heap, collections = "go_memstats_heap_alloc_bytes", "go_gc_duration_seconds_count"
	began, err := metric(ctx, admin, collections)
	if err != nil {
		return 0, err
	}
	least := 0.0
	for {
		bytes, err := metric(ctx, admin, heap)
		if err != nil {
			return 0, err
		}
		if least == 0 || bytes < least {
			least = bytes
		}
		// The first may have begun before what is to be measured ended.
		if now, err := metric(ctx, admin, collections); err != nil || now >= began+8 {
			return least, err
		}
	}
}

// asked is how clients were answered.
type asked struct {
	p50, p99, perS float64 // ms, ms, answers
	size           int
}

// askMetadata lets clients ask for all topics for a time.
func askMetadata(ctx context.Context, address string, clients int, long time.Duration) (r asked, err error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	request := frame(req)
	var mu sync.Mutex
	var all []time.Duration
	var running sync.WaitGroup
	start := time.Now()
	for range clients {
		running.Go(func() {
			times, size, failed := askFor(ctx, address, request, start.Add(long))
			mu.Lock()
			defer mu.Unlock()
			all, err, r.size = append(all, times...), errors.Join(err, failed), size
		})
	}
	running.Wait()
	if err != nil {
		return r, fmt.Errorf("ask for metadata: %w", err)
	}
	r.perS = float64(len(all)) / time.Since(start).Seconds()
	slices.Sort(all)
	r.p50, r.p99 = quantile(all, 0.5), quantile(all, 0.99)
	return r, nil
}

func askFor(ctx context.Context, address string, request []byte, until time.Time) (times []time.Duration, size int, err error) {
	c, err := dial(ctx, address)
	if err != nil {
		return nil, 0, err
	}
	defer c.close()
	for len(times) == 0 || time.Now().Before(until) {
		start := time.Now()
		if size, err = c.send(request); err != nil {
			return nil, 0, err
		}
		if _, err := io.CopyN(io.Discard, c.in, int64(size)); err != nil {
			return nil, 0, err
		}
		times = append(times, time.Since(start))
	}
	return times, size, nil
}

// writeToAll sends a record to each partition.
func writeToAll(ctx context.Context, brokers []string, topics int) error {
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(100*topics))
	if err != nil {
		return err
	}
	defer producer.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var records []*kgo.Record
	value := make([]byte, 100)
	for i := range topics {
		for j := range 100 {
			records = append(records, &kgo.Record{Topic: topicName(i), Partition: int32(j), Value: value})
		}
	}
	if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("write to all partitions: %w", err)
	}
	return nil
}

// restart stops the first broker and measures how long it takes to start. Meanwhile others commit for some seconds, if
// that is asked for. held is what the log held at the start.
func restart(ctx context.Context, m *machine, s *section, c *cluster, seconds string) (took time.Duration, held string, err error) {
	if err := c.processes[0].Stop(syscall.SIGTERM, 40*time.Second); err != nil {
		return 0, "", err
	}
	if seconds != "" {
		if _, err := m.runnelBench(ctx, &s.commands, "commit", "--metastore", c.dsn, "--seconds", seconds, "--runs", "600", "--batches", "600"); err != nil {
			return 0, "", err
		}
	}
	if held, err = logHolds(ctx, c.dsn); err != nil {
		return 0, "", err
	}
	start := time.Now()
	err = c.startAgain(ctx, m, 0)
	return time.Since(start), held, err
}

func logHolds(ctx context.Context, dsn string) (string, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var size, after, bytes int64
	err = conn.QueryRow(ctx, `
		with newest as (select seq, octet_length(state) as size from snapshots order by seq desc limit 1)
		select coalesce((select size from newest), 0), count(*), coalesce(sum(octet_length(payload)), 0)
		from commit_log where seq > coalesce((select seq from newest), 0)`).Scan(&size, &after, &bytes)
	return fmt.Sprintf("from a snapshot of %s MiB and %d entries of %s MiB", number(float64(size)/(1<<20)), after, number(float64(bytes)/(1<<20))), err
}

// growTopics adds partitions to all topics.
func growTopics(ctx context.Context, address string, topics int) (time.Duration, error) {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = 3, 60_000
	for i := range topics {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = topicName(i), 110
		req.Topics = append(req.Topics, t)
	}
	return timed(ctx, address, req, func(resp kmsg.Response) (n int, err error) {
		for _, t := range resp.(*kmsg.CreatePartitionsResponse).Topics {
			err = errors.Join(err, kerr.ErrorForCode(t.ErrorCode))
			n++
		}
		return n, err
	}, topics)
}

func deleteTopics(ctx context.Context, address string, ids [][16]byte) (time.Duration, error) {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = 6, 60_000
	for _, id := range ids {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.TopicID = id
		req.Topics = append(req.Topics, t)
	}
	return timed(ctx, address, req, func(resp kmsg.Response) (n int, err error) {
		for _, t := range resp.(*kmsg.DeleteTopicsResponse).Topics {
			err = errors.Join(err, kerr.ErrorForCode(t.ErrorCode))
			n++
		}
		return n, err
	}, len(ids))
}

// timed asks once. topics counts those of an answer; there must be as many as wanted.
func timed(ctx context.Context, address string, req kmsg.Request, topics func(kmsg.Response) (int, error), want int) (time.Duration, error) {
	c, err := dial(ctx, address)
	if err != nil {
		return 0, err
	}
	defer c.close()
	start := time.Now()
	resp, err := c.ask(req)
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	n, err := topics(resp)
	if err == nil && n != want {
		err = fmt.Errorf("%d topics answered of %d", n, want)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return took, nil
}
