package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func (l *treacherous) AppendWith(ctx context.Context, expected metastore.Position, next metastore.Entry, with metastore.GroupChanges) error {
	time.Sleep(time.Duration(l.draw(2_000)) * time.Millisecond)
	switch l.draw(8) {
	case 0:
		return errLost
	case 1:
		_ = l.Log.AppendWith(ctx, expected, next, with)
		return errLost
	case 2:
		delay := time.Duration(l.draw(30_000)) * time.Millisecond
		payload := slices.Clone(next.Payload)
		l.late.Go(func() {
			time.Sleep(delay)
			_ = l.Log.AppendWith(context.Background(), expected, metastore.Entry{Position: next.Position, Payload: payload}, with)
		})
		return errLost
	}
	return l.Log.AppendWith(ctx, expected, next, with)
}

// TestChaosOfBrokersGivesEveryTransactionOneOutcome lets transactional producers of both versions work through brokers on
// a treacherous metastore, asking again, and other brokers, whenever they give up, while a reaper aborts what it finds. In
// the end each transaction is as its producer was told: in all partitions, and in its group's offsets.
func TestChaosOfBrokersGivesEveryTransactionOneOutcome(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range 6 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { txnChaos(t, seed+uint64(round)) })
		})
	}
}

// chaoticTxns is what clients share.
type chaoticTxns struct {
	*testing.T
	store   *memory.Store
	topic   metastore.TopicID
	brokers []*metastore.Replica

	mu   sync.Mutex
	sent []txnSent
}

// txnSent is a batch, with what its producer was told of its transaction.
type txnSent struct {
	sent
	committed bool
}

func txnChaos(t *testing.T, seed uint64) {
	c := &chaoticTxns{T: t, store: memory.New(memory.Options{})}
	first := open(t, c.store, metastore.ReplicaOptions{})
	c.topic = createTopic(t, first, "t", 3).ID
	ctx, cancel := context.WithCancel(t.Context())
	var late, runs, clients, reaper sync.WaitGroup
	for n := range uint64(3) {
		log := &treacherous{Log: c.store, late: &late, rng: rand.New(rand.NewPCG(seed, n))}
		r := metastore.NewReplica(log, metastore.ReplicaOptions{SnapshotEvery: 9})
		for r.Open(ctx) != nil {
		}
		c.brokers = append(c.brokers, r)
		runs.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	for n := range 4 {
		clients.Go(func() {
			client := &chaoticClient{chaoticTxns: c, rng: rand.New(rand.NewPCG(seed, 100+uint64(n))), id: fmt.Sprint("client", n), version: int8(1 + n%2)}
			client.run()
		})
	}
	ended := make(chan struct{})
	reaper.Go(func() { c.reap(rand.New(rand.NewPCG(seed, 200)), ended) })
	clients.Wait()
	close(ended)
	reaper.Wait()
	cancel()
	runs.Wait()
	late.Wait()
	c.verify()
}

func (c *chaoticTxns) pick(rng *rand.Rand) *metastore.Replica {
	return c.brokers[rng.IntN(len(c.brokers))]
}

// reap aborts some of what is ongoing.
func (c *chaoticTxns) reap(rng *rand.Rand, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-time.After(time.Duration(rng.IntN(60)) * time.Second):
		}
		r := c.pick(rng)
		r.Transactions(func(x *metastore.Transaction) bool {
			if x.State != metastore.TxnOngoing || rng.IntN(4) > 0 {
				return true
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, _ = r.Transact(ctx, []metastore.TxnRequest{metastore.AbortTxn{ID: x.ID, Number: x.Number}})
			return true
		})
	}
}

type chaoticClient struct {
	*chaoticTxns
	rng     *rand.Rand
	id      string
	version int8
	claim   metastore.GroupEpoch

	producer  metastore.TxnResult
	number    metastore.TxnNumber
	sequences map[metastore.TopicPartition]int32
	sent      []txnSent // in the transaction
}

