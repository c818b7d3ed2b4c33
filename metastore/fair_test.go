package metastore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// distant is a log at the end of a long line.
type distant struct {
	metastore.Log
	way     time.Duration // one way
	durable time.Duration // until an entry is
}

func (l distant) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	time.Sleep(l.way)
	defer time.Sleep(l.way)
	err := l.Log.Append(ctx, expected, next)
	if err == nil {
		time.Sleep(l.durable)
	}
	return err
}

func (l distant) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	time.Sleep(l.way)
	defer time.Sleep(l.way)
	return l.Log.Read(ctx, after, maxBytes)
}

// TestABrokerThatAppendsWithoutAPauseDoesNotShutOthersOut lets one broker append commits back to back. It is as near to
// the log as the other or nearer, and has its next commit ready when the one before is there.
func TestABrokerThatAppendsWithoutAPauseDoesNotShutOthersOut(t *testing.T) {
	for _, way := range []time.Duration{100 * time.Microsecond, 500 * time.Microsecond, 2 * time.Millisecond} {
		t.Run(fmt.Sprint(way), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New(memory.Options{})
				defer store.Close()
				const durable = 500 * time.Microsecond
				tp := metastore.TopicPartition{Topic: createTopic(t, open(t, store, metastore.ReplicaOptions{}), "t", 1).ID}
				busy := open(t, distant{store, 100 * time.Microsecond, durable}, metastore.ReplicaOptions{})
				other := open(t, distant{store, way, durable}, metastore.ReplicaOptions{})
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				for i := range uint64(4) {
					running.Go(func() {
						for rng := rand.New(rand.NewPCG(1, i)); ctx.Err() == nil; {
							_, _ = busy.Commit(ctx, []metastore.SegmentCommit{segmentNow(rng, tp, 1)})
						}
					})
				}
				time.Sleep(time.Second)
				if n := busy.Position().Seq; n < 500 {
					t.Errorf("%d entries in a second: the log is not busy", n)
				}
				within := func(what string, do func(context.Context) error) {
					ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
					defer cancel()
					if err := do(ctx); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				within("create topic", func(ctx context.Context) error {
					_, err := other.CreateTopic(ctx, metastore.NewTopic{Name: "u", Partitions: 1})
					return err
				})
				within("take a producer id", func(ctx context.Context) error {
					_, err := other.NextProducerID(ctx)
					return err
				})
				rng := rand.New(rand.NewPCG(2, 2))
				within("commit", func(ctx context.Context) error {
					_, err := other.Commit(ctx, []metastore.SegmentCommit{segmentNow(rng, tp, 1)})
					return err
				})
				stop()
				running.Wait()
			})
		})
	}
}
