package metastore_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestListOfTopicsFollowsTheirChanges(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	store := memory.New(memory.Options{})
	asked, follower := open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{})
	var last, copied []*metastore.Topic
	for step := range 300 {
		topics := asked.Topics()
		if !reflect.DeepEqual(last, copied) {
			t.Fatal("a list that was given out has changed")
		}
		last, copied = topics, slices.Clone(topics)
		var err error
		switch n := random.IntN(11); {
		case n < 5 || len(topics) == 0:
			_, err = asked.CreateTopic(t.Context(), metastore.NewTopic{Name: fmt.Sprintf("%d-%d", random.IntN(100), step), Partitions: 1})
		case n < 7:
			err = asked.DeleteTopic(t.Context(), topics[random.IntN(len(topics))].ID)
		case n < 8:
			topic := topics[random.IntN(len(topics))]
			err = asked.CreatePartitions(t.Context(), topic.ID, topic.Partitions+1, metastore.Room{})
		case n < 9:
			err = asked.AlterTopicConfigs(t.Context(), topics[random.IntN(len(topics))].ID, map[string]string{"retention.ms": fmt.Sprint(step)}, nil)
		case n < 10:
			err = asked.SetReplicationFactor(t.Context(), topics[random.IntN(len(topics))].ID, int16(1+random.IntN(3)))
		default:
			_, err = asked.NextProducerID(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		want := open(t, store, metastore.ReplicaOptions{}).Topics() // made at once
		if got := asked.Topics(); !reflect.DeepEqual(got, want) {
			t.Fatalf("after step %d: %d topics, want %d", step, len(got), len(want))
		}
		if err := follower.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := follower.Topics(); !reflect.DeepEqual(got, want) {
			t.Fatalf("a follower after step %d: %d topics, want %d", step, len(got), len(want))
		}
	}
}

// BenchmarkTopics asks for 20,000 topics, between changes.
func BenchmarkTopics(b *testing.B) {
	r := metastore.NewReplica(memory.New(memory.Options{}), metastore.ReplicaOptions{})
	if err := r.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	for i := range 20_000 {
		if _, err := r.CreateTopic(b.Context(), metastore.NewTopic{Name: fmt.Sprint("topic-", i), Partitions: 1}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(r.Topics()) != 20_000 {
			b.Fatal("topics are missing")
		}
	}
}
