package sequencer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// transact expects the request to be granted, and the broker to know of it.
func transact(t *testing.T, b *broker, req metastore.TxnRequest) metastore.TxnResult {
	t.Helper()
	results, err := b.seq.Transact(t.Context(), []metastore.TxnRequest{req})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		t.Errorf("%+v: %v", req, err)
		return metastore.TxnResult{}
	}
	return results[0]
}

func initTxn(id string, fresh int) metastore.InitTxn {
	return metastore.InitTxn{ID: id, Timeout: time.Hour, Producer: metastore.NoProducerID, Epoch: -1, Fresh: metastore.ProducerID(fresh)}
}

func TestOneBrokerDecidesOnTransactionsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 3, Options{})
		settle(Options{})
		holder, others := c.holder(t), c.others(t)
		for i, b := range append(others, holder) {
			id := fmt.Sprint("id", i)
			made := transact(t, b, initTxn(id, 1000+i))
			transact(t, b, metastore.AddToTxn{ID: id, Producer: made.Producer, Epoch: made.Epoch, Groups: []string{"g"}})
			x, _ := b.log.Transaction(id)
			if x.State != metastore.TxnOngoing {
				t.Errorf("broker %d was answered and knows %+v", b.self.NodeID, x)
			}
		}
		if got := counted(t, holder.seq.metrics.txns.WithLabelValues(pathForOthers)); got != 4 {
			t.Errorf("%v requests for others, want 4", got)
		}
		if got := counted(t, holder.seq.metrics.txns.WithLabelValues(pathHolder)); got != 2 {
			t.Errorf("%v requests of its own, want 2", got)
		}
	})
}

func TestRequestsThatWaitBecomeOneAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		log := &counting{Log: slowLog{store}}
		replica := metastore.NewReplica(log, metastore.ReplicaOptions{})
		topic, err := replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "t", Partitions: partitions})
		if err != nil {
			t.Fatal(err)
		}
		c := &cluster{topic: topic.ID}
		s := New(replica, nil, nil, nil, Options{})
		b := &broker{log: replica, seq: s}
		ctx, stop := context.WithCancel(t.Context())
		var running, asking sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		before := log.count()
		for i := range 100 {
			asking.Go(func() {
				if got := transact(t, b, initTxn(fmt.Sprint(i), 1000+i)); got.Producer != metastore.ProducerID(1000+i) {
					t.Errorf("%d has producer %d", i, got.Producer)
				}
			})
			asking.Go(func() { c.commit(t, b, c.segment(int32(i%partitions), metastore.ProducerID(i), 0, 1)) })
		}
		asking.Wait()
		stop()
		running.Wait()
		if got := log.count() - before; got > 10 {
			t.Errorf("%d appends for 100 requests and 100 commits at once", got)
		}
	})
}

// TestTransactionsGoOnWhenTheSequencerFails breaks the sequencer in every way while a producer makes transactions: each of its
// requests is answered within the patience, and each transaction ends once.
func TestTransactionsGoOnWhenTheSequencerFails(t *testing.T) {
	for name, how := range map[string]fault{"dead": dead, "paused": paused, "deaf": deaf, "older": older} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := Options{}.withDefaults()
				c := start(t, 3, opts)
				settle(opts)
				holder, b := c.holder(t), c.others(t)[0]
				made := transact(t, b, initTxn("id", 1000))
				c.net.breakAt(peerAddress(holder.self), how)
				timed := func(req metastore.TxnRequest) {
					begun := time.Now()
					transact(t, b, req)
					if took := time.Since(begun); took > opts.Patience+10*time.Millisecond {
						t.Errorf("%T took %v", req, took)
					}
				}
				for i := range 20 {
					number := metastore.TxnNumber(i)
					timed(metastore.AddToTxn{ID: "id", Producer: made.Producer, Epoch: made.Epoch, Groups: []string{"g"}, Number: number})
					timed(metastore.EndTxn{ID: "id", Producer: made.Producer, Epoch: made.Epoch, Commit: i%2 == 0, Version: 1, Number: number})
				}
				if x, _ := b.log.Transaction("id"); x.Number != 20 {
					t.Errorf("%d transactions have ended, want 20", x.Number)
				}
				if how == older && (b.seq.known().suspected || counted(t, b.seq.metrics.bypassed) > 0) {
					t.Error("a holder that answers commits is not asked any more")
				}
			})
		})
	}
}

func TestWhatNobodyWaitsForIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		replica := metastore.NewReplica(slowLog{store}, metastore.ReplicaOptions{})
		if err := replica.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := New(replica, nil, nil, nil, Options{})
		ctx, stop := context.WithCancel(t.Context())
		var running, asking sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		asking.Go(func() { transact(t, &broker{log: replica, seq: s}, initTxn("first", 1)) })
		time.Sleep(time.Millisecond) // it is being appended
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if _, err := s.Transact(short, []metastore.TxnRequest{initTxn("second", 2)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("second: %v", err)
		}
		asking.Wait()
		time.Sleep(time.Second)
		if _, ok := replica.Transaction("second"); ok {
			t.Error("it was done although nobody waited")
		}
		stop()
		running.Wait()
		if _, err := s.Transact(t.Context(), []metastore.TxnRequest{initTxn("third", 3)}); !errors.Is(err, errStopped) {
			t.Errorf("a stopped sequencer: %v", err)
		}
	})
}

func TestTooManyRequestsAreRefused(t *testing.T) {
	q := newTxnQueue(nil, newMetrics(nil, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	many := make([]metastore.TxnRequest, waitingTxns)
	if err := q.add(&txnCall{requests: many}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := q.transact(ctx, many[:1]); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	if got := q.take(); len(got) != 1 {
		t.Errorf("%d calls taken", len(got))
	}
	if _, _, err := q.transact(ctx, many[:1]); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if q.count != 0 || len(q.waiting) != 0 {
		t.Errorf("%d requests of %d calls are left", q.count, len(q.waiting))
	}
}
