package metastore_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// TestTopicsMadeAtTheSameTimeKeepToTheirBounds: brokers that do not know of each other's topics yet make no more of them, or
// partitions, than there may be.
func TestTopicsMadeAtTheSameTimeKeepToTheirBounds(t *testing.T) {
	store := memory.New(memory.Options{})
	t.Cleanup(func() { _ = store.Close() })
	room := metastore.Room{Topics: 7, Partitions: 20}
	var brokers []*metastore.Replica
	for range 4 {
		brokers = append(brokers, open(t, store, metastore.ReplicaOptions{RefreshPause: -1}))
	}
	atOnce := func(times int, do func(broker *metastore.Replica, i int) error) (made int64) {
		t.Helper()
		var all sync.WaitGroup
		var n atomic.Int64
		start := make(chan struct{})
		for i := range times {
			all.Go(func() {
				<-start
				switch err := do(brokers[i%len(brokers)], i); {
				case err == nil:
					n.Add(1)
				case !errors.Is(err, metastore.ErrNoRoom):
					t.Errorf("request %d: %v", i, err)
				}
			})
		}
		close(start)
		all.Wait()
		return n.Load()
	}
	made := atOnce(32, func(broker *metastore.Replica, i int) error {
		_, err := broker.CreateTopic(t.Context(), metastore.NewTopic{Name: fmt.Sprint("topic-", i), Partitions: 2, Room: room})
		return err
	})
	if made != 7 {
		t.Errorf("%d topics were made, of 7 that there may be", made)
	}
	for _, b := range brokers {
		if err := b.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	topics := brokers[0].Topics()
	grown := atOnce(len(topics), func(broker *metastore.Replica, i int) error {
		return broker.CreatePartitions(t.Context(), topics[i].ID, 4, room)
	})
	if grown != 3 {
		t.Errorf("%d topics have grown from 2 to 4 partitions, with 14 of 20 there", grown)
	}
	// Without a bound there is room.
	if _, err := brokers[0].CreateTopic(t.Context(), metastore.NewTopic{Name: "more", Partitions: 100}); err != nil {
		t.Error(err)
	}
}
