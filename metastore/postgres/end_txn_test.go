package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/runnel-io/runnel/metastore"
)

// calls counts the statements that are sent, each of a batch for itself.
type calls struct{ atomic.Int64 }

func (c *calls) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.Add(1)
	return ctx
}

func (c *calls) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *calls) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (c *calls) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { c.Add(1) }

func (c *calls) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TestTheEndOfATransactionIsAFewStatements however many partitions it wrote to, and of however many it holds offsets.
func TestTheEndOfATransactionIsAFewStatements(t *testing.T) {
	s := open(t, migrated(t))
	var sent calls
	connectAnew(t, s, func(config *pgxpool.Config) { config.ConnConfig.Tracer = &sent })
	r := metastore.NewReplica(s, metastore.ReplicaOptions{RefreshPause: -1})
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(r.Open(t.Context()))
	group, err := s.ClaimGroup(t.Context(), "g", 1)
	check(err)
	must := func(request metastore.TxnRequest) metastore.TxnResult {
		t.Helper()
		results, err := r.Transact(t.Context(), []metastore.TxnRequest{request})
		check(err)
		check(results[0].Err)
		return results[0]
	}
	for i, partitions := range []int32{1, 10, 2000} {
		for version := int8(1); version <= 2; version++ {
			topic, err := r.CreateTopic(t.Context(), metastore.NewTopic{Name: fmt.Sprint("events-", i, "-", version), Partitions: partitions})
			check(err)
			fresh, err := r.NextProducerID(t.Context())
			check(err)
			p := must(metastore.InitTxn{ID: topic.Name, Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh})
			segment := metastore.SegmentCommit{ID: metastore.NewSegmentID(time.Now()), Size: int64(partitions) * 100}
			keep := metastore.CommitTxnOffsets{ID: topic.Name, Producer: p.Producer, Epoch: p.Epoch, Group: "g", Claim: group.Epoch, Implicit: true}
			for n := range partitions {
				tp := metastore.TopicPartition{Topic: topic.ID, Partition: n}
				segment.Runs = append(segment.Runs, metastore.RunCommit{TopicPartition: tp, Batches: []metastore.BatchCommit{{
					Length: 100, Records: 1, ProducerID: p.Producer, ProducerEpoch: p.Epoch, Transactional: true, Implicit: true,
				}}})
				keep.Offsets = append(keep.Offsets, metastore.CommittedOffset{TopicPartition: tp, TopicName: topic.Name, Offset: 1, CommittedAt: time.Now()})
			}
			_, err = r.Commit(t.Context(), []metastore.SegmentCommit{segment})
			check(err)
			must(keep)
			before := sent.Load()
			must(metastore.EndTxn{ID: topic.Name, Producer: p.Producer, Epoch: p.Epoch, Commit: true, Version: version, Fresh: metastore.NoProducerID})
			if n := sent.Load() - before; n < 1 || n > 5 {
				t.Errorf("version %d, %d partitions: %d statements", version, partitions, n)
			} else {
				t.Logf("version %d, %d partitions: %d statements", version, partitions, n)
			}
			marks, _ := r.Watermarks(metastore.TopicPartition{Topic: topic.ID, Partition: partitions - 1})
			offsets, err := s.FetchOffsets(t.Context(), "g", []metastore.TopicPartition{{Topic: topic.ID, Partition: partitions - 1}})
			check(err)
			if marks.Stable != 2 || len(offsets) != 1 {
				t.Errorf("version %d, %d partitions: the last is stable up to %d, and has %d offsets", version, partitions, marks.Stable, len(offsets))
			}
		}
	}
}
