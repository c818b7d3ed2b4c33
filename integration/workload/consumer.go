package workload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// pollWait is how long a poll waits for records.
const pollWait = 300 * time.Millisecond

// consumer reads, either partitions of its own choice or those that its group gives it.
type consumer struct {
	*client
	worker    *worker
	life      string
	isolation history.Isolation
	group     string // where its offsets are kept
	topics    []history.Partition
	isMember  bool
	isClassic bool // the group has generations

	mu    sync.Mutex
	owned map[history.Partition]bool // by what the group says
	// positions are the next offsets to read of what was read since the partition was given to this consumer.
	positions map[history.Partition]int64
	// member and generation when something was last read. Commits name these: a group that has gone on refuses them.
	member     string
	generation int32
}

// consume makes a consumer and tells the history what it reads.
func (w *worker) consume(ctx context.Context) error {
	c := &consumer{
		worker: w, life: w.life, isolation: history.ReadCommitted, generation: -1,
		owned: map[history.Partition]bool{}, positions: map[history.Partition]int64{},
	}
	opts := []kgo.Opt{kgo.FetchMaxWait(time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	if w.chance(35) {
		c.isolation = history.ReadUncommitted
	} else {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	var op history.Operation
	if w.chance(50) {
		first, topics := w.pickTopics(ctx)
		if len(topics) == 0 {
			return nil
		}
		op = c.subscribe(first, topics)
		c.isClassic = w.groupProtocol(first) != serverSide
		opts = append(opts, c.groupOptions(w.groupProtocol(first), topics)...)
	} else {
		partitions := w.pickPartitions()
		if len(partitions) == 0 {
			w.pickKeys(ctx, 1) // the first of all
			return nil
		}
		var assigned map[string]map[int32]kgo.Offset
		op, assigned = c.assign(partitions)
		opts = append(opts, kgo.ConsumePartitions(assigned))
	}
	began := w.Recorder.Begin(op)
	var err error
	c.client, err = w.newClient(ctx, w.life, opts...)
	if err != nil {
		return err
	}
	w.Recorder.End(began, history.OK, nil)
	w.reader = c
	return nil
}

// assign starts each partition where this worker was last, or at its start.
func (c *consumer) assign(partitions []history.Partition) (history.Operation, map[string]map[int32]kgo.Offset) {
	w := c.worker
	c.group = fmt.Sprintf("alone-%d", w.number)
	offsets := map[string]map[int32]kgo.Offset{}
	op := history.Operation{Kind: history.Assign, Worker: w.number, Client: c.life, Group: c.group, Isolation: c.isolation, Partitions: partitions}
	for _, p := range partitions {
		at := int64(0)
		if known, ok := w.known[p]; ok && w.chance(60) {
			at = known
		}
		if offsets[p.Topic] == nil {
			offsets[p.Topic] = map[int32]kgo.Offset{}
		}
		offsets[p.Topic][p.Number] = kgo.NewOffset().At(at)
		op.Offsets = append(op.Offsets, history.At{Partition: p, Offset: at})
	}
	return op, offsets
}

// subscribe joins the group that all consumers of these topics share.
func (c *consumer) subscribe(first int64, topics []string) history.Operation {
	c.isMember = true
	c.group = fmt.Sprintf("group-%s-%s", c.worker.groupProtocol(first), strings.Join(topics, "-"))
	for _, topic := range topics {
		c.topics = append(c.topics, history.Partition{Topic: topic, Number: -1})
	}
	return history.Operation{Kind: history.Subscribe, Worker: c.worker.number, Client: c.life, Group: c.group, Isolation: c.isolation, Partitions: c.topics}
}

const (
	cooperative = "cooperative"
	eager       = "range"
	serverSide  = "consumer" // KIP-848
)

// groupProtocol is that of the groups of a topic: all members have to agree.
func (r *run) groupProtocol(topic int64) string {
	return []string{cooperative, serverSide, eager}[(r.Seed+uint64(topic))%3]
}

func protocolOptions(protocol string) []kgo.Opt {
	switch protocol {
	case serverSide:
		return []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer())}
	case eager:
		return []kgo.Opt{kgo.Balancers(kgo.RangeBalancer())}
	default:
		return []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer())}
	}
}

func (c *consumer) groupOptions(protocol string, topics []string) []kgo.Opt {
	return append(protocolOptions(protocol),
		kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(time.Second), kgo.RebalanceTimeout(8*time.Second),
		kgo.OnPartitionsAssigned(c.assigned), kgo.OnPartitionsRevoked(c.revoked), kgo.OnPartitionsLost(c.lost),
	)
}

func (c *consumer) assigned(_ context.Context, cl *kgo.Client, given map[string][]int32) {
	c.rebalanced(cl, history.Assigned, "", sortedPartitions(given))
}

func (c *consumer) revoked(_ context.Context, cl *kgo.Client, taken map[string][]int32) {
	c.rebalanced(cl, history.Revoked, "", sortedPartitions(taken))
}

func (c *consumer) lost(_ context.Context, cl *kgo.Client, taken map[string][]int32) {
	c.rebalanced(cl, history.Revoked, "lost", sortedPartitions(taken))
}

