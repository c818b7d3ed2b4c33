package metastore_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// rows counts the entries that a log has.
type rows struct {
	metastore.Log
	entries atomic.Int64
}

func (r *rows) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	err := r.Log.Append(ctx, expected, next)
	if err == nil {
		r.entries.Add(1)
	}
	return err
}

func (r *rows) Trim(ctx context.Context, before metastore.Seq, limit int) (int, error) {
	n, err := r.Log.Trim(ctx, before, limit)
	r.entries.Add(-int64(n))
	return n, err
}

// TestTheLogStaysShortWithoutACompactor: nobody rewrites tier 0 for a while. The entries that brought what is there are
// trimmed all the same; the runs stay, in the snapshot.
func TestTheLogStaysShortWithoutACompactor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, every, long = 4, 250 * time.Millisecond, 20 * time.Minute
		store := memory.New(memory.Options{})
		log := &rows{Log: store}
		replica := metastore.NewReplica(log, metastore.ReplicaOptions{})
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(replica.Open(t.Context()))
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = replica.Run(ctx) })
		topic, err := replica.CreateTopic(ctx, metastore.NewTopic{Name: "t", Partitions: partitions, ReplicationFactor: 1})
		must(err)
		most := int64((metastore.MaxSegmentAge + 2*time.Minute) / every) // what may be asked for again, and what came since the last snapshot
		for begun := time.Now(); time.Since(begun) < long; time.Sleep(every) {
			commit := metastore.SegmentCommit{ID: metastore.NewSegmentID(time.Now()), Size: 1 << 20}
			for p := range int32(partitions) {
				commit.Runs = append(commit.Runs, metastore.RunCommit{
					TopicPartition: metastore.TopicPartition{Topic: topic.ID, Partition: p}, Position: uint32(40 + 10_000*p),
					Batches: []metastore.BatchCommit{{Length: 5000, Records: 5, MaxTimestamp: time.Now().UnixMilli(), ProducerID: metastore.NoProducerID}},
				})
			}
			_, err := replica.Commit(ctx, []metastore.SegmentCommit{commit})
			must(err)
			if n := log.entries.Load(); n > most {
				t.Fatalf("the log has %d entries after %v, more than %d", n, time.Since(begun), most)
			}
		}
		runs := 0
		replica.VisitPartitions(func(v *metastore.PartitionView) bool {
			runs += v.Len()
			return true
		})
		snapshot, err := store.LatestSnapshot(ctx)
		must(err)
		if want := int(long/every) * partitions; runs != want || len(snapshot.State) > 20*runs {
			t.Errorf("%d runs, want %d, in a snapshot of %d bytes", runs, want, len(snapshot.State))
		}
		t.Logf("%d entries, %d runs, a snapshot of %d bytes", log.entries.Load(), runs, len(snapshot.State))
		stop()
		running.Wait()
		must(store.Close())
	})
}
