// Package mover moves records from one topic to another, each exactly once: what is read, what is written for it and how
// far that was are one transaction. Any number of movers share the work as members of a group.
package mover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say what to move.
type Options struct {
	Seeds    []string
	Group    string
	ID       string // transactional id, each mover's own
	From, To string // topics with as many partitions
	Batch    int    // records in a transaction, at most

	Opts []kgo.Opt `json:"-"` // further options of the client
}

// Run moves records until ctx ends. After an error that leaves a session unusable it goes on with a new one, as a program
// does that is started again, and tells ended of it.
func Run(ctx context.Context, o Options, ended func(error)) {
	for ctx.Err() == nil {
		if err := live(ctx, o); err != nil && ctx.Err() == nil {
			ended(err)
			select { // a cluster that is down makes sessions end fast
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// live moves records until ctx ends or the session cannot go on.
func live(ctx context.Context, o Options) error {
	session, err := kgo.NewGroupTransactSession(append([]kgo.Opt{
		kgo.SeedBrokers(o.Seeds...),
		kgo.ConsumerGroup(o.Group), kgo.ConsumeTopics(o.From), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.TransactionalID(o.ID), kgo.TransactionTimeout(10 * time.Second), kgo.DefaultProduceTopic(o.To),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
	}, o.Opts...)...)
	if err != nil {
		return err
	}
	defer session.Close()
	for {
		fetches := session.PollRecords(ctx, o.Batch)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := moveAll(ctx, session, fetches); err != nil {
			return err
		}
	}
}

// moveAll is one transaction. Where another member took the partitions over, the session aborts it and reads again.
func moveAll(ctx context.Context, session *kgo.GroupTransactSession, fetches kgo.Fetches) error {
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	var first kgo.FirstErrPromise
	fetches.EachRecord(func(r *kgo.Record) {
		session.Produce(ctx, &kgo.Record{Partition: r.Partition, Key: r.Key, Value: r.Value}, first.Promise())
	})
	produced := first.Err()
	if _, err := session.End(ctx, kgo.TransactionEndTry(produced == nil)); err != nil {
		return errors.Join(produced, fmt.Errorf("end: %w", err))
	}
	return nil
}
