package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
	// What bounds the bytes on the disk of the machine: partitions keep lifeKept, segments are rewritten after lifeDelay, and
	// deleted objects stay for lifeGrace.
	lifeKept  = 20 << 20
	lifeDelay = 30 * time.Second
	lifeGrace = time.Minute
)

// lifeOfData writes as fast as the machine takes it, to many partitions, without the compactor for a while and then with it
// for long; then it reads a partition from its start.
func lifeOfData(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("compactor", "written, MB/s", "broker CPU, s/GiB", "rows in PostgreSQL, least / most, after the third minute", "tier 0 not rewritten yet, most, MiB",
		"tail p50 / p99 of each round, ms")
	without, err := m.ingest(ctx, &s, false, m.size.life/4)
	if err != nil {
		return s, err
	}
	with, err := m.ingest(ctx, &s, true, m.size.life)
	if err != nil {
		return s, err
	}
	compactor := (with.cpu - without.cpu) * with.gib / with.took.Seconds() / float64(runtime.NumCPU()) * 100
	tail := (median(with.tail99)/median(without.tail99) - 1) * 100
	s.outcome = fmt.Sprintf("rows %d to %d after the third minute; compactor %s %% of the CPU, behind by %s MiB at most, %s s at the end; tail p99 %s %% more; %s GET per 16 MiB; %s rows per GiB",
		with.leastRows, with.mostRows, number(compactor), number(with.behind/(1<<20)), number(with.catchUp.Seconds()), number(tail),
		number(with.getsPer16MiB), number(with.rowsPerGiB))
	s.note = fmt.Sprintf("One broker, %d partitions, batches as a producer without compression makes them of records of 1 KiB, for %v without and %v with the compactor. "+
		"Partitions keep %d MiB, segments are rewritten after %v, deleted objects stay for %v, so that the disk is large enough. The tail is a record every 20 ms of another topic. "+
		"The compactor's CPU is the difference of what the broker takes per GiB. When the producers have ended and the compactor has nothing left to do, one consumer reads a partition from its start; "+
		"rows per GiB are those of all tables then, by what was written.",
		lifePartitions, m.size.life/4, m.size.life, lifeKept>>20, lifeDelay, lifeGrace)
	return s, nil
}

// ingested is what a time of writing cost.
type ingested struct {
	took                time.Duration
	gib, cpu            float64 // written; s/GiB of the broker
	leastRows, mostRows int64
	behind              float64 // bytes
	tail99              []float64
	catchUp             time.Duration // of the compactor, after the end
	getsPer16MiB        float64
	rowsPerGiB          float64
}

func (m *machine) ingest(ctx context.Context, s *section, compactor bool, long time.Duration) (r ingested, err error) {
	c, err := m.startCluster(ctx, 1, m.s3.Endpoint(), "RUNNEL_COMPACTION_ENABLE="+strconv.FormatBool(compactor), "RUNNEL_GARBAGE_GRACE="+lifeGrace.String(),
		"RUNNEL_COMPACTION_DELAY="+lifeDelay.String())
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := createLifeTopic(ctx, c.addresses[0]); err != nil {
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
	go func() { wrote <- writeUntil(ctx, writing, c.addresses[0], &written) }()
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
	r.cpu = (after - cpu).Seconds() / r.gib
	if compactor {
		if err := r.afterwards(ctx, c, rows); err != nil {
			return r, err
		}
	}
	s.row(map[bool]string{false: "off", true: "on"}[compactor], number(float64(written.Load())/1e6/r.took.Seconds()), number(r.cpu),
		fmt.Sprintf("%d / %d", r.leastRows, r.mostRows), number(r.behind/(1<<20)), text)
	return r, nil
}

func createLifeTopic(ctx context.Context, address string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(client)
	defer admin.Close()
	kept := strconv.Itoa(lifeKept)
	_, err = admin.CreateTopic(ctx, lifePartitions, 1, map[string]*string{"retention.bytes": &kept}, topicName(0))
	return err
}

// lifeTail measures the tail in rounds until ctx ends, beginning when the load has settled.
func (m *machine) lifeTail(ctx context.Context, s *section, c *cluster, r *ingested) (text string, err error) {
	for ctx.Err() == nil {
		one, err := m.runnelBench(ctx, &s.commands, "e2e", "--bootstrap", c.bootstrap(), "--duration", "25s", "--rate", "50")
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
			r.behind = max(r.behind, behind)
		}
	}
}

// afterwards waits for the compactor, and reads.
func (r *ingested) afterwards(ctx context.Context, c *cluster, rows *rowCount) error {
	start := time.Now()
	for last := -1.0; ; { // until nothing is left in tier 0, and a minute brings nothing new
		done, err1 := metric(ctx, c.admins[0], "runnel_rewrite_read_bytes_total")
		left, err2 := metric(ctx, c.admins[0], "runnel_compaction_tier0_bytes")
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if done == last && left == 0 {
			break
		}
		if time.Since(start) > 20*time.Minute {
			return fmt.Errorf("the compactor does not come to an end: %.0f bytes are left", left)
		}
		last = done
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.catchUp = max(time.Since(start)-2*time.Minute, 0)
	n, err := rows.now(ctx)
	if err != nil {
		return err
	}
	r.rowsPerGiB = float64(n) / r.gib
	const gets = `runnel_objstore_requests_total{op="get",outcome="ok"}`
	before, err := metric(ctx, c.admins[0], gets)
	if err != nil {
		return err
	}
	size, err := readPartition(ctx, c.addresses[0], 0)
	if err != nil {
		return err
	}
	after, err := metric(ctx, c.admins[0], gets)
	if err != nil {
		return err
	}
	r.getsPer16MiB = (after - before) / (float64(size) / (16 << 20))
	return nil
}

// writeUntil writes records of 1 KiB until one context ends; the other is for the last answers.
func writeUntil(ctx, until context.Context, address string, written *atomic.Int64) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topicName(0)), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedBytes(64<<20), kgo.MaxBufferedRecords(60_000), kgo.ProducerLinger(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	value := make([]byte, 1<<10)
	for until.Err() == nil && ctx.Err() == nil {
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

// readPartition reads one partition of the first topic from its start to its end and returns the bytes of its values.
func readPartition(ctx context.Context, address string, partition int32) (size int64, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.FetchMaxPartitionBytes(8<<20),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topicName(0): {partition: kgo.NewOffset().AtStart()}}))
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
