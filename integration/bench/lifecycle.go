package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	lifePartitions = 500
	lifeSample     = 10 * time.Second
	lifeRound      = 25 * time.Second // of the tail
	lifeQuiet      = 45 * time.Second // without anything rewritten: the compactor, which looks every 20 s, has nothing left to do
	// What bounds the bytes on the disk of the machine: partitions keep lifeKept, segments are rewritten after lifeDelay, or an
	// eighth of the time, deleted objects stay for lifeGrace, and what a phase leaves is removed. Some 40 GiB are needed.
	lifeKept  = 20 << 20
	lifeDelay = 30 * time.Second
	lifeGrace = time.Minute
)

// lifeOfData writes as fast as the machine takes it, to many partitions, with the compactor for long and without it for a while
// before and after that, so that what changes about the machine meanwhile is not taken for the compactor's; then it reads one of
// the partitions, and a large one, from their starts.
func lifeOfData(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("compactor", "written, MB/s", "broker CPU, s/GiB", "rows in PostgreSQL, least / most, after the third minute", "tier 0 not rewritten yet, most / at the end, MiB",
		"tail p50 / p99 of each round, ms", "p99, median (quartiles), ms")
	var without, with ingested
	for _, phase := range []struct {
		compactor bool
		long      time.Duration
	}{{false, m.size.life / 4}, {true, m.size.life}, {false, m.size.life / 4}} {
		r, err := m.ingest(ctx, &s, phase.compactor, phase.long)
		if err != nil {
			return s, err
		}
		if phase.compactor {
			with = r
			continue
		}
		without.gib, without.cpu = without.gib+r.gib, without.cpu+r.cpu
		without.tail99 = append(without.tail99, r.tail99...)
	}
	compactor := (with.cpu/with.gib - without.cpu/without.gib) * with.gib / with.took.Seconds() / float64(runtime.NumCPU()) * 100
	tail := (median(with.tail99)/median(without.tail99) - 1) * 100
	s.outcome = fmt.Sprintf("rows %d to %d after the third minute; compactor %s %% of the CPU, behind by %s MiB at most and %s at the end of writing, which it made up for in %s s; "+
		"tail p99 %s with and %s ms without, medians (quartiles) of %d and %d rounds: %+.1f %%; %s GET per 16 MiB of a partition of %d MiB, at %s MB/s (one of %d MiB: %s); %s rows per GiB",
		with.leastRows, with.mostRows, number(compactor), number(with.behind/(1<<20)), number(with.behindAtEnd/(1<<20)), number(with.catchUp.Seconds()),
		spread(with.tail99), spread(without.tail99), len(with.tail99), len(without.tail99), tail,
		number(with.large.getsPer16MiB), with.large.size>>20, number(with.large.rate), with.small.size>>20, number(with.small.getsPer16MiB), number(with.rowsPerGiB))
	s.note = fmt.Sprintf("One broker, %d partitions, batches as a producer without compression makes them of records of 1 KiB, for %v with the compactor and %v without it before and after that. "+
		"Partitions keep %d MiB, segments are rewritten after %v, deleted objects stay for %v, so that the disk is large enough. The tail is a record every 20 ms of another topic, in rounds of %v; "+
		"the first of each time, when nothing is to be rewritten yet, does not count if there are more than two. "+
		"The compactor's CPU is the difference of what the broker takes per GiB. When the producers have ended and the compactor has nothing left to do, one consumer with default settings reads a partition from its start; "+
		"rows per GiB are those of all tables then, by what was written. Its runs are as small as %d partitions make them, each with a GET. "+
		"Then a topic of one partition is written, of %d MiB, and read from its start when it is rewritten.",
		lifePartitions, m.size.life, m.size.life/4, lifeKept>>20, m.lifeDelay(), lifeGrace, m.lifeRound(), lifePartitions, m.size.large>>20)
	return s, nil
}

func (m *machine) lifeDelay() time.Duration { return min(lifeDelay, m.size.life/8) }

func (m *machine) lifeRound() time.Duration {
	return min(lifeRound, m.size.life/12).Truncate(time.Second)
}

// spread is the median and the quartiles.
func spread(all []float64) string {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s to %s)", number(median(sorted)), number(sorted[n/4]), number(sorted[n-1-n/4]))
}