// ask asks until there is an answer.
func (c *chaoticClient) ask(r metastore.TxnRequest) metastore.TxnResult {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+c.rng.IntN(20_000))*time.Millisecond)
		results, err := c.pick(c.rng).Transact(ctx, []metastore.TxnRequest{r})
		cancel()
		if err == nil {
			return results[0]
		}
	}
}

func (c *chaoticClient) run() {
	g, err := c.store.ClaimGroup(context.Background(), c.id, 1)
	if err != nil {
		c.Error(err)
		return
	}
	c.claim = g.Epoch
	c.init()
	last := metastore.NoOffset
	for n := range metastore.Offset(25) {
		commit := c.rng.IntN(3) > 0
		switch err := c.transaction(n, commit); {
		case err == nil:
			if commit {
				last = n
			}
			for i := range c.sent {
				c.sent[i].committed = commit
			}
		case errors.Is(err, metastore.ErrTxnFenced), c.version == 2 && errors.Is(err, metastore.ErrTxnState): // by the reaper, and so aborted
			c.number++
			c.keep()
			c.recover()
			continue
		default:
			c.Errorf("%s, transaction %d: %v", c.id, n, err)
			return
		}
		c.number++
		c.keep()
	}
	rows, err := c.store.FetchOffsets(context.Background(), c.id, nil)
	if err != nil || last >= 0 && (len(rows) != 1 || rows[0].Offset != last) || last < 0 && len(rows) > 0 {
		c.Errorf("%s: offsets %v (%v), the last transaction that committed wrote %d", c.id, rows, err, last)
	}
}

func (c *chaoticClient) init() {
	var fresh metastore.ProducerID
	for {
		id, err := c.pick(c.rng).NextProducerID(context.Background())
		if err == nil {
			fresh = id
			break
		}
	}
	c.producer = c.ask(metastore.InitTxn{ID: c.id, Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh})
	if c.producer.Err != nil {
		c.Errorf("%s: init: %v", c.id, c.producer.Err)
	}
	c.sequences = make(map[metastore.TopicPartition]int32)
}

// recover goes on after the reaper: with version 2 an abort tells of the epoch, too.
func (c *chaoticClient) recover() {
	if c.version == 1 || c.rng.IntN(2) == 0 {
		c.init()
		return
	}
	p := c.producer
	c.producer = c.ask(metastore.EndTxn{ID: c.id, Producer: p.Producer, Epoch: p.Epoch, Version: 2, Number: c.number, Fresh: metastore.NoProducerID})
	if c.producer.Err != nil {
		c.Errorf("%s: abort after the reaper's: %v", c.id, c.producer.Err)
	}
	c.sequences = make(map[metastore.TopicPartition]int32)
}

func (c *chaoticClient) keep() {
	c.mu.Lock()
	c.chaoticTxns.sent = append(c.chaoticTxns.sent, c.sent...)
	c.mu.Unlock()
	c.sent = nil
}

// transaction does one; ErrTxnFenced, or ErrTxnState at the end of version 2, if the reaper came in between.
func (c *chaoticClient) transaction(n metastore.Offset, commit bool) error {
	p := c.producer
	if c.version == 1 {
		add := metastore.AddToTxn{ID: c.id, Producer: p.Producer, Epoch: p.Epoch, Groups: []string{c.id}, Number: c.number}
		for i := range int32(3) {
			add.Partitions = append(add.Partitions, metastore.TopicPartition{Topic: c.topic, Partition: i})
		}
		if err := c.ask(add).Err; err != nil {
			return err
		}
	}
	for range 1 + c.rng.IntN(4) {
		if err := c.write(); err != nil {
			return err
		}
	}
	err := c.ask(metastore.CommitTxnOffsets{
		ID: c.id, Producer: p.Producer, Epoch: p.Epoch, Group: c.id, Claim: c.claim, Implicit: c.version == 2, Number: c.number,
		Offsets: []metastore.CommittedOffset{{TopicPartition: metastore.TopicPartition{Topic: c.topic}, Offset: n, CommittedAt: time.Now()}},
	}).Err
	if err != nil {
		return err
	}
	end := c.ask(metastore.EndTxn{
		ID: c.id, Producer: p.Producer, Epoch: p.Epoch, Commit: commit, Version: c.version, Number: c.number, Fresh: metastore.NoProducerID,
	})
	if end.Err == nil && end.Epoch != c.producer.Epoch {
		c.producer, c.sequences = end, make(map[metastore.TopicPartition]int32)
	}
	return end.Err
}