// rebalanced notes what the group gave or took. Either way the position is the group's again.
func (c *consumer) rebalanced(cl *kgo.Client, kind history.Kind, text string, partitions []history.Partition) {
	if len(partitions) == 0 {
		return
	}
	member, generation := cl.GroupMetadata()
	c.mu.Lock()
	defer c.mu.Unlock()
	if member == "" { // it has left by now
		member, generation = c.member, c.generation
	}
	if kind == history.Revoked && c.isClassic {
		c.haunt(partitions)
	}
	for _, p := range partitions {
		delete(c.positions, p)
		if kind == history.Assigned {
			c.owned[p] = true
		} else {
			delete(c.owned, p)
		}
	}
	if kind == history.Assigned {
		c.member, c.generation = member, generation
	}
	c.worker.Recorder.Happened(history.Operation{
		Kind: kind, Worker: c.worker.number, Client: c.life, Group: c.group, Member: member, Generation: generation,
		Partitions: partitions, Text: text,
	})
}

// ghost is what a member would commit that has not heard that its group went on.
type ghost struct {
	group, member string
	generation    int32
	offsets       []history.At
}

// haunt keeps what was read of partitions that are being taken away. The lock is held.
func (c *consumer) haunt(partitions []history.Partition) {
	left := map[history.Partition]int64{}
	for _, p := range partitions {
		if at, read := c.positions[p]; read {
			left[p] = at
		}
	}
	if len(left) > 0 && c.generation > 0 {
		c.worker.ghost = &ghost{c.group, c.member, c.generation, sortedOffsets(left)}
	}
}

// end ends the consumer. Whatever it then still owns, it gives up by dying.
func (c *consumer) end(how func(*client)) {
	how(c.client)
	c.mu.Lock()
	owned := map[string][]int32{}
	for p := range c.owned {
		owned[p.Topic] = append(owned[p.Topic], p.Number)
	}
	c.mu.Unlock()
	c.rebalanced(c.Client, history.Revoked, "ended", sortedPartitions(owned))
}

// read is what a poll returned.
type read struct {
	records []history.Record
	first   map[history.Partition]int64 // offsets of the first records: where the reading began
	next    map[history.Partition]int64
	member  string
	epoch   int32
	err     error
}

// fetch polls once, and moves the positions.
func (c *consumer) fetch(ctx context.Context) read {
	limited, cancel := context.WithTimeout(ctx, pollWait)
	defer cancel()
	fetches := c.PollRecords(limited, 20)
	out := read{first: map[history.Partition]int64{}, next: map[history.Partition]int64{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		record := c.worker.decoded(r)
		if _, ok := out.first[record.Partition]; !ok {
			out.first[record.Partition] = record.Offset
		}
		out.next[record.Partition] = record.Offset + 1
		out.records = append(out.records, record)
		c.positions[record.Partition] = record.Offset + 1
		c.worker.known[record.Partition] = record.Offset + 1
	})
	if c.isMember {
		c.member, c.generation = c.GroupMetadata()
	}
	out.member, out.epoch = c.member, c.generation
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.DeadlineExceeded) {
			out.err = errors.Join(out.err, fmt.Errorf("%s/%d: %w", e.Topic, e.Partition, e.Err))
		}
	}
	return out
}

// poll reads outside of a transaction.
func (w *worker) poll(ctx context.Context) {
	op := w.Recorder.Begin(history.Operation{Kind: history.Poll, Worker: w.number, Client: w.life, Isolation: w.reader.isolation})
	w.pollStep(ctx, op)
	w.Recorder.End(op, op.Steps[0].Outcome, nil)
}

// pollStep reads as a step of an operation. Nothing is unknown of a read: what came, came.
func (w *worker) pollStep(ctx context.Context, op *history.Operation) read {
	step := history.Step{Begun: w.Recorder.Moment(), Outcome: history.OK}
	got := w.reader.fetch(ctx)
	step.Ended, step.Read = w.Recorder.Moment(), got.records
	if got.err != nil {
		step.Error = got.err.Error()
		if len(got.records) == 0 {
			step.Outcome = history.Failed
		}
	}
	op.Steps = append(op.Steps, step)
	return got
}

// rewindSome moves a partition back to anywhere before. A member of a group does so only where the group is held: after a
// transaction that failed.
func (w *worker) rewindSome() {
	if w.reader.isMember {
		return
	}
	w.reader.mu.Lock()
	at := sortedOffsets(w.reader.positions)
	w.reader.mu.Unlock()
	if len(at) == 0 {
		return
	}
	p := at[w.rand.IntN(len(at))].Partition
	w.rewind([]history.At{{Partition: p, Offset: w.rand.Int64N(w.known[p] + 1)}})
}

// rewind moves the consumer's positions. The group is held, for the last poll returned records.
func (w *worker) rewind(to []history.At) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	c := w.reader
	op := w.Recorder.Begin(history.Operation{Kind: history.Rewind, Worker: w.number, Client: w.life, Group: c.group, Offsets: to})
	c.mu.Lock()
	for _, at := range to {
		if offsets[at.Topic] == nil {
			offsets[at.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[at.Topic][at.Number] = kgo.EpochOffset{Epoch: -1, Offset: at.Offset}
		c.positions[at.Partition] = at.Offset
		w.known[at.Partition] = at.Offset
	}
	c.mu.Unlock()
	c.SetOffsets(offsets)
	w.Recorder.End(op, history.OK, nil)
}
