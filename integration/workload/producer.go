package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/runnel-io/runnel/integration/history"
)

// producer sends. Within one, records of a key leave in the order in which they were given.
type producer struct {
	*client
	id     string // transactional id; empty: none
	second bool   // speaks the second version of the protocol of transactions
	// gaveUp: records may be failed while a request with them is under way, which may still leave.
	gaveUp bool
}

func (p *producer) transactional() bool { return p.id != "" }

// newProducer makes one of the kinds that there are.
func (w *worker) newProducer(ctx context.Context) (*producer, error) {
	p := &producer{}
	opts := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProduceRequestTimeout(produceTimeout), kgo.RecordDeliveryTimeout(deliveryTimeout),
	}
	switch n := w.rand.IntN(100); {
	case n < 50:
		p.id, p.second = fmt.Sprintf("transactions-%d", w.number), w.chance(60)
		opts = append(opts, kgo.TransactionalID(p.id), kgo.TransactionTimeout(5*time.Second+time.Duration(w.rand.IntN(5))*time.Second),
			kgo.MaxVersions(w.versions(p.second)))
	case n < 65: // waits for the answer to each request, whatever happens
		opts = append(opts, kgo.StopProducerOnDataLossDetected())
	case n < 78: // gives up in time
		p.gaveUp = true
		opts = append(opts, kgo.StopProducerOnDataLossDetected(), kgo.AllowIdempotentProduceCancellation())
	default: // without a sequence, a repetition would be a duplicate by right
		p.gaveUp = true
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()), kgo.RecordRetries(0),
			kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	var err error
	p.client, err = w.newClient(ctx, w.life, opts...)
	return p, err
}

// versions are those of a client before or after KIP-890.
func (r *run) versions(second bool) *kversion.Versions {
	if second {
		return byNames()
	}
	return kversion.V3_7_0()
}

// produce sends a few records outside of a transaction.
func (w *worker) produce(ctx context.Context) error {
	n, spread := 1+w.rand.IntN(4), time.Duration(0)
	if w.chance(40) { // many requests for few partitions, which are under way at the same time
		n, spread = 4+w.rand.IntN(9), time.Duration(1+w.rand.IntN(30))*time.Millisecond
	}
	picked := w.pickKeys(ctx, n)
	if len(picked) == 0 {
		return nil
	}
	op := w.Recorder.Begin(history.Operation{
		Kind: history.Produce, Worker: w.number, Client: w.life, Patient: !w.sender.gaveUp,
	})
	err := w.send(ctx, op, w.sender, w.records(picked), spread)
	w.Recorder.End(op, outcomeOf(op.Steps), err)
	if err != nil && (w.sender.wire.wasCut() || classify(err) == history.Failed || w.chance(20)) {
		return w.crash(ctx, err.Error())
	}
	return nil
}

// outcomeOf sends: the worst that is known of one.
func outcomeOf(steps []history.Step) history.Outcome {
	outcome := history.OK
	for _, s := range steps {
		if s.Outcome == history.Unknown {
			return history.Unknown
		}
		if s.Outcome == history.Failed {
			outcome = history.Failed
		}
	}
	return outcome
}

// records makes a new record for each key, which in compacted topics stands for several, and for their tombstones.
func (w *worker) records(keys []int64) []history.Record {
	var out []history.Record
	for _, key := range keys {
		r := history.Record{Partition: partitionOf(key), Offset: -1, Key: key, Value: w.value(), Timestamp: w.stamp()}
		if kindOfTopic(r.Topic).keyed() {
			r.Key, r.Tombstone = w.keyIn(key), w.chance(20)
		}
		out = append(out, r)
	}
	return out
}

// stamp is a time for a record: about now, so that times do not rise with offsets.
func (w *worker) stamp() int64 { return time.Now().UnixMilli() - w.rand.Int64N(3000) }

// sent is what came of a record.
type sent struct {
	step   int
	ended  history.Moment
	offset int64
	tries  attempts
	err    error
}

// send sends records, each a step of the operation, at once or now and then within the time of spread after the one before,
// and waits for all answers. If these do not come, the client is given up. The error is that of any record.
func (w *worker) send(ctx context.Context, op *history.Operation, p *producer, records []history.Record, spread time.Duration) error {
	results := make(chan sent, len(records))
	before := p.wire.sent(kmsg.Produce)
	for i, r := range records {
		if i > 0 && spread > 0 && w.chance(70) {
			pause(ctx, time.Duration(w.rand.Int64N(int64(spread))))
		}
		step := len(op.Steps)
		op.Steps = append(op.Steps, history.Step{Begun: w.Recorder.Moment(), Outcome: history.Unknown, Send: &r})
		p.Produce(ctx, encode(r), func(answer *kgo.Record, err error) {
			results <- sent{
				step: step, ended: w.Recorder.Moment(), offset: answer.Offset, err: err,
				tries: attempts{left: p.wire.sent(kmsg.Produce) - before, all: !p.gaveUp && !p.wire.wasCut()},
			}
		})
	}
	timer := time.NewTimer(w.Operation)
	defer timer.Stop()
	var errs []error
	for range records {
		var s sent
		select {
		case s = <-results:
		case <-timer.C:
			p.abandon() // which answers everything
			s = <-results
		}
		step := &op.Steps[s.step]
		step.Ended, step.Outcome = s.ended, s.tries.outcome(s.err)
		if s.err != nil {
			step.Error = s.err.Error()
			errs = append(errs, s.err)
		} else {
			step.Send.Offset = s.offset
		}
	}
	return errors.Join(errs...)
}
