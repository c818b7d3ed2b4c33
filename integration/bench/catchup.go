package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	oldPartitions = 8
	oldBatch      = 128 << 10
	oldRounds     = 3
)

// catchUp writes records through one broker and reads them through another, which has nothing of them in memory; then the
// same objects without a broker.
func catchUp(ctx context.Context, m *machine) (s section, err error) {
	c, err := m.startCluster(ctx, 2, m.s3.Endpoint())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	old, err := makeOld(ctx, m, c, m.size.catchup)
	if err != nil {
		return s, err
	}
	s = newSection("reader", "MB/s, each round", "GET/GiB", "broker CPU, s/GiB")
	var plain, raw, library []float64
	for range oldRounds { // in turn, since the machine is not always as fast
		for _, round := range []struct {
			run  func() (float64, error)
			took *[]float64
		}{{old.plain, &plain}, {old.raw, &raw}, {old.library, &library}} {
			rate, err := round.run()
			if err != nil {
				return s, err
			}
			*round.took = append(*round.took, rate)
		}
	}
	s.row("8 parallel GETs of up to 4 MiB of the same objects, which throw away what they read", rates(plain), "-", "-")
	s.row("a consumer that looks at the headers of batches and no further", rates(raw), number(old.rawUse.gets), number(old.rawUse.cpu))
	s.row("a consumer of the library franz-go", rates(library), number(old.libraryUse.gets), number(old.libraryUse.cpu))
	s.outcome = fmt.Sprintf("%s of the plain loop; %s by a library that takes all records apart on the same cores",
		number(median(raw)/median(plain)), number(median(library)/median(plain)))
	s.note = fmt.Sprintf("%d partitions, batches of 128 KiB, %d MiB in all, written through another broker. The S3 server reads from the page cache. Ratios are of medians.",
		oldPartitions, m.size.catchup>>20)
	return s, nil
}

// oldRecords are read again and again.
type oldRecords struct {
	ctx     context.Context
	m       *machine
	c       *cluster
	topic   [16]byte
	written int64 // records

	rawUse, libraryUse oldUse // of the last round
}

// makeOld writes so much through the first broker.
func makeOld(ctx context.Context, m *machine, c *cluster, size int64) (*oldRecords, error) {
	ids, _, err := createTopics(ctx, c.addresses[0], 1, oldPartitions)
	if err != nil {
		return nil, err
	}
	written, err := writeOld(ctx, c.addresses[0], size)
	return &oldRecords{ctx: ctx, m: m, c: c, topic: ids[0], written: written}, err
}

// oldUse is what a read cost the broker, per GiB.
type oldUse struct{ gets, cpu float64 }

func (o *oldRecords) plain() (float64, error) { return o.m.plainGets(o.ctx, o.c.prefix) }

func (o *oldRecords) raw() (float64, error) {
	return o.measured(&o.rawUse, func() (int64, error) {
		return readRaw(o.ctx, o.c.addresses[1], o.topic, func(records int64) bool { return records >= o.written })
	})
}

func (o *oldRecords) library() (float64, error) {
	return o.measured(&o.libraryUse, func() (int64, error) { return readLibrary(o.ctx, o.c.addresses[1], o.written) })
}

// measured returns the MB/s of a read, which returns its bytes.
func (o *oldRecords) measured(use *oldUse, read func() (int64, error)) (float64, error) {
	const gets = `runnel_objstore_requests_total{op="get",outcome="ok"}`
	pid, admin := o.c.processes[1].Pid(), o.c.admins[1]
	before, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	asked, _ := metric(o.ctx, admin, gets) // there is none before the first
	start := time.Now()
	n, err := read()
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	after, err1 := cpuTime(pid)
	answered, err2 := metric(o.ctx, admin, gets)
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	gib := float64(n) / (1 << 30)
	*use = oldUse{gets: (answered - asked) / gib, cpu: (after - before).Seconds() / gib}
	return float64(n) / 1e6 / took.Seconds(), nil
}

// rates are MB/s in the order in which they were measured.
func rates(all []float64) string {
	var text []string
	for _, r := range all {
		text = append(text, number(r))
	}
	return strings.Join(text, ", ")
}

// writeOld writes records of 1 KiB, as producers do that have much to write, and returns how many.
func writeOld(ctx context.Context, address string, size int64) (records int64, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topicName(0)), kgo.ProducerBatchMaxBytes(oldBatch),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedBytes(64<<20), kgo.ProducerLinger(20*time.Millisecond),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	value := make([]byte, 1<<10)
	records = size / int64(len(value))
	for i := int64(0); i < records && ctx.Err() == nil; i++ {
		client.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(err)
			}
		})
	}
	return records, errors.Join(client.Flush(ctx), context.Cause(ctx))
}

// readRaw reads all partitions of a topic from the start on in one connection, until enough says so, and returns the
// bytes of their batches. It looks at the headers alone, so that it takes about as much of the machine as the plain loop.
func readRaw(ctx context.Context, address string, topic [16]byte, enough func(records int64) bool) (size int64, err error) {
	c, err := dial(ctx, address)
	if err != nil {
		return 0, err
	}
	defer c.close()
	var offsets [oldPartitions]int64
	var buf []byte
	for records := int64(0); !enough(records); {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MinBytes, req.MaxBytes, req.MaxWaitMillis, req.SessionEpoch = 13, 1, 50<<20, 500, -1
		t := kmsg.NewFetchRequestTopic()
		t.TopicID = topic
		for i, offset := range offsets {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.FetchOffset, p.PartitionMaxBytes = int32(i), offset, 1<<20
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
		n, err := c.send(frame(req))
		if err != nil {
			return size, err
		}
		if cap(buf) < n {
			buf = make([]byte, n+n/8)
		}
		if _, err := io.ReadFull(c.in, buf[:n]); err != nil {
			return size, err
		}
		resp := kmsg.NewPtrFetchResponse()
		resp.Version = 13
		if err := resp.ReadFrom(buf[5:n]); err != nil {
			return size, err
		}
		for i := range resp.Topics {
			for _, p := range resp.Topics[i].Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return size, err
				}
				for b := p.RecordBatches; len(b) > 0; {
					length := 12 + int(binary.BigEndian.Uint32(b[8:]))
					offsets[p.Partition] = int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[23:])) + 1
					records += int64(binary.BigEndian.Uint32(b[57:]))
					size += int64(length)
					b = b[length:]
				}
			}
		}
	}
	return size, nil
}

// readLibrary reads a topic as programs do.
func readLibrary(ctx context.Context, address string, records int64) (size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	at := map[int32]kgo.Offset{}
	for p := range int32(oldPartitions) {
		at[p] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topicName(0): at}),
		kgo.MetadataMaxAge(time.Hour))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for n := int64(0); n < records; {
		fetched := client.PollFetches(ctx)
		if err := errors.Join(fetched.Err(), ctx.Err()); err != nil {
			return size, err
		}
		n += int64(fetched.NumRecords())
		for it := fetched.RecordIter(); !it.Done(); {
			size += int64(len(it.Next().Value))
		}
	}
	return size, nil
}
