package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/history"
)

// transaction is one on its way.
type transaction struct {
	*worker
	op    *history.Operation
	reads []read
}

// transact does a transaction of a few sends and polls. It commits the offsets of what it read, in the name of the group, and
// if it does not come to pass, the consumer goes back to where it began.
func (w *worker) transact(ctx context.Context) error {
	plan := w.plan(ctx)
	if len(plan) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, 3*w.Operation)
	defer cancel()
	t := &transaction{worker: w, op: w.Recorder.Begin(history.Operation{
		Kind: history.Transaction, Worker: w.number, Client: w.life, TransactionalID: w.sender.id, Isolation: w.reader.isolation,
		Group: w.reader.group,
	})}
	if why := t.run(limited, plan); why != "" {
		return w.crash(ctx, why)
	}
	return nil
}

// run goes from the beginning to the end. It returns why the clients cannot go on, if so.
func (t *transaction) run(ctx context.Context, plan [][]int64) (why string) {
	if err := t.guarded(t.sender.BeginTransaction); err != nil {
		t.Recorder.End(t.op, history.Failed, fmt.Errorf("begin: %w", err))
		return "cannot begin a transaction"
	}
	if err := t.steps(ctx, plan); err != nil {
		return t.abort(ctx, err)
	}
	switch n := t.rand.IntN(100); {
	case n < 10:
		return t.abort(ctx, nil)
	case n < 13:
		return t.forget()
	case n < 17:
		return t.outlive(ctx)
	case n < 22: // as long as records stay elsewhere, and perhaps longer than the cluster lets it
		pause(ctx, t.Retention/2+time.Duration(t.rand.Int64N(int64(t.Retention/2))))
	}
	if err := t.sendOffsets(ctx); err != nil {
		return t.abort(ctx, fmt.Errorf("send offsets: %w", err))
	}
	return t.commit(ctx)
}

// plan says what to send in each step; nothing means to poll. Something is sent at least once.
func (w *worker) plan(ctx context.Context) [][]int64 {
	steps := make([][]int64, 1+w.rand.IntN(4))
	sends := 0
	for i := range steps {
		if w.chance(55) || (i == len(steps)-1 && sends == 0) {
			n := 1 + w.rand.IntN(2)
			if w.chance(20) {
				n = 3 + w.rand.IntN(6)
			}
			steps[i] = w.pickKeys(ctx, n)
			sends += len(steps[i])
		}
	}
	if sends == 0 {
		return nil
	}
	return steps
}

func (t *transaction) steps(ctx context.Context, plan [][]int64) error {
	for _, keys := range plan {
		if len(keys) > 0 {
			spread := time.Duration(0)
			if len(keys) > 2 {
				spread = 20 * time.Millisecond
			}
			if err := t.send(ctx, t.op, t.sender, t.records(keys), spread); err != nil {
				return err
			}
			continue
		}
		if got := t.pollStep(ctx, t.op); len(got.records) > 0 {
			t.reads = append(t.reads, got)
		}
	}
	return nil
}

// guarded gives the client up if a call does not return in time that takes no context.
func (w *worker) guarded(call func() error) error {
	p := w.sender
	timer := time.AfterFunc(w.Operation, func() {
		p.wire.cut()
		p.cancel()
	})
	defer timer.Stop()
	return call()
}

// offsets are those to commit, began where to go back to.
func (t *transaction) offsets() (next, began []history.At) {
	n, b := map[history.Partition]int64{}, map[history.Partition]int64{}
	for _, r := range t.reads {
		for p, offset := range r.first {
			if _, ok := b[p]; !ok {
				b[p] = offset
			}
			n[p] = r.next[p]
		}
	}
	return sortedOffsets(n), sortedOffsets(b)
}

// sendOffsets makes the offsets of what was read a part of the transaction, in the name that the member had when it first
// read.
func (t *transaction) sendOffsets(ctx context.Context) error {
	if len(t.reads) == 0 || t.chance(20) {
		return nil
	}
	offsets, _ := t.offsets()
	if offsets = t.forward(t.reader, offsets); len(offsets) == 0 {
		return nil
	}
	t.op.Member, t.op.Generation, t.op.Classic = t.reads[0].member, t.reads[0].epoch, t.reader.isClassic
	id, epoch, err := t.sender.ProducerID(ctx)
	if err != nil {
		return err
	}
	if !t.sender.second {
		if err := t.addOffsets(ctx, id, epoch); err != nil {
			return err
		}
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = t.op.TransactionalID, t.op.Group, id, epoch
	req.MemberID, req.Generation = t.op.Member, t.op.Generation
	for _, at := range offsets {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != at.Topic {
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic = at.Topic
			req.Topics = append(req.Topics, topic)
		}
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = at.Number, at.Offset
		topic := &req.Topics[len(req.Topics)-1]
		topic.Partitions = append(topic.Partitions, p)
	}
	t.op.Offsets = offsets
	resp, err := req.RequestWith(ctx, t.sender.Client)
	if err != nil {
		return err
	}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
		}
	}
	return err
}

