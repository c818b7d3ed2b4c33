package group

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// matching joins a consumer group by a regular expression, and returns the member's heartbeat.
func matching(t *testing.T, c *Coordinator, expression string) ConsumerHeartbeatRequest {
	t.Helper()
	req := ConsumerHeartbeatRequest{
		GroupID: "g", MemberID: "m", RebalanceTimeout: time.Minute, TopicRegex: &expression, Owned: []metastore.TopicPartition{},
	}
	joined, err := c.ConsumerHeartbeat(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return ConsumerHeartbeatRequest{GroupID: "g", MemberID: "m", Epoch: joined.Epoch, RebalanceTimeout: -1}
}

// TestOffsetsOfMatchedTopicsOutliveTheCoordinator: the next one has not heard of the members yet when it looks for old offsets,
// nor when an administrator deletes offsets.
func TestOffsetsOfMatchedTopicsOutliveTheCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		opts := Options{Topics: oneTopic(4), OffsetsRetention: time.Minute, ExpireInterval: time.Second}
		first, stop := start(t, store, 1, opts)
		beat := matching(t, first, "t|u")
		_, err := first.CommitOffsets(t.Context(), CommitRequest{
			GroupID: "g", MemberID: "m", Generation: Generation(beat.Epoch), MemberEpochs: true,
			Offsets: []CommitOffset{{TopicPartition: metastore.TopicPartition{Topic: metastore.TopicID{1}}, TopicName: "t", Offset: 7}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(20 * time.Second)
			if _, err := first.ConsumerHeartbeat(t.Context(), beat); err != nil {
				t.Fatal(err)
			}
		}
		wantPartitions(t, store, "g", 0)
		stop()

		second, _ := start(t, store, 2, opts)
		outcomes, err := second.DeleteOffsets(t.Context(), "g", []PartitionOf{{metastore.TopicPartition{Topic: metastore.TopicID{1}}, "t"}})
		if err != nil || !errors.Is(outcomes[0], ErrSubscribedToTopic) {
			t.Errorf("deleted: %v, %v", outcomes, err)
		}
		time.Sleep(3 * time.Second)
		wantPartitions(t, store, "g", 0)
		if told, err := second.ConsumerHeartbeat(t.Context(), beat); err != nil || told.Epoch != beat.Epoch {
			t.Errorf("the member was disturbed: %+v, %v", told, err)
		}
	})
}
