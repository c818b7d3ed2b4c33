package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/runnel-io/runnel/integration/history"
)

// How much one fetch asks for of a partition: much, or so little that most answers end, and most fetches begin, inside of
// what was written at once.
const (
	fetchBytes = 64 << 10
	fewBytes   = 250
)

// probe asks one broker by itself, whomever the metadata names as the leader.
type probe struct {
	*client
	address string
	byIDs   bool // it names topics by their ids, of those that were made again and again
}

func (r *run) newProbe(ctx context.Context, address, name string) (*probe, error) {
	c, err := r.newClient(ctx, name, kgo.SeedBrokers(address), kgo.MaxVersions(byNames()))
	return &probe{client: c, address: address}, err
}

func (r *run) newProbeByIDs(ctx context.Context, address, name string) (*probe, error) {
	c, err := r.newClient(ctx, name, kgo.SeedBrokers(address), kgo.MaxVersions(kversion.Stable()))
	return &probe{client: c, address: address, byIDs: true}, err
}

// probes makes one of every broker. The caller abandons them.
func (r *run) probes(ctx context.Context, name string, of func(context.Context, string, string) (*probe, error)) ([]*probe, error) {
	var all []*probe
	for i, address := range r.Brokers {
		p, err := of(ctx, address, fmt.Sprintf("%s-%d", name, i))
		if err != nil {
			abandonAll(all)
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func abandonAll(probes []*probe) {
	for _, p := range probes {
		p.abandon()
	}
}

func (p *probe) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return p.SeedBrokers()[0].Request(ctx, req)
}

func levelOf(isolation history.Isolation) int8 {
	if isolation == history.ReadCommitted {
		return 1
	}
	return 0
}

// fetched is what a broker has of a partition, and tells of its borders.
type fetched struct {
	marks   history.Marks
	records []history.Record
	next    int64
	err     error
}

// fetch reads from each partition once, at most so many bytes, and does not wait for records. The answers are in the order of the question.
func (r *run) fetch(ctx context.Context, p *probe, isolation history.Isolation, from []history.At, most int32) ([]fetched, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.IsolationLevel = 1<<20, levelOf(isolation)
	for _, at := range from {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = at.Topic
		if p.byIDs {
			topic.TopicID = r.again.id(at.Topic)
		}
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = at.Number, at.Offset, most
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != at.Topic {
			req.Topics = append(req.Topics, topic)
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, partition)
	}
	answer, err := p.ask(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	told := map[history.Partition]fetched{}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if p.byIDs {
			t.Topic = r.again.name(t.TopicID)
		}
		for j := range t.Partitions {
			told[history.Partition{Topic: t.Topic, Number: t.Partitions[j].Partition}] = r.open(isolation, t.Topic, &t.Partitions[j], from)
		}
	}
	out := make([]fetched, len(from))
	for i, at := range from {
		got, ok := told[at.Partition]
		if !ok {
			got = fetched{next: at.Offset, err: fmt.Errorf("the answer is without %s/%d", at.Topic, at.Number)}
		}
		out[i] = got
	}
	return out, nil
}

// open takes a partition's answer apart.
func (r *run) open(isolation history.Isolation, topic string, resp *kmsg.FetchResponseTopicPartition, from []history.At) fetched {
	partition := history.Partition{Topic: topic, Number: resp.Partition}
	out := fetched{marks: history.Marks{Partition: partition, LogStart: resp.LogStartOffset, High: resp.HighWatermark, Stable: resp.LastStableOffset}}
	o := kgo.ProcessFetchPartitionOpts{Topic: topic, Partition: resp.Partition, IsolationLevel: kgo.ReadUncommitted()}
	if isolation == history.ReadCommitted {
		o.IsolationLevel = kgo.ReadCommitted()
	}
	for _, at := range from {
		if at.Partition == partition {
			o.Offset = at.Offset
		}
	}
	got, next := kgo.ProcessFetchPartition(o, resp, kgo.DefaultDecompressor(), nil)
	out.next, out.err = max(next, o.Offset), got.Err
	for _, record := range got.Records {
		out.records = append(out.records, r.decoded(record))
	}
	return out
}

// latest asks for the end of a partition: the last stable offset, or the high watermark.
func (p *probe) latest(ctx context.Context, isolation history.Isolation, partition history.Partition) (int64, error) {
	offset, _, err := p.list(ctx, isolation, partition, latest)
	return offset, err
}

// Timestamps that ListOffsets takes for borders.
const (
	latest   = -1
	earliest = -2
)

// list asks for the offset, and the time, of the first record with a timestamp or a later one.
func (p *probe) list(ctx context.Context, isolation history.Isolation, partition history.Partition, timestamp int64) (offset, told int64, err error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel = levelOf(isolation)
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = partition.Topic
	asked := kmsg.NewListOffsetsRequestTopicPartition()
	asked.Partition, asked.Timestamp = partition.Number, timestamp
	topic.Partitions = append(topic.Partitions, asked)
	req.Topics = append(req.Topics, topic)
	answer, err := p.ask(ctx, req)
	if err != nil {
		return 0, 0, err
	}
	resp := answer.(*kmsg.ListOffsetsResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, 0, errors.New("asked for one partition's end, told others")
	}
	row := resp.Topics[0].Partitions[0]
	return row.Offset, row.Timestamp, kerr.ErrorForCode(row.ErrorCode)
}

// observer follows the active partitions as one broker shows them. Its lives end when the broker does not answer.
type observer struct {
	*run
	number  int
	address string
	lives   int
	fresh   bool // nothing was read in this life yet
	wanders bool
	ticks   int
	views   [2]view
}

// view is one isolation's.
type view struct {
	isolation history.Isolation
	client    string
	at        []history.At
}

func (r *run) newObserver(number int, address string) *observer {
	return &observer{run: r, number: number, address: address}
}

// wander has an observer read from another broker each time, and go on where it was, as consumers do whose broker goes
// away. All brokers give the same offsets, and one that is behind says that it does not know, not that there is nothing.
func (o *observer) wander(ctx, load context.Context) error {
	probes, err := o.probes(ctx, "wanderer", o.newProbe)
	if err != nil {
		return err
	}
	defer abandonAll(probes)
	o.wanders = true
	o.reborn()
	for r := rand.New(rand.NewPCG(o.Seed, uint64(o.number))); pause(load, o.Observe); {
		p := probes[r.IntN(len(probes))]
		o.address = p.address
		o.tick(ctx, p)
	}
	return nil
}

// observe runs until load ends.
func (o *observer) observe(ctx, load context.Context) error {
	p, err := o.newProbe(ctx, o.address, fmt.Sprintf("observer-%d", o.number))
	if err != nil {
		return err
	}
	defer p.abandon()
	o.reborn()
	for pause(load, o.Observe) {
		o.tick(ctx, p)
	}
	return nil
}

// reborn forgets everything: the next life reads from the start.
func (o *observer) reborn() {
	if o.fresh {
		return
	}
	o.lives++
	o.fresh = true
	for i, isolation := range []history.Isolation{history.ReadCommitted, history.ReadUncommitted} {
		o.views[i] = view{isolation: isolation, client: fmt.Sprintf("observer-%d-%d-%s", o.number, o.lives, isolation)}
	}
}

// tick reads with one isolation, and each fourth time asks for the ends as well.
func (o *observer) tick(ctx context.Context, p *probe) {
	ctx, cancel := context.WithTimeout(ctx, o.Operation)
	defer cancel()
	o.ticks++
	v := &o.views[o.ticks%2]
	o.follow(v)
	if len(v.at) == 0 {
		return
	}
	if err := o.read(ctx, p, v); err != nil {
		if !o.wanders {
			o.reborn()
		}
		return
	}
	o.fresh = false
	if o.ticks%4 == 0 {
		partition := v.at[o.ticks/4%len(v.at)].Partition
		o.marksByList(ctx, p, partition)
		o.endOfEpoch(ctx, p, partition)
		o.findOffset(ctx, o.number, p, partition, time.Now().UnixMilli()-int64(o.ticks%7)*1000, false)
	}
}

// follow takes up what has become active, and drops what is no more. Positions of the others stay.
func (o *observer) follow(v *view) {
	active := o.keys.active()
	var at []history.At
	changed := len(active) != len(v.at)
	for _, p := range active {
		next := history.At{Partition: p}
		known := false
		for _, old := range v.at {
			if old.Partition == p {
				next, known = old, true
			}
		}
		changed = changed || !known
		at = append(at, next)
	}
	if !changed {
		return
	}
	v.at = at
	o.Recorder.Happened(history.Operation{
		Kind: history.Assign, Worker: o.number, Client: v.client, Isolation: v.isolation, Broker: o.address, Partitions: active,
		Offsets: append([]history.At(nil), at...),
	})
}

// read reads all partitions of a view as one poll, and notes the borders that the broker tells with it.
func (o *observer) read(ctx context.Context, p *probe, v *view) error {
	poll := o.Recorder.Begin(history.Operation{Kind: history.Poll, Worker: o.number, Client: v.client, Isolation: v.isolation, Broker: o.address})
	step := history.Step{Begun: o.Recorder.Moment(), Outcome: history.OK}
	marks := make([]*history.Operation, len(v.at))
	for i := range v.at {
		marks[i] = o.Recorder.Begin(history.Operation{Kind: history.Observe, Worker: o.number, Client: v.client, Broker: o.address, Isolation: v.isolation})
	}
	most := int32(fetchBytes)
	if o.ticks%3 == 0 {
		most = fewBytes
	}
	got, err := o.fetch(ctx, p, v.isolation, v.at, most)
	for i, mark := range marks {
		if err != nil {
			o.Recorder.End(mark, history.Failed, err)
			continue
		}
		o.endMark(mark, got[i].marks, got[i].err)
		step.Read = append(step.Read, got[i].records...)
		v.at[i].Offset = got[i].next
		if got[i].err != nil {
			step.Error = fmt.Sprintf("%s/%d: %v", v.at[i].Topic, v.at[i].Number, got[i].err)
		}
	}
	outcome := history.OK
	if err != nil {
		outcome, step.Outcome = history.Failed, history.Failed
	}
	step.Ended = o.Recorder.Moment()
	poll.Steps = []history.Step{step}
	o.Recorder.End(poll, outcome, err)
	for i, g := range got {
		if !errors.Is(g.err, kerr.OffsetOutOfRange) {
			continue
		}
		if err := o.startOver(ctx, p, &v.at[i]); err != nil {
			return err
		}
	}
	return err
}

// startOver goes on where a partition begins after an offset that is out of range, as consumers do. An error says that it is
// not since the partition begins later: the broker has less than it had, and all of it is to be looked at.
func (o *observer) startOver(ctx context.Context, p *probe, at *history.At) error {
	start, _, err := p.list(ctx, history.ReadUncommitted, at.Partition, earliest)
	switch {
	case err != nil:
		return err
	case start <= at.Offset && !o.wanders:
		return kerr.OffsetOutOfRange
	}
	at.Offset = start
	return nil
}

func (r *run) endMark(op *history.Operation, marks history.Marks, err error) {
	if err != nil {
		r.Recorder.End(op, history.Failed, err)
		return
	}
	op.Marks = &marks
	r.Recorder.End(op, history.OK, nil)
}
