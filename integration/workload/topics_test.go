package workload

import (
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// TestKindsOfTopicsAreInTheirNames: whoever finds one again finds its kind.
func TestKindsOfTopicsAreInTheirNames(t *testing.T) {
	t.Parallel()
	seen := map[topicKind]bool{}
	for n := range int64(100) {
		if got := kindOfTopic(topicName(n)); got != kindOf(n) {
			t.Errorf("%s is of the kind %d, want %d", topicName(n), got, kindOf(n))
		}
		seen[kindOf(n)] = true
	}
	if len(seen) != 5 {
		t.Errorf("of five kinds there are %d", len(seen))
	}
	for _, other := range []string{pipelineFrom, pipelineTo, againTopic, "t1", "t1-compacted-x", "t-1", ""} {
		if kindOfTopic(other) != plain {
			t.Errorf("%q is not plain", other)
		}
	}
	if kindOf(kept[0]) != compacted || kindOf(kept[1]) != timed {
		t.Errorf("topics that stay in use are of the kinds %d and %d", kindOf(kept[0]), kindOf(kept[1]))
	}
}

// TestTheHistoryIsToldWhatSettingsLetGo, and no more than that: a record and its batch fit into what the size of a partition is
// counted in.
func TestTheHistoryIsToldWhatSettingsLetGo(t *testing.T) {
	t.Parallel()
	r := &run{Options: Options{Tombstones: 9 * time.Second, Retention: 7 * time.Second, Kept: 10}}
	for n, want := range map[int64]struct {
		settings string
		told     history.Topic
	}{
		1: {"cleanup.policy=compact delete.retention.ms=9000 min.cleanable.dirty.ratio=0.1 segment.ms=1000", history.Topic{Compacted: true, Tombstones: 9 * time.Second}},
		2: {"retention.ms=7000", history.Topic{Retention: 7 * time.Second}},
		4: {"retention.bytes=1600", history.Topic{Kept: 10}},
	} {
		set, told := r.settings(topicName(n))
		want.told.Name = topicName(n)
		if told == nil || *told != want.told {
			t.Errorf("of %s the history is told %+v, want %+v", topicName(n), told, want.told)
		}
		for pair := range strings.FieldsSeq(want.settings) {
			name, value, _ := strings.Cut(pair, "=")
			if set[name] == nil || *set[name] != value {
				t.Errorf("%s lacks %s", topicName(n), pair)
			}
		}
	}
	for _, n := range []int64{0, 3, 5} {
		if set, told := r.settings(topicName(n)); set != nil || told != nil {
			t.Errorf("%s has settings %v, and the history is told %+v", topicName(n), set, told)
		}
	}
	for _, isTombstone := range []bool{false, true} {
		largest := encode(history.Record{Key: 9_999_999, Value: 999_999_999, Of: 999_999_999, Tombstone: isTombstone})
		if size := len(batchOf(largest)); size > mostBytes {
			t.Errorf("a record may take %d bytes with its batch, more than %d", size, mostBytes)
		}
	}
}
