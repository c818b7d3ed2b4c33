package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/runnel-io/runnel/integration/history"
)

const (
	pipelineFrom  = "in"
	pipelineTo    = "out"
	pipelineGroup = "movers"
)

// feeder writes what the movers are to move.
type feeder struct{ *worker }

// feed runs until load ends.
func (f *feeder) feed(ctx, load context.Context) error {
	admin, err := f.newClient(ctx, "feeder-admin", kgo.MaxVersions(byNames()))
	if err != nil {
		return err
	}
	f.admin = admin
	defer admin.close()
	for _, topic := range []string{pipelineFrom, pipelineTo} {
		for !f.topicExists(ctx, topic) {
			if !pause(load, 200*time.Millisecond) {
				return nil
			}
		}
	}
	if err := f.newSender(ctx); err != nil {
		return err
	}
	defer func() { f.sender.close() }()
	for pause(load, f.Feed) {
		number := f.rand.Int64N(partitionsPerTopic)
		record := history.Record{Partition: history.Partition{Topic: pipelineFrom, Number: int32(number)}, Offset: -1, Key: number, Value: f.value(), Timestamp: f.stamp()}
		op := f.Recorder.Begin(history.Operation{Kind: history.Produce, Worker: f.number, Client: f.life})
		err := f.send(ctx, op, f.sender, []history.Record{record}, 0)
		f.Recorder.End(op, outcomeOf(op.Steps), err)
		if err == nil {
			f.shelf.put(history.At{Partition: record.Partition, Offset: op.Steps[0].Send.Offset})
			continue
		}
		f.sender.abandon()
		if err := f.newSender(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (f *feeder) newSender(ctx context.Context) error {
	f.lives++
	f.life = fmt.Sprintf("feeder-%d", f.lives)
	c, err := f.newClient(ctx, f.life, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProduceRequestTimeout(produceTimeout), kgo.RecordDeliveryTimeout(deliveryTimeout), kgo.StopProducerOnDataLossDetected())
	f.sender = &producer{client: c}
	return err
}

// mover moves records from one topic to the other, each exactly once, as a member of a group. It uses the library's own
// session, which decides by itself when a transaction has to be aborted, and where to go on then.
type mover struct {
	*worker
	session *kgo.GroupTransactSession
	member  *consumer // what the group says
}

// move runs until stop ends.
func (m *mover) move(ctx, stop context.Context) error {
	for !m.keys.exists(pipelineFrom) || !m.keys.exists(pipelineTo) {
		if !pause(stop, 200*time.Millisecond) {
			return nil
		}
	}
	for stop.Err() == nil {
		if err := m.begin(ctx); err != nil {
			return err
		}
		err := m.live(ctx, stop)
		if err == nil {
			m.member.end((*client).close)
			return nil
		}
		m.Recorder.Happened(history.Operation{Kind: history.Admin, Worker: m.number, Client: m.life, Text: "crash: " + err.Error()})
		m.member.end((*client).abandon)
	}
	return nil
}

// begin starts a new life.
func (m *mover) begin(ctx context.Context) error {
	m.lives++
	m.life = fmt.Sprintf("mover-%d-%d", m.number, m.lives)
	second := m.chance(60)
	w := &wire{connect: m.Dial}
	ctx, cancel := context.WithCancel(ctx)
	m.sender = &producer{id: fmt.Sprint("mover-", m.number), second: second}
	m.member = &consumer{
		worker: m.worker, life: m.life, isolation: history.ReadCommitted, group: pipelineGroup, isMember: true, generation: -1,
		owned: map[history.Partition]bool{}, positions: map[history.Partition]int64{},
	}
	op := m.Recorder.Begin(history.Operation{
		Kind: history.Subscribe, Worker: m.number, Client: m.life, Group: pipelineGroup, Isolation: history.ReadCommitted,
		Partitions: []history.Partition{{Topic: pipelineFrom, Number: -1}},
	})
	opts := append(m.clientOptions(ctx, w, m.life), m.member.groupOptions(m.groupProtocol(0), []string{pipelineFrom})...)
	session, err := kgo.NewGroupTransactSession(append(opts,
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second),
		kgo.TransactionalID(m.sender.id), kgo.TransactionTimeout(8*time.Second), kgo.MaxVersions(sessionVersions(second)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProduceRequestTimeout(produceTimeout), kgo.RecordDeliveryTimeout(deliveryTimeout),
	)...)
	if err != nil {
		cancel()
		return err
	}
	m.session = session
	m.sender.client = &client{Client: session.Client(), wire: w, cancel: cancel}
	m.member.client = m.sender.client
	m.Recorder.End(op, history.OK, nil)
	return nil
}

// patience is how many polls may fail one after the other before a mover starts anew: the session goes on by itself after
// most errors, and a member that died holds its partitions for a while.
const patience = 10

// live moves until stop ends; an error ends this life only.
func (m *mover) live(ctx, stop context.Context) error {
	failures := 0
	for pause(stop, m.MinThink) {
		readErr, err := m.round(ctx)
		m.session.AllowRebalance()
		if failures++; readErr == nil {
			failures = 0
		}
		if err != nil {
			return err
		}
		if failures == patience {
			return readErr
		}
	}
	return nil
}

// round polls, and if there is something, moves it in a transaction.
func (m *mover) round(ctx context.Context) (readErr, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*m.Operation)
	defer cancel()
	op := m.Recorder.Begin(history.Operation{Kind: history.Poll, Worker: m.number, Client: m.life, Isolation: history.ReadCommitted, Group: pipelineGroup})
	step := history.Step{Begun: m.Recorder.Moment(), Outcome: history.OK}
	got := m.member.fetch(ctx)
	step.Ended, step.Read = m.Recorder.Moment(), got.records
	if got.err != nil {
		step.Error = got.err.Error()
	}
	op.Steps = append(op.Steps, step)
	if len(got.records) == 0 {
		m.Recorder.End(op, history.OK, nil)
		return got.err, nil
	}
	op.Kind, op.TransactionalID = history.Transaction, m.sender.id
	return nil, m.transaction(ctx, op, got)
}

// transaction is that of the records that were just read.
func (m *mover) transaction(ctx context.Context, op *history.Operation, got read) error {
	if err := m.guarded(m.session.Begin); err != nil {
		m.Recorder.End(op, history.Failed, fmt.Errorf("begin: %w", err))
		return err
	}
	var records []history.Record
	for _, from := range got.records {
		records = append(records, history.Record{
			Partition: history.Partition{Topic: pipelineTo, Number: from.Number}, Offset: -1, Key: from.Key, Value: m.value(), Of: from.Value, Timestamp: m.stamp(),
		})
	}
	err := m.send(ctx, op, m.sender, records, 0)
	switch n := m.rand.IntN(100); {
	case err == nil && n < 3:
		err = errors.New("the mover died in a transaction")
		m.Recorder.End(op, history.Failed, err)
		return err
	case err == nil && n >= 10:
		op.Offsets, op.Member, op.Generation = sortedOffsets(got.next), got.member, got.epoch
		return m.end(ctx, op, kgo.TryCommit)
	}
	return m.end(ctx, op, kgo.TryAbort)
}

// end lets the session end the transaction, which may abort where a commit was wished, and may have tried that commit before.
func (m *mover) end(ctx context.Context, op *history.Operation, how kgo.TransactionEndTry) error {
	ends, renewals := m.sender.wire.sent(kmsg.EndTxn), m.sender.wire.sent(kmsg.InitProducerID)
	op.Deciding, op.Commit = m.Recorder.Moment(), bool(how)
	var committed bool
	err := m.guarded(func() (err error) {
		committed, err = m.session.End(ctx, how)
		return err
	})
	ends, renewals = m.sender.wire.sent(kmsg.EndTxn)-ends, m.sender.wire.sent(kmsg.InitProducerID)-renewals
	alive := !m.sender.wire.wasCut() && ctx.Err() == nil
	var outcome history.Outcome
	switch {
	case committed || (how == kgo.TryAbort && err == nil):
		outcome = history.OK
	case how == kgo.TryAbort: // nobody asked for a commit
		outcome = history.Failed
	case alive && ends == 1 && renewals == 0 && err == nil:
		// Only an abort is answered like this: after a commit whose answer says nothing the session asks for a new epoch.
		outcome = history.Failed
	default:
		outcome = attempts{left: ends + renewals, all: alive}.outcome(cmp.Or(err, errAborted))
	}
	m.Recorder.End(op, outcome, err)
	if !committed && alive && err == nil {
		m.wentBack()
	}
	return err
}

var errAborted = errors.New("the session aborted the transaction")

// wentBack notes where the session has gone on from by itself: what the group has committed, as far as it knows.
func (m *mover) wentBack() {
	offsets := map[history.Partition]int64{}
	for topic, partitions := range m.session.Client().CommittedOffsets() {
		for number, at := range partitions {
			offsets[history.Partition{Topic: topic, Number: number}] = at.Offset
		}
	}
	m.Recorder.Happened(history.Operation{
		Kind: history.Rewind, Worker: m.number, Client: m.life, Group: pipelineGroup, Offsets: sortedOffsets(offsets),
	})
}

func sessionVersions(second bool) *kversion.Versions {
	if second {
		return kversion.Stable()
	}
	return kversion.V3_7_0()
}
