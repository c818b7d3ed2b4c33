package chaos

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// finalWorker is who reads a topic in the end.
const finalWorker = 2000

// finalTimeout bounds the reading of a topic through one broker. Transactions that nobody ended are aborted by then.
const finalTimeout = time.Minute

// readFinally reads a topic from its start to its end, through each broker and in both isolation levels, once nothing is broken
// and nobody writes. A last record in each partition tells where the end is: behind what is aborted nothing else does.
func (c *cluster) readFinally(ctx context.Context, recorder *history.Recorder, topic string, partitions int32) error {
	ends, err := c.writeEnds(ctx, recorder, topic, partitions)
	if err != nil {
		return fmt.Errorf("write the last records: %w", err)
	}
	for i, b := range c.brokers {
		for j, isolation := range []history.Isolation{history.ReadCommitted, history.ReadUncommitted} {
			f := finalRead{recorder: recorder, topic: topic, ends: ends, isolation: isolation, name: fmt.Sprintf("final-%d-%d", i, j)}
			if err := f.run(ctx, b); err != nil {
				return fmt.Errorf("read %s through %s, %s: %w", topic, b.name, isolation, err)
			}
		}
	}
	return nil
}

// writeEnds writes a record to each partition, and returns where they are.
func (c *cluster) writeEnds(ctx context.Context, recorder *history.Recorder, topic string, partitions int32) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, finalTimeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.seeds()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.AllowIdempotentProduceCancellation()) // else a record that was sent is waited for whatever becomes of ctx
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends := make([]int64, partitions)
	for p := range partitions {
		r := history.Record{
			Partition: history.Partition{Topic: topic, Number: p}, Offset: -1, Key: finalWorker, Value: firstJavaValue<<1 + int64(p),
		}
		o := recorder.Begin(history.Operation{Kind: history.Produce, Worker: finalWorker, Client: "ends", Steps: []history.Step{{
			Begun: recorder.Moment(), Outcome: history.Unknown, Send: &r,
		}}})
		answer, err := client.ProduceSync(ctx, &kgo.Record{
			Topic: topic, Partition: p, Key: strconv.AppendInt(nil, r.Key, 10), Value: strconv.AppendInt(nil, r.Value, 10),
		}).First()
		if err != nil {
			return nil, err
		}
		r.Offset, ends[p] = answer.Offset, answer.Offset
		o.Steps[0].Ended, o.Steps[0].Outcome = recorder.Moment(), history.OK
		recorder.End(o, history.OK, nil)
	}
	return ends, nil
}

// finalRead is a reader of one broker.
type finalRead struct {
	recorder  *history.Recorder
	topic     string
	ends      []int64 // offsets of the last records
	isolation history.Isolation
	name      string
}

func (f finalRead) run(ctx context.Context, b *broker) error {
	ctx, cancel := context.WithTimeout(ctx, finalTimeout)
	defer cancel()
	assign := history.Operation{Kind: history.Assign, Worker: finalWorker, Client: f.name, Isolation: f.isolation, Final: true}
	from := map[int32]kgo.Offset{}
	for p := range f.ends {
		partition := history.Partition{Topic: f.topic, Number: int32(p)}
		assign.Partitions = append(assign.Partitions, partition)
		assign.Offsets = append(assign.Offsets, history.At{Partition: partition})
		from[int32(p)] = kgo.NewOffset().At(0)
	}
	isolation := kgo.ReadUncommitted()
	if f.isolation == history.ReadCommitted {
		isolation = kgo.ReadCommitted()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.topic: from}),
		kgo.FetchIsolationLevel(isolation), kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, b.Addr) // whoever is asked
		}))
	if err != nil {
		return err
	}
	defer client.Close()
	f.recorder.Happened(assign)
	for left := len(f.ends); left > 0; {
		o := f.recorder.Begin(history.Operation{Kind: history.Poll, Worker: finalWorker, Client: f.name, Isolation: f.isolation, Final: true})
		begun := f.recorder.Moment()
		fetches := client.PollFetches(ctx)
		records, err := decodeAll(fetches)
		if ctx.Err() != nil {
			f.recorder.End(o, history.Unknown, ctx.Err())
			return fmt.Errorf("%d partitions did not come to their end within %v", left, finalTimeout)
		}
		for _, r := range records {
			if r.Offset == f.ends[r.Number] {
				left--
			}
		}
		o.Steps = []history.Step{{Begun: begun, Ended: f.recorder.Moment(), Outcome: history.OK, Read: records}}
		f.recorder.End(o, history.OK, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeAll(fetches kgo.Fetches) (all []history.Record, err error) {
	fetches.EachRecord(func(r *kgo.Record) {
		out := history.Record{Partition: history.Partition{Topic: r.Topic, Number: r.Partition}, Offset: r.Offset}
		var errKey, errValue error
		out.Key, errKey = strconv.ParseInt(string(r.Key), 10, 64)
		out.Value, errValue = strconv.ParseInt(string(r.Value), 10, 64)
		if errKey != nil || errValue != nil {
			err = fmt.Errorf("nobody sent what is at %s/%d@%d: key %q, value %q", r.Topic, r.Partition, r.Offset, r.Key, r.Value)
		}
		all = append(all, out)
	})
	return all, err
}