func (c *chaoticClient) write() error {
	tp := metastore.TopicPartition{Topic: c.topic, Partition: c.rng.Int32N(3)}
	x := batch(c.producer, c.sequences[tp], 1+c.rng.Int32N(3), c.version == 2)
	for segment := segmentNow(c.rng, tp, 1); ; {
		segment.Runs[0].Batches[0] = x
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+c.rng.IntN(20_000))*time.Millisecond)
		res, err := c.pick(c.rng).Commit(ctx, []metastore.SegmentCommit{segment})
		cancel()
		if err != nil {
			if c.rng.IntN(3) == 0 {
				segment = segmentNow(c.rng, tp, 1)
			}
			continue
		}
		switch got := res[0].Runs[0][0]; got.Verdict {
		case metastore.Accepted, metastore.Duplicate:
			c.sequences[tp] += x.Records
			c.sent = append(c.sent, txnSent{sent: sent{tp: tp, id: c.producer.Producer, records: x.Records, offset: got.Offset}})
			return nil
		case metastore.StaleProducerEpoch:
			return metastore.ErrTxnFenced
		default:
			return fmt.Errorf("verdict %d for %+v", got.Verdict, x)
		}
	}
}

// verify reads all partitions as a broker that has just started does.
func (c *chaoticTxns) verify() {
	fresh := open(c.T, c.store, metastore.ReplicaOptions{})
	survey(c.T, c.store)
	committed, all := 0, len(c.sent)
	for p := range int32(3) {
		tp := metastore.TopicPartition{Topic: c.topic, Partition: p}
		w, runs, aborted, err := fresh.CommittedRuns(tp, 0, 1<<40)
		if err != nil || w.Stable != w.High {
			c.Fatalf("%v: %+v although all transactions ended (%v)", tp, w, err)
		}
		taken := make(map[metastore.Offset]bool)
		for _, run := range runs {
			if run.Marker != nil {
				taken[run.Base] = true
			}
		}
		for _, b := range c.sent {
			if b.tp != tp {
				continue
			}
			skipped := slices.ContainsFunc(aborted, func(a metastore.AbortedTxn) bool {
				return a.Producer == b.id && a.First <= b.offset && b.offset < a.Last
			})
			if skipped == b.committed {
				c.Errorf("%v, producer %d: batch at %d committed %v, aborted %v", tp, b.id, b.offset, b.committed, skipped)
			}
			if b.committed {
				committed++
			}
			for o := range metastore.Offset(b.records) {
				if taken[b.offset+o] {
					c.Errorf("%v: offset %d given twice", tp, b.offset+o)
				}
				taken[b.offset+o] = true
			}
		}
		for _, r := range c.brokers {
			for r.CatchUp(c.Context()) != nil && r.Health() == nil {
			}
			if other, _, same, err := r.CommittedRuns(tp, 0, 1<<40); err != nil || other != w || !slices.Equal(same, aborted) {
				c.Errorf("%v: brokers disagree (%v)", tp, err)
			}
		}
	}
	sameDigest(c.T, append(c.brokers, fresh))
	if committed == 0 || committed == all {
		c.Errorf("%d of %d batches are committed: nothing is tested", committed, all)
	}
}