// addOffsets announces the group, as the first version of the protocol has it. The transaction before may still be ending.
func (t *transaction) addOffsets(ctx context.Context, id int64, epoch int16) error {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = t.op.TransactionalID, id, epoch, t.op.Group
	for {
		resp, err := req.RequestWith(ctx, t.sender.Client)
		if err != nil {
			return err
		}
		if err = kerr.ErrorForCode(resp.ErrorCode); !errors.Is(err, kerr.ConcurrentTransactions) {
			return err
		}
		if !pause(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

func (t *transaction) commit(ctx context.Context) (why string) {
	outcome, err := t.end(ctx, kgo.TryCommit)
	t.Recorder.End(t.op, outcome, err)
	switch outcome {
	case history.OK:
		return ""
	case history.Failed:
		t.goBack()
	case history.Unknown: // the group's offsets may have gone on: nobody may commit what is before them
	}
	// What the library recommends is to abort, which asks for a new epoch. Otherwise a new client does.
	if !t.sender.wire.wasCut() && ctx.Err() == nil && t.chance(50) {
		if t.guarded(func() error { return t.sender.EndTransaction(ctx, kgo.TryAbort) }) == nil {
			return ""
		}
	}
	return fmt.Sprintf("a transaction did not commit: %v", err)
}

// end asks for the end. The outcome of a commit is unknown unless the one request for it was refused, or none left.
func (t *transaction) end(ctx context.Context, how kgo.TransactionEndTry) (history.Outcome, error) {
	before := t.sender.wire.sent(kmsg.EndTxn)
	t.op.Deciding, t.op.Commit = t.Recorder.Moment(), bool(how)
	err := t.guarded(func() error { return t.sender.EndTransaction(ctx, how) })
	tries := attempts{left: t.sender.wire.sent(kmsg.EndTxn) - before, all: !t.sender.wire.wasCut() && ctx.Err() == nil}
	if err == nil && how == kgo.TryCommit && tries.left == 0 {
		err = errors.New("the client did not ask for the commit")
	}
	return tries.outcome(err), err
}

// abort ends a transaction because of err, or because chance has it. It cannot be committed any more, whatever the answer is:
// nobody asked for that.
func (t *transaction) abort(ctx context.Context, err error) (why string) {
	_, ended := t.end(ctx, kgo.TryAbort)
	if ended != nil {
		t.Recorder.End(t.op, history.Failed, errors.Join(err, fmt.Errorf("abort: %w", ended)))
		return fmt.Sprintf("a transaction did not abort: %v", ended)
	}
	t.Recorder.End(t.op, history.OK, err)
	t.goBack()
	if t.sender.wire.wasCut() {
		return fmt.Sprintf("the producer was given up: %v", err)
	}
	return ""
}

// forget leaves the transaction open, and dies.
func (t *transaction) forget() (why string) {
	t.Recorder.End(t.op, history.Failed, errors.New("the client died before it ended the transaction"))
	return "in a transaction"
}

// outlive has a successor with the same transactional id take over before the commit, which then has to be refused. So has
// what else this one sends, if it does: it would be in another transaction than what it sent before.
func (t *transaction) outlive(ctx context.Context) (why string) {
	successor, err := t.newClient(ctx, t.life+"-successor", kgo.TransactionalID(t.sender.id), kgo.MaxVersions(t.versions(t.sender.second)))
	if err != nil {
		return t.abort(ctx, err)
	}
	defer successor.close()
	limited, cancel := context.WithTimeout(ctx, t.Operation)
	defer cancel()
	if _, _, err := successor.ProducerID(limited); err != nil {
		return t.abort(ctx, fmt.Errorf("the successor did not come up: %w", err))
	}
	if t.chance(50) {
		if err := t.send(ctx, t.op, t.sender, t.records(t.pickKeys(ctx, 2)), 0); err != nil {
			return t.abort(ctx, fmt.Errorf("a successor took over: %w", err))
		}
	}
	outcome, err := t.end(ctx, kgo.TryCommit)
	t.Recorder.End(t.op, outcome, err)
	return fmt.Sprintf("a successor took over: %v", err)
}

// goBack moves the consumer to where the transaction began to read.
func (t *transaction) goBack() {
	if _, began := t.offsets(); len(began) > 0 {
		t.rewind(began)
	}
}
