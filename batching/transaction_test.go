package batching_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

// txnProducer has a transactional id.
type txnProducer struct {
	*rig
	id       string
	producer metastore.ProducerID
	epoch    metastore.ProducerEpoch
}

func (r *rig) transact(request metastore.TxnRequest) metastore.TxnResult {
	r.t.Helper()
	results, err := r.replica.Transact(r.t.Context(), []metastore.TxnRequest{request})
	if err != nil || results[0].Err != nil {
		r.t.Fatalf("%+v: %+v, %v", request, results, err)
	}
	return results[0]
}

func (r *rig) txnProducer(id string) *txnProducer {
	r.t.Helper()
	fresh, err := r.replica.NextProducerID(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	made := r.transact(metastore.InitTxn{ID: id, Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh})
	return &txnProducer{rig: r, id: id, producer: made.Producer, epoch: made.Epoch}
}

func (p *txnProducer) add(partitions ...int32) {
	p.t.Helper()
	request := metastore.AddToTxn{ID: p.id, Producer: p.producer, Epoch: p.epoch, Number: p.number()}
	for _, partition := range partitions {
		request.Partitions = append(request.Partitions, p.tp(partition))
	}
	p.transact(request)
}

func (p *txnProducer) end(commit bool, version int8) {
	p.t.Helper()
	made := p.transact(metastore.EndTxn{ID: p.id, Producer: p.producer, Epoch: p.epoch, Commit: commit, Version: version, Number: p.number(), Fresh: metastore.NoProducerID})
	p.producer, p.epoch = made.Producer, made.Epoch
}

func (p *txnProducer) number() metastore.TxnNumber {
	txn, _ := p.replica.Transaction(p.id)
	return txn.Number
}

// batch is one of ten records.
func (p *txnProducer) batch(partition, sequence int32, implicit bool) batching.Batch {
	p.t.Helper()
	b := p.encode(partition, 10, 600, recordbatchtest.Options{
		ProducerID: int64(p.producer), ProducerEpoch: int16(p.epoch), BaseSequence: sequence, Transactional: true})
	b.Implicit = implicit
	return b
}

func (r *rig) wantVerdict(p *batching.Pending, want ...metastore.Verdict) {
	r.t.Helper()
	results, err := p.Wait(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var got []metastore.Verdict
	for _, result := range results {
		got = append(got, result.Verdict)
	}
	if !slices.Equal(got, want) {
		r.t.Fatalf("verdicts %d, want %d", got, want)
	}
}

func (r *rig) wantMarks(partition int32, high, stable metastore.Offset) {
	r.t.Helper()
	if marks, _ := r.replica.Watermarks(r.tp(partition)); marks.High != high || marks.Stable != stable {
		r.t.Fatalf("partition %d: %+v, want high watermark %d, stable %d", partition, marks, high, stable)
	}
}

// Batches of one segment and partition say for themselves what they have to do with transactions.
func TestEachBatchOfASegmentHasItsTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{MinLinger: time.Second, MaxLinger: time.Second})
		implicit, added, absent := r.txnProducer("implicit"), r.txnProducer("added"), r.txnProducer("absent")
		added.add(0)
		all := []batching.Batch{
			r.batch(0, 1, 100), added.batch(0, 0, false), absent.batch(0, 0, false), r.batch(0, 1, 100), implicit.batch(0, 0, true), r.batch(0, 1, 100),
		}
		r.wantVerdict(r.append(all...), metastore.Accepted, metastore.Accepted, metastore.InvalidTxnState, metastore.Accepted, metastore.Accepted, metastore.Accepted)
		r.wantVerdict(r.append(absent.batch(1, 0, true), absent.batch(2, 0, false)), metastore.Accepted, metastore.InvalidTxnState)
		r.wantMarks(0, 23, 1)
		added.end(true, 1)
		r.wantMarks(0, 24, 12)
		implicit.end(false, 2)
		r.wantMarks(0, 25, 25)
		r.wantMarks(1, 10, 0)
		r.wantMarks(2, 0, 0)
	})
}

// A transaction whose first batch is lost on its way does not go on without it, be the producer known to the partition or
// not; sent again in order, all are in it.
func TestALostBatchOfATransactionIsNotLeftOut(t *testing.T) {
	for name, implicit := range map[string]bool{"version 1": false, "version 2": true} {
		for known, before := range map[string]bool{", first": false, ", later": true} {
			t.Run(name+known, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := start(t, batching.Options{SegmentBytes: 500, UploadTimeout: time.Second})
					lose := false
					r.store.put = func(ctx context.Context, _ int, next func() error) error {
						if lose {
							lose = false
							<-ctx.Done()
							return ctx.Err()
						}
						return next()
					}
					p := r.txnProducer("payments")
					begin := func() {
						if !implicit {
							p.add(0)
						}
					}
					first, version := int32(0), int8(1)
					if implicit {
						version = 2
					}
					at := metastore.Offset(0)
					if before {
						begin()
						r.wantOffsets(r.append(p.batch(0, 0, implicit)), 0)
						p.end(true, version)
						at = 11
						if !implicit {
							first = 10 // the epoch goes on
						}
					}
					begin()
					send := func(sequence int32) *batching.Pending {
						return r.appendFrom(batching.NewSource(), p.batch(0, sequence, implicit))
					}
					lose = true
					lost := send(first)
					synctest.Wait()
					inFlight := []*batching.Pending{send(first + 10), send(first + 20)}
					if _, err := lost.Wait(t.Context()); err == nil {
						t.Fatal("the first batch was to fail")
					}
					for _, pending := range append(inFlight, send(first+30)) {
						r.wantVerdict(pending, metastore.OutOfOrderSequence)
					}
					r.wantMarks(0, at, at)
					for i := range int32(4) {
						r.wantOffsets(send(first+10*i), at+metastore.Offset(10*i))
					}
					r.wantMarks(0, at+40, at)
					p.end(true, version)
					r.wantMarks(0, at+41, at+41)
				})
			})
		}
	}
}

// A batch that is uploaded so slowly that its transaction ends meanwhile is in no transaction.
func TestABatchThatComesAfterTheEndOfItsTransactionIsRefused(t *testing.T) {
	for name, version := range map[string]int8{"version 1": 1, "version 2": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, batching.Options{SegmentBytes: 500, UploadTimeout: time.Minute})
				slow := false
				r.store.put = func(_ context.Context, _ int, next func() error) error {
					if slow {
						time.Sleep(10 * time.Second)
					}
					return next()
				}
				p := r.txnProducer("payments")
				p.add(0)
				r.wantOffsets(r.append(p.batch(0, 0, version == 2)), 0)
				slow = true
				late := r.append(p.batch(0, 10, version == 2))
				synctest.Wait()
				p.end(false, version)
				want := metastore.InvalidTxnState
				if version == 2 {
					want = metastore.StaleProducerEpoch
				}
				r.wantVerdict(late, want)
				r.wantMarks(0, 11, 11)
			})
		})
	}
}
