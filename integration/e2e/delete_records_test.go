package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestDeletedRecordsAreGoneEverywhere: what one broker deletes no broker shows, at once in ListOffsets, also after both were
// killed.
func TestDeletedRecordsAreGoneEverywhere(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	createTopic(t, "purged", 3, through(a)...)
	produce(t, "purged", 0, 300, through(a)...)
	viaA, viaB := admin(t, through(a)...), admin(t, through(b)...)
	ends, err := viaA.ListEndOffsets(harness.Soon(t), "purged")
	if err != nil {
		t.Fatal(err)
	}
	before := make(kadm.Offsets)
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		before.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.Offset / 2})
		left += int(o.Offset - o.Offset/2)
	})
	deleted, err := viaA.DeleteRecords(harness.Soon(t), before)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	check := func(client *kadm.Client) {
		t.Helper()
		starts, err := client.ListStartOffsets(harness.Soon(t), "purged")
		if err != nil {
			t.Fatal(err)
		}
		starts.Each(func(o kadm.ListedOffset) {
			if want, _ := before.Lookup("purged", o.Partition); o.Err != nil || o.Offset != want.At {
				t.Errorf("partition %d begins at %d (%v), want %d", o.Partition, o.Offset, o.Err, want.At)
			}
		})
	}
	read := func(from *harness.Broker) {
		t.Helper()
		reader, err := harness.Client(t, append(through(from), kgo.ConsumeTopics("purged"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		for got := 0; got < left; {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			fetches := reader.PollFetches(ctx)
			cancel()
			if err := fetches.Err(); err != nil {
				t.Fatalf("%d records of %d: %v", got, left, err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				got++
				if start, _ := before.Lookup("purged", r.Partition); r.Offset < start.At {
					t.Errorf("record %d of partition %d was deleted", r.Offset, r.Partition)
				}
			})
		}
	}
	check(viaB)
	read(b)
	a.Kill()
	b.Kill()
	a.Start()
	a.WaitReady()
	eventually(t, "the broker answers again", 20*time.Second, func() bool {
		starts, err := viaA.ListStartOffsets(harness.Soon(t), "purged")
		return err == nil && starts.Error() == nil
	})
	check(viaA)
	read(a)
}
