package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/integration/history"
)

// againTopic is deleted and made again under the same name all through a run. In the history each has a name of its own.
const againTopic = "again"

// incarnations are the topics that had the name.
type incarnations struct {
	mu   sync.Mutex
	byID map[[16]byte]string // names in the history
	ids  map[string][16]byte
}

func (n *incarnations) name(id [16]byte) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byID[id]
}

func (n *incarnations) id(name string) [16]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ids[name]
}

// born gives a topic a name, and tells whether it had none before.
func (n *incarnations) born(id [16]byte) (name string, isNew bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, known := n.byID[id]; known {
		return name, false
	}
	name = fmt.Sprintf("%s.%d", againTopic, len(n.byID)+1)
	n.byID[id], n.ids[name] = name, id
	return name, true
}

// recreator makes the topic, writes to it and reads from it through any broker, deletes it, tries to go on, and makes it again.
// It names the topic by its id, so that it is clear at any time which one it speaks of.
type recreator struct {
	*worker
	probes []*probe
	reads  int
}

func (r *run) newRecreator(number int) *recreator { return &recreator{worker: r.newWorker(number)} }

// recreate runs until load ends.
func (r *recreator) recreate(ctx, load context.Context) error {
	probes, err := r.run.probes(ctx, "recreator", r.newProbeByIDs)
	if err != nil {
		return err
	}
	defer abandonAll(probes)
	r.probes = probes
	for r.think(load) {
		name, ok := r.create(ctx)
		if !ok {
			continue
		}
		for range 2 + r.rand.IntN(5) {
			if !r.think(load) {
				return nil
			}
			r.use(ctx, name)
		}
		for !r.delete(ctx, name) {
			if !r.think(load) {
				return nil
			}
		}
		for range r.rand.IntN(4) {
			r.use(ctx, name)
		}
	}
	return nil
}

func (r *recreator) any() *probe { return r.probes[r.rand.IntN(len(r.probes))] }

// create makes the topic, or finds it, and gives its name in the history.
func (r *recreator) create(ctx context.Context) (name string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, r.Operation)
	defer cancel()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(r.Operation / time.Millisecond)
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = againTopic, 1, -1
	req.Topics = append(req.Topics, topic)
	p := r.any()
	op := r.Recorder.Begin(history.Operation{Kind: history.Admin, Worker: r.number, Broker: p.address, Text: "create topic " + againTopic})
	answer, err := p.ask(ctx, req)
	var id [16]byte
	if err == nil {
		id, err = created(answer.(*kmsg.CreateTopicsResponse))
	}
	r.Recorder.End(op, classify(err), err)
	if errors.Is(err, kerr.TopicAlreadyExists) { // as an earlier attempt without an answer may have made it
		id, err = r.find(ctx, r.any())
	}
	if err != nil {
		return "", false
	}
	name, isNew := r.again.born(id)
	if isNew {
		r.Recorder.Happened(history.Operation{Kind: history.Admin, Worker: r.number, Text: fmt.Sprintf("%s is %x", name, id)})
	}
	return name, true
}

func created(resp *kmsg.CreateTopicsResponse) (id [16]byte, err error) {
	if len(resp.Topics) != 1 {
		return id, errors.New("asked to make one topic, told of others")
	}
	return resp.Topics[0].TopicID, kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

// find asks a broker for the id of the topic that has the name. One that lags may tell of one that is deleted.
func (r *run) find(ctx context.Context, p *probe) (id [16]byte, err error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(againTopic)
	req.Topics = append(req.Topics, topic)
	answer, err := p.ask(ctx, req)
	if err != nil {
		return id, err
	}
	resp := answer.(*kmsg.MetadataResponse)
	if len(resp.Topics) != 1 {
		return id, errors.New("asked for one topic, told of others")
	}
	return resp.Topics[0].TopicID, kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

// delete asks for the deletion, and tells whether the topic is gone: deleted by this, or by what was asked before.
func (r *recreator) delete(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, r.Operation)
	defer cancel()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(r.Operation / time.Millisecond)
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.TopicID = r.again.id(name)
	req.Topics = append(req.Topics, topic)
	p := r.any()
	op := r.Recorder.Begin(history.Operation{
		Kind: history.DeleteTopic, Worker: r.number, Broker: p.address, Partitions: []history.Partition{{Topic: name, Number: -1}},
	})
	before := p.wire.sent(kmsg.DeleteTopics)
	answer, err := p.ask(ctx, req)
	if err == nil {
		resp := answer.(*kmsg.DeleteTopicsResponse)
		if len(resp.Topics) != 1 {
			err = errors.New("asked to delete one topic, told of others")
		} else {
			err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
		}
	}
	tries := attempts{left: p.wire.sent(kmsg.DeleteTopics) - before, all: ctx.Err() == nil}
	r.Recorder.End(op, tries.outcome(err), err)
	return err == nil || errors.Is(err, kerr.UnknownTopicID)
}

// use writes to a topic, or reads it, through any broker.
func (r *recreator) use(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, r.Operation)
	defer cancel()
	partition := history.Partition{Topic: name}
	if r.chance(60) {
		r.write(ctx, "recreator", r.any(), history.Record{Partition: partition, Offset: -1, Value: r.value(), Timestamp: r.stamp()})
		return
	}
	r.reads++
	w := whole{run: r.run, probe: r.any(), isolation: history.ReadUncommitted, most: fetchBytes, op: history.Operation{
		Kind: history.Poll, Worker: r.number, Client: fmt.Sprintf("recreator-%d", r.reads), Partitions: []history.Partition{partition},
	}}
	_ = w.read(ctx) // which the history has
}

// write sends a record of a producer that is not idempotent, once.
func (r *worker) write(ctx context.Context, client string, p *probe, record history.Record) {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, int32(produceTimeout/time.Millisecond)
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = record.Topic
	if p.byIDs {
		topic.TopicID = r.again.id(record.Topic)
	}
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Partition, partition.Records = record.Number, batchOf(encode(record))
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	op := r.Recorder.Begin(history.Operation{Kind: history.Produce, Worker: r.number, Client: client})
	step := history.Step{Begun: r.Recorder.Moment(), Outcome: history.Unknown, Send: &record}
	before := p.wire.sent(kmsg.Produce)
	answer, err := p.ask(ctx, req)
	if err == nil {
		record.Offset, err = produced(answer.(*kmsg.ProduceResponse))
	}
	tries := attempts{left: p.wire.sent(kmsg.Produce) - before, all: ctx.Err() == nil}
	step.Ended, step.Outcome = r.Recorder.Moment(), tries.outcome(err)
	if err != nil {
		step.Error = err.Error()
	}
	op.Steps = []history.Step{step}
	r.Recorder.End(op, step.Outcome, err)
}

func produced(resp *kmsg.ProduceResponse) (int64, error) {
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return -1, errors.New("wrote to one partition, told of others")
	}
	row := resp.Topics[0].Partitions[0]
	return row.BaseOffset, kerr.ErrorForCode(row.ErrorCode)
}

// batchOf makes a batch of one record, of a producer that is not idempotent.
func batchOf(k *kgo.Record) []byte {
	record := recordbatch.Record{Timestamp: k.Timestamp.UnixMilli(), Key: k.Key, Value: k.Value}
	for _, h := range k.Headers {
		record.Headers = append(record.Headers, recordbatch.RecordHeader(h))
	}
	return recordbatchtest.Encode([]recordbatch.Record{record}, recordbatchtest.Options{}.NotIdempotent())
}