// ingested is what a time of writing cost.
type ingested struct {
	took                time.Duration
	gib, cpu            float64 // written; s of the broker
	leastRows, mostRows int64
	behind, behindAtEnd float64       // bytes
	tail99              []float64     // of the rounds that count
	catchUp             time.Duration // of the compactor, after the end
	rowsPerGiB          float64
	small, large        fromStart
}

// fromStart is how a partition was read.
type fromStart struct {
	size         int64
	getsPer16MiB float64
	rate         float64 // MB/s
}

func (m *machine) ingest(ctx context.Context, s *section, compactor bool, long time.Duration) (r ingested, err error) {
	c, err := m.startCluster(ctx, 1, m.s3.Endpoint(), "RUNNEL_COMPACTION_ENABLE="+strconv.FormatBool(compactor), "RUNNEL_GARBAGE_GRACE="+lifeGrace.String(),
		"RUNNEL_COMPACTION_DELAY="+m.lifeDelay().String(), "RUNNEL_CLUSTER_LOG_RETENTION_CHECK_INTERVAL_MS=30000")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.stop(), m.s3.Forget(c.prefix)) }()
	kept := strconv.Itoa(lifeKept)
	if err := createLifeTopic(ctx, c.addresses[0], topicName(0), lifePartitions, map[string]*string{"retention.bytes": &kept}); err != nil {
		return r, err
	}
	rows, err := watchRows(ctx, c.dsn)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, rows.close(ctx)) }()
	writing, stop := context.WithTimeout(ctx, long)
	defer stop()
	var written atomic.Int64
	wrote := make(chan error, 1)
	go func() {
		wrote <- write(ctx, c.addresses[0], topicName(0), &written, func() bool { return writing.Err() == nil })
	}()
	sampled := make(chan error, 1)
	go func() { sampled <- r.sample(writing, c, rows) }()
	cpu, err := cpuTime(c.processes[0].Pid())
	if err != nil {
		return r, err
	}
	start := time.Now()
	text, err := m.lifeTail(writing, s, c, &r)
	err = errors.Join(err, <-wrote, <-sampled)
	if err != nil {
		return r, err
	}
	r.took = time.Since(start)
	after, err := cpuTime(c.processes[0].Pid())
	if err != nil {
		return r, err
	}
	r.gib = float64(written.Load()) / (1 << 30)
	r.cpu = (after - cpu).Seconds()
	if compactor {
		if err := r.afterwards(ctx, m, c, rows); err != nil {
			return r, err
		}
	}
	s.row(map[bool]string{false: "off", true: "on"}[compactor], number(float64(written.Load())/1e6/r.took.Seconds()), number(r.cpu/r.gib),
		fmt.Sprintf("%d / %d", r.leastRows, r.mostRows), number(r.behind/(1<<20))+" / "+number(r.behindAtEnd/(1<<20)), text, spread(r.tail99))
	return r, nil
}

func createLifeTopic(ctx context.Context, address, topic string, partitions int32, configs map[string]*string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(client)
	defer admin.Close()
	_, err = admin.CreateTopic(ctx, partitions, 1, configs, topic)
	return err
}

// lifeTail measures the tail in rounds until ctx ends.
func (m *machine) lifeTail(ctx context.Context, s *section, c *cluster, r *ingested) (text string, err error) {
	for ctx.Err() == nil {
		one, err := m.runnelBench(ctx, &s.commands, "e2e", "--bootstrap", c.bootstrap(), "--duration", m.lifeRound().String(), "--rate", "50")
		if ctx.Err() != nil {
			break // cut short
		}
		if err != nil {
			return text, err
		}
		if len(r.tail99) > 0 {
			text += ", "
			s.commands = s.commands[:len(s.commands)-1]
		}
		text += number(one.P50) + " / " + number(one.P99)
		r.tail99 = append(r.tail99, one.P99)
	}
	if len(r.tail99) > 2 {
		r.tail99 = r.tail99[1:]
	}
	return text, nil
}

// sample looks at rows and lag until ctx ends.
func (r *ingested) sample(ctx context.Context, c *cluster, rows *rowCount) error {
	tick := time.NewTicker(lifeSample)
	defer tick.Stop()
	for start := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n, err := rows.now(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if time.Since(start) > 3*time.Minute {
			if r.leastRows == 0 || n < r.leastRows {
				r.leastRows = n
			}
			r.mostRows = max(r.mostRows, n)
		}
		if behind, err := metric(ctx, c.admins[0], "runnel_compaction_tier0_bytes"); err == nil {
			r.behind, r.behindAtEnd = max(r.behind, behind), behind
		}
	}
}

