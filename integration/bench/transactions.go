package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const txnPartitions = 10 // of each transaction

// transactions lets producers make transactions that write one record to each of ten partitions, one after the other each.
func transactions(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("brokers", "producers", "transactions/s", "EndTxn p50 / p99, ms", "whole transaction p50 / p99, ms", "transactions of PostgreSQL for each")
	s.note = "franz-go with transaction version 2: a transaction is a Produce request to each leader, which waits for an upload of all producers together, and EndTxn, which is measured after it. " +
		"PostgreSQL's count has the commits of the records in it, and what the brokers do beside: leases, and looks at the log."
	for _, brokers := range []int{1, 3} {
		c, err := m.startCluster(ctx, brokers, m.s3.Endpoint())
		if err != nil {
			return s, err
		}
		if err := errors.Join(transactionsOn(ctx, m, &s, c), c.stop()); err != nil {
			return s, err
		}
	}
	return s, nil
}

func transactionsOn(ctx context.Context, m *machine, s *section, c *cluster) (err error) {
	if _, _, err := createTopics(ctx, c.addresses[0], 1, txnPartitions); err != nil {
		return err
	}
	w, err := watchDatabase(ctx, m, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	length, err := time.ParseDuration(m.size.seconds + "s")
	if err != nil {
		return err
	}
	for _, load := range []txnLoad{{1, 0}, {32, 200}, {32, 0}} {
		before, err := w.transactions(ctx)
		if err != nil {
			return err
		}
		t, err := transactFor(ctx, c, load, length)
		if err != nil {
			return err
		}
		after, err := w.transactions(ctx)
		if err != nil {
			return err
		}
		rate := float64(len(t.ends)) / t.took.Seconds()
		s.row(fmt.Sprint(len(c.addresses)), load.String(), number(rate),
			number(quantile(t.ends, 0.5))+" / "+number(quantile(t.ends, 0.99)),
			number(quantile(t.wholes, 0.5))+" / "+number(quantile(t.wholes, 0.99)),
			number(float64(after-before)/float64(len(t.ends))))
		s.outcome += fmt.Sprintf("%d brokers, %s: %s/s, EndTxn p99 %s ms. ", len(c.addresses), load, number(rate), number(quantile(t.ends, 0.99)))
	}
	return nil
}

// txnLoad is how many producers there are, and how many transactions per second they make together; 0 is as many as they can.
type txnLoad struct{ producers, rate int }

func (l txnLoad) String() string {
	if l.rate == 0 {
		return fmt.Sprintf("%d, flat out", l.producers)
	}
	return fmt.Sprintf("%d, %d/s", l.producers, l.rate)
}

// pause is the time from the beginning of a producer's transaction to that of the next.
func (l txnLoad) pause() time.Duration {
	if l.rate == 0 {
		return 0
	}
	return time.Second * time.Duration(l.producers) / time.Duration(l.rate)
}

// txnTimes is how long transactions took, in order of length.
type txnTimes struct {
	took         time.Duration // all of them
	ends, wholes []time.Duration
}

// transactFor makes transactions for so long.
func transactFor(ctx context.Context, c *cluster, load txnLoad, length time.Duration) (t txnTimes, err error) {
	var mu sync.Mutex
	var running sync.WaitGroup
	var ready sync.WaitGroup
	ready.Add(load.producers)
	begin := make(chan struct{})
	for i := range load.producers {
		running.Go(func() {
			ends, wholes, failed := transact(ctx, c, fmt.Sprintf("bench-%d-%d", load.rate, i), load.pause(), load.pause()*time.Duration(i)/time.Duration(load.producers), &ready, begin, length)
			mu.Lock()
			defer mu.Unlock()
			t.ends, t.wholes, err = append(t.ends, ends...), append(t.wholes, wholes...), errors.Join(err, failed)
		})
	}
	ready.Wait()
	began := time.Now()
	close(begin)
	running.Wait()
	t.took = time.Since(began)
	slices.Sort(t.ends)
	slices.Sort(t.wholes)
	if err == nil && len(t.ends) == 0 {
		err = errors.New("no transaction was committed")
	}
	return t, err
}

// transact makes transactions one after the other. The first is not measured.
func transact(ctx context.Context, c *cluster, id string, pause, first time.Duration, ready *sync.WaitGroup, begin <-chan struct{}, length time.Duration) (ends, wholes []time.Duration, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.bootstrap(), ",")...), kgo.TransactionalID(id),
		kgo.DefaultProduceTopic(topicName(0)), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		ready.Done()
		return nil, nil, err
	}
	defer client.Close()
	_, _, err = transactOnce(ctx, client)
	ready.Done()
	<-begin
	due := time.Now().Add(first) // so that they do not begin in step
	for deadline := due.Add(length); err == nil && time.Now().Before(deadline); {
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		due = due.Add(pause)
		if late := time.Now(); late.After(due) {
			due = late
		}
		var end, whole time.Duration
		if end, whole, err = transactOnce(ctx, client); err == nil {
			ends, wholes = append(ends, end), append(wholes, whole)
		}
	}
	return ends, wholes, err
}

func transactOnce(ctx context.Context, client *kgo.Client) (end, whole time.Duration, err error) {
	began := time.Now()
	if err := client.BeginTransaction(); err != nil {
		return 0, 0, fmt.Errorf("begin transaction: %w", err)
	}
	records := make([]*kgo.Record, txnPartitions)
	for i := range records {
		records[i] = &kgo.Record{Partition: int32(i), Value: make([]byte, 100)}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return 0, 0, fmt.Errorf("produce in a transaction: %w", err)
	}
	produced := time.Now()
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return 0, 0, fmt.Errorf("commit transaction: %w", err)
	}
	return time.Since(produced), time.Since(began), nil
}
