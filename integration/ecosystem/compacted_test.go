package ecosystem

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestStreamsRestoresFromACompactedChangelog kills a word count, lets its changelog be compacted, and starts it without any
// state: its counts go on where they were.
func TestStreamsRestoresFromACompactedChangelog(t *testing.T) {
	t.Parallel()
	b := harness.Node(t, harness.NewStores(t), harness.NodeOptions{
		Set: map[string]string{
			"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
			"log.cleaner.backoff.ms":          "500",
			"log.roll.ms":                     "1000", // else little waits for more
			"log.cleaner.min.cleanable.ratio": "0.05",
		},
		Env: []string{"RUNNEL_COMPACTION_DELAY=1s"},
	})
	b.Restart()
	countWords(t, b.Addr, "restored", func() {
		eventually(t, "the changelog is compacted", time.Minute, func() bool {
			records, offsets := changelog(t, b.Addr, "restored")
			return offsets > 600 && records < offsets/2
		})
	})
}

// changelog reads what an application's changelogs hold: how many records, and how many offsets were given.
func changelog(t *testing.T, bootstrap, name string) (records, offsets int64) {
	t.Helper()
	_, admin := client(t, bootstrap)
	topics, err := admin.ListTopics(harness.Soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics.Names() {
		if !strings.HasPrefix(topic, name+"-") || !strings.HasSuffix(topic, "-changelog") {
			continue
		}
		ends, err := admin.ListCommittedOffsets(harness.Soon(t), topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range ends.Offsets().Sorted() {
			offsets += end.At
			records += readTo(t, bootstrap, topic, end.Partition, end.At)
		}
	}
	return records, offsets
}

// readTo counts the records of a partition below an offset.
func readTo(t *testing.T, bootstrap, topic string, partition int32, end int64) (records int64) {
	t.Helper()
	if end == 0 {
		return 0
	}
	c, _ := client(t, bootstrap, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}))
	defer c.Close()
	ctx := within(t, 30*time.Second)
	for last := int64(-1); last+1 < end; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s/%d, got to %d of %d: %v", topic, partition, last, end, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			last = r.Offset
			if !r.Attrs.IsControl() {
				records++
			}
		})
	}
	return records
}