// afterwards waits for the compactor, and reads.
func (r *ingested) afterwards(ctx context.Context, m *machine, c *cluster, rows *rowCount) (err error) {
	if r.catchUp, err = settle(ctx, c); err != nil {
		return err
	}
	n, err := rows.now(ctx)
	if err != nil {
		return err
	}
	r.rowsPerGiB = float64(n) / r.gib
	if r.small, err = readFromStart(ctx, c, topicName(0)); err != nil {
		return err
	}
	if err := createLifeTopic(ctx, c.addresses[0], topicName(1), 1, nil); err != nil {
		return err
	}
	var written atomic.Int64
	var asked int64
	if err := write(ctx, c.addresses[0], topicName(1), &written, func() bool {
		asked += lifeValue
		return asked <= m.size.large
	}); err != nil {
		return err
	}
	if _, err := settle(ctx, c); err != nil {
		return err
	}
	r.large, err = readFromStart(ctx, c, topicName(1))
	return err
}

// settle waits until nothing is left in tier 0 and nothing is rewritten for a while, and returns how long it took until then.
func settle(ctx context.Context, c *cluster) (took time.Duration, err error) {
	start := time.Now()
	changed := start
	for last := -1.0; ; {
		done, err1 := metric(ctx, c.admins[0], "runnel_rewrite_read_bytes_total")
		left, err2 := metric(ctx, c.admins[0], "runnel_compaction_tier0_bytes")
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		if done != last || left > 0 {
			last, changed = done, time.Now()
		}
		if time.Since(changed) >= lifeQuiet {
			return changed.Sub(start), nil
		}
		if time.Since(start) > 20*time.Minute {
			return 0, fmt.Errorf("the compactor does not come to an end: %.0f bytes are left", left)
		}
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

const lifeValue = 1 << 10 // bytes of a record

// write writes records while more says so, and waits for the last answers.
func write(ctx context.Context, address, topic string, written *atomic.Int64, more func() bool) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedBytes(64<<20), kgo.MaxBufferedRecords(60_000), kgo.ProducerLinger(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	value := make([]byte, lifeValue)
	for ctx.Err() == nil && more() {
		client.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(err)
				return
			}
			written.Add(int64(len(value)))
		})
	}
	return errors.Join(client.Flush(ctx), context.Cause(ctx))
}

// readFromStart reads the first partition of a topic from its start, and counts the GETs.
func readFromStart(ctx context.Context, c *cluster, topic string) (r fromStart, err error) {
	const gets = `runnel_objstore_requests_total{op="get",outcome="ok"}`
	before, err := metric(ctx, c.admins[0], gets)
	if err != nil {
		return r, err
	}
	start := time.Now()
	if r.size, err = readPartition(ctx, c.addresses[0], topic, 0); err != nil {
		return r, err
	}
	r.rate = float64(r.size) / 1e6 / time.Since(start).Seconds()
	after, err := metric(ctx, c.admins[0], gets)
	r.getsPer16MiB = (after - before) / (float64(r.size) / (16 << 20))
	return r, err
}

// readPartition reads one partition of a topic from its start to its end and returns the bytes of its values.
func readPartition(ctx context.Context, address, topic string, partition int32) (size int64, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return size, err
		}
		end := false
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, r := range p.Records {
				size += int64(len(r.Value))
				end = r.Offset+1 >= p.HighWatermark
			}
		})
		if end {
			return size, nil
		}
	}
}

// rowCount counts the rows of all tables.
type rowCount struct {
	conn  *pgx.Conn
	query string
}

func watchRows(ctx context.Context, dsn string) (*rowCount, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	var query string
	err = conn.QueryRow(ctx, `select 'select ' || string_agg(format('(select count(*) from %I.%I)', schemaname, tablename), ' + ')
		from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`).Scan(&query)
	return &rowCount{conn, query}, err
}

func (r *rowCount) close(ctx context.Context) error { return r.conn.Close(ctx) }

func (r *rowCount) now(ctx context.Context) (n int64, err error) {
	err = r.conn.QueryRow(ctx, r.query).Scan(&n)
	return n, err
}
